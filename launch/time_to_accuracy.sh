#!/usr/bin/env bash
# How long it takes on this machine's cores until a network recognises so many digits: trains configs/mnist_fast.yaml and
# configs/mnist_best.yaml with several seeds, and prints a table in Markdown with the accuracy on the test set, the seconds
# that the program ran, start-up and loading included, and the seconds of processor time.
#
#   launch/time_to_accuracy.sh [--fast N] [--best N] [--ranks N] [--dir FOLDER]
#
#   --fast N      so many seeds of mnist_fast, from 1 on (10); 0: none
#   --best N      so many of mnist_best (5)
#   --ranks N     so many ranks instead of one with as many threads as there are cores. The accuracy does not depend on it
#   --dir FOLDER  keeps the runs there; without it they are deleted
#
# On two cores it takes about eight minutes, most of them for mnist_best. Leave the machine alone meanwhile.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fast=10
best=5
ranks=
folder=
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --fast | --best | --ranks | --dir)
      if (($# < 2)); then die 64 "$1 needs a value"; fi
      if [[ $1 != --dir && ! $2 =~ ^(0|[1-9][0-9]{0,2})$ ]]; then die 64 "$1 needs a number, not '$2'"; fi
      case $1 in
        --fast) fast=$2 ;;
        --best) best=$2 ;;
        --ranks) ranks=$2 ;;
        --dir) folder=$(realpath -m "$2") ;;
      esac
      shift
      ;;
    *) die 64 "unknown option '$1'; see --help" ;;
  esac
  shift
done

if [[ $ranks == 0 ]]; then die 64 "--ranks needs a number from 1"; fi

"$root/launch/install_dependencies.sh"
build_program
import_mnist
cd "$root"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
folder=${folder:-$tmp}
mkdir -p "$folder"

# train EXPERIMENT SEED: prints accuracy, seconds, and seconds of processor time.
train() {
  local name=$1-seed$2
  local -a command=("$lockstep")
  if [[ -n $ranks ]]; then command=(mpirun_ranks "$ranks" "$lockstep"); fi
  command+=(train "configs/$1.yaml" "seed=$2" "output.dir=$folder" "output.name=$name" output.progress=off)
  local TIMEFORMAT='%R %U %S' real user system
  if ! { time "${command[@]}" >"$tmp/log" 2>&1; } 2>"$tmp/time"; then
    cat "$tmp/log" >&2
    die 70 "training $1 failed, see above"
  fi
  read -r real user system <"$tmp/time"
  echo "$(csv_column "$folder/$name/metrics.csv" val_accuracy | tail -n 1) $real $(arithmetic "$user + $system")"
}

# series EXPERIMENT SEEDS: a row for each, and one for the medians.
series() {
  local seed accuracy real processor
  if (($2 == 0)); then return; fi
  : >"$tmp/rows"
  say ''
  say "| $1 | accuracy on the test set, % | seconds | seconds of processor time |"
  say '|---|---|---|---|'
  for ((seed = 1; seed <= $2; ++seed)); do
    read -r accuracy real processor < <(train "$1" "$seed")
    echo "$accuracy $real $processor" >>"$tmp/rows"
    printf '| seed %d | %.2f | %.1f | %.1f |\n' "$seed" "$(arithmetic "100 * $accuracy")" "$real" "$processor"
  done
  local median least most
  read -r median least most < <(cut -d' ' -f1 "$tmp/rows" | spread)
  printf '| **median (least to most)** | %.2f (%.2f–%.2f) |' "$(arithmetic "100 * $median")" \
    "$(arithmetic "100 * $least")" "$(arithmetic "100 * $most")"
  for column in 2 3; do
    read -r median least most < <(cut -d' ' -f$column "$tmp/rows" | spread)
    printf ' %.1f (%.1f–%.1f) |' "$median" "$least" "$most"
  done
  printf '\n| **mean** | %.3f | | |\n' "$(awk '{ sum += $1 } END { print 100 * sum / NR }' "$tmp/rows")"
}

say "$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(cores) processors, ranks: ${ranks:-1}"
series mnist_fast "$fast"
series mnist_best "$best"
