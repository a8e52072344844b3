#!/usr/bin/env bash
# What the contract of equal bits and the checks of the hardware cost: the same training in two ways, in turn, at 1, 2 and
# 4 ranks on this machine's cores; the ratio of each pair; the median of the pairs.
#
#   launch/contract_cost.sh [--pairs N] [--ranks "1 2 4"]
#
#   --pairs N    pairs of each comparison (15)
#   --ranks LIST numbers of ranks
#
# Trained are the CNN and softmax regression, on MNIST's 10,000 test images. Compared are `reproducibility: lockstep` with
# `run`, and all checks of memory and arithmetic with none. It takes about ten minutes on two cores. Leave the machine
# alone meanwhile.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

pairs=15
ranks_list='1 2 4'
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --pairs | --ranks)
      if (($# < 2)); then die 64 "$1 needs a value"; fi
      if [[ $1 == --ranks ]]; then ranks_list=$2; else pairs=$2; fi
      shift
      ;;
    *) die 64 "unknown option '$1'; see --help" ;;
  esac
  shift
done
[[ $pairs =~ ^[1-9][0-9]*$ ]] || die 64 "--pairs needs a number from 1, not '$pairs'"
[[ $ranks_list =~ ^[1-8]( [1-8])*$ ]] || die 64 "--ranks needs numbers from 1 to 8, not '$ranks_list'"

"$root/launch/install_dependencies.sh"
build_program
import_mnist
cd "$root"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
all=$(cores)

# seconds NAME EXPERIMENT EPOCHS RANKS OVERRIDE…: trains, and prints the seconds of an epoch's training: the median over
# the epochs but the first, if there are several.
seconds() {
  local name=$1 experiment=$2 epochs=$3 ranks=$4
  shift 4
  local threads=$((all / ranks > 0 ? all / ranks : 1))
  if ! mpirun_ranks "$ranks" "$lockstep" train "configs/$experiment.yaml" "training.epochs=$epochs" \
    data.train.images=/test/images data.train.labels=/test/labels "device.threads=$threads" "output.dir=$tmp" \
    "output.name=$name" output.progress=off checkpoint.keep=0 "$@" >"$tmp/log" 2>&1; then
    cat "$tmp/log" >&2
    die 70 "training $experiment failed, see above"
  fi
  csv_column "$tmp/$name/metrics.csv" samples_per_second | awk 'NR > 1 || !more { print 10000 / $1 }' \
    "more=$((epochs > 1))" - | spread | cut -d' ' -f1
  rm -rf "${tmp:?}/$name"
}

# compare LABEL EXPERIMENT EPOCHS RANKS FIRST SECOND: the ratios of seconds, first by second; each is a list of overrides.
compare() {
  local label=$1 experiment=$2 epochs=$3 ranks=$4
  local -a first second
  read -ra first <<<"$5"
  read -ra second <<<"$6"
  local pair a b median least most
  : >"$tmp/ratios"
  for ((pair = 1; pair <= pairs; ++pair)); do
    if ((pair % 2)); then # which one goes first changes
      a=$(seconds a "$experiment" "$epochs" "$ranks" "${first[@]}")
      b=$(seconds b "$experiment" "$epochs" "$ranks" "${second[@]}")
    else
      b=$(seconds b "$experiment" "$epochs" "$ranks" "${second[@]}")
      a=$(seconds a "$experiment" "$epochs" "$ranks" "${first[@]}")
    fi
    arithmetic "$a / $b" >>"$tmp/ratios"
    echo >>"$tmp/ratios"
  done
  read -r median least most < <(spread <"$tmp/ratios")
  printf '%-52s %9.3f %9.3f %9.3f\n' "$label, $ranks $( ((ranks == 1)) && echo rank || echo ranks)" \
    "$median" "$least" "$most"
}

say "$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo), $all processors, $pairs pairs"
printf '%-52s %9s %9s %9s\n' 'seconds of training, ratio' median least most
none='checks.memory=off checks.arithmetic_every=0'
for ranks in $ranks_list; do
  compare 'CNN, lockstep by run' mnist_cnn 1 "$ranks" training.reproducibility=lockstep training.reproducibility=run
  compare 'softmax, lockstep by run' mnist_softmax 21 "$ranks" training.reproducibility=lockstep \
    training.reproducibility=run
  # With one check of the arithmetic in every 79 steps: 2.5 times as often as unless said otherwise.
  compare 'CNN, all checks by none' mnist_cnn 1 "$ranks" 'checks.memory=stop checks.arithmetic_every=79' "$none"
done
