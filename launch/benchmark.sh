#!/usr/bin/env bash
# How fast Lockstep trains on this machine, beside what the primitives of oneDNN need for the same network, and how well
# ranks share the machine. All in one run, each measurement repeated in turn with the others, because the speed of a
# machine drifts: believe the ratios of one run, not seconds of different ones.
#
#   launch/benchmark.sh [--rounds N] [--json FILE]
#
#   --rounds N    repetitions of each measurement (5)
#   --json FILE   also write the medians there
#
# It takes about a minute a round on two cores. Leave the machine alone meanwhile.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

rounds=5
json=
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --rounds | --json)
      if (($# < 2)); then die 64 "$1 needs a value"; fi
      if [[ $1 == --json ]]; then
        json=$(realpath "$2")
      elif [[ $2 =~ ^[1-9][0-9]*$ ]]; then
        rounds=$2
      else
        die 64 "--rounds needs a number from 1, not '$2'"
      fi
      shift
      ;;
    *) die 64 "unknown option '$1'; see --help" ;;
  esac
  shift
done

"$root/launch/install_dependencies.sh" --tests
configure release -DLOCKSTEP_BUILD_TESTS=ON "-DLOCKSTEP_WERROR=OFF"
build release lockstep lockstep_onednn_benchmark
import_mnist
cd "$root"
primitives=$(find build/release -name lockstep_onednn_benchmark -type f -print -quit)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

samples=60000 # of MNIST's training set
batch=128
data_bytes=$(((60000 + 10000) * 785)) # pixels and labels, as one rank would hold all of them
all=$(cores)
ranks=$((all < 8 ? all : 8)) # as many as there are shards, at most; so it is with the threads of one rank

# record NAME VALUE: one value of this round
record() { echo "$2" >>"$tmp/$1"; }
last() { tail -n 1 "$tmp/$1"; }

# train FOLDER EXPERIMENT EPOCHS THREADS COMMAND…: trains with that command; its output is shown only if it fails.
train() {
  local folder=$1 experiment=$2 epochs=$3 threads=$4
  shift 4
  if ! "$@" train "configs/$experiment.yaml" "training.epochs=$epochs" "device.threads=$threads" \
    "output.dir=$tmp" "output.name=$folder" output.progress=off >"$tmp/log.$folder" 2>&1; then
    cat "$tmp/log.$folder" >&2
    die 70 "training $experiment failed, see above"
  fi
}

# samples_per_second FOLDER: of training alone, median over the run's epochs
samples_per_second() { csv_column "$tmp/$1/metrics.csv" samples_per_second | spread | cut -d' ' -f1; }

# train_and_record NAME ROUND EXPERIMENT EPOCHS THREADS COMMAND…: records seconds of an epoch, of the start, and memory.
train_and_record() {
  local name=$1 folder=$1-$2
  shift 2
  train "$folder" "$@"
  record "$name" "$(arithmetic "$samples / $(samples_per_second "$folder")")"
  record "$name.start" "$(json_number "$tmp/$folder/summary.json" startup_seconds)"
  record "$name.memory" "$(arithmetic "$(json_number "$tmp/$folder/summary.json" peak_memory_bytes) / 1e6")"
}

# on_ranks RANKS COMMAND…: one rank a core, bound to it where there are cores enough.
on_ranks() {
  local count=$1
  shift
  if ((count <= $(physical_cores))); then set -- --bind-to core "$@"; fi
  mpirun_ranks "$count" "$@"
}

# The first processors of two cores, to hold two independent copies apart as ranks are.
mapfile -t pins < <(for cpu in $(allowed_cpus); do
  echo "$(cat "/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list" 2>/dev/null || echo "$cpu") $cpu"
done | sort -u -k1,1 | awk '{ print $2 }' | sort -n | head -n 2)
pairs=1
if ((${#pins[@]} < 2)); then pairs=; fi

measure_cnn_threads() { train_and_record cnn.threads "$1" mnist_cnn 1 "$ranks" "$lockstep"; }
measure_cnn_ranks() { train_and_record cnn.ranks "$1" mnist_cnn 1 1 on_ranks "$ranks" "$lockstep"; }
measure_softmax_threads() { train_and_record softmax.threads "$1" mnist_softmax 5 "$ranks" "$lockstep"; }
measure_softmax_ranks() { train_and_record softmax.ranks "$1" mnist_softmax 5 1 on_ranks "$ranks" "$lockstep"; }
measure_primitives() {
  local milliseconds
  milliseconds=$("$primitives" --threads "$all" --batch "$batch" --json >"$tmp/primitives.json" &&
    json_number "$tmp/primitives.json" step_milliseconds)
  record primitives "$(arithmetic "$milliseconds / 1000 * $samples / $batch")"
}
measure_pair() {
  if [[ -z $pairs ]]; then return; fi
  local pids=() i pid
  for i in 0 1; do
    train "copy$i-$1" mnist_cnn 1 1 taskset -c "${pins[i]}" "$lockstep" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || exit; done
  record copies "$(arithmetic "$(samples_per_second "copy0-$1") + $(samples_per_second "copy1-$1")")"
  if ((ranks == 2)); then
    record two_ranks "$(arithmetic "$samples / $(last cnn.ranks)")"
  else
    train "two-$1" mnist_cnn 1 1 on_ranks 2 "$lockstep"
    record two_ranks "$(samples_per_second "two-$1")"
  fi
}

start=$SECONDS
for ((round = 1; round <= rounds; ++round)); do
  say "Round $round of $rounds"
  for measurement in cnn_threads primitives cnn_ranks pair softmax_threads softmax_ranks; do
    "measure_$measurement" "$round"
  done
done

# row LABEL [NOTE]: spread of the numbers on the standard input
row() {
  local median least most
  read -r median least most < <(spread)
  printf '%-48s %9.3f %9.3f %9.3f%s\n' "$1" "$median" "$least" "$most" "${2:+  $2}"
}
# quotient A B: of two measurements, round by round
quotient() { paste -d/ "$tmp/$1" "$tmp/$2" | awk -F/ '{ print $1 / $2 }'; }

say ''
"$lockstep" --version
say "$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo), $all processors," \
  "oneDNN uses $(sed -n 's/.*"instruction_set": *"\([^"]*\)".*/\1/p' "$tmp/primitives.json")"
say ''
one="1 rank x $ranks threads"
many="$ranks ranks x 1 thread"
printf '%-48s %9s %9s %9s\n' "$rounds rounds in $((SECONDS - start)) s" median least most
row "CNN, seconds an epoch, $one" <"$tmp/cnn.threads"
row "CNN, seconds an epoch, $many" <"$tmp/cnn.ranks"
row "oneDNN's primitives alone, $all threads" <"$tmp/primitives"
row "softmax, seconds an epoch, $one" <"$tmp/softmax.threads"
row "softmax, seconds an epoch, $many" <"$tmp/softmax.ranks"
row "start to first step, seconds, $one" <"$tmp/cnn.threads.start"
row "start to first step, seconds, $many" <"$tmp/cnn.ranks.start"
row "memory of a rank, MB, $one" "$((data_bytes / 1000000)) of it data" <"$tmp/cnn.threads.memory"
row "memory of a rank, MB, $many" "$((data_bytes / ranks / 1000000)) of it data" <"$tmp/cnn.ranks.memory"
say 'Ratios, each of measurements in the same round'
quotient cnn.threads primitives | row "seconds of CNN, $one, by primitives'"
quotient cnn.ranks primitives | row "seconds of CNN, $many, by primitives'"
if [[ -n $pairs ]]; then
  quotient two_ranks copies | row 'samples/s of 2 ranks by 2 independent copies'"'"
else
  say '2 ranks beside 2 independent copies: not measured, there is one core'
fi

if [[ -n $json ]]; then
  {
    printf '{"rounds": %d, "processors": %d, "ranks": %d' "$rounds" "$all" "$ranks"
    for file in cnn.threads cnn.ranks primitives softmax.threads softmax.ranks cnn.threads.start cnn.ranks.start \
      cnn.threads.memory cnn.ranks.memory two_ranks copies; do
      if [[ -f $tmp/$file ]]; then printf ', "%s": %s' "$file" "$(spread <"$tmp/$file" | cut -d' ' -f1)"; fi
    done
    printf '}\n'
  } >"$json"
  say "Written to $json"
fi
