#!/usr/bin/env bash
# Trains the two MNIST experiments and compares them with their published results (tests/system/reference): prints a
# table in Markdown, and ends with 1 if a bound does not hold.
#
#   launch/reproduce.sh [--softmax | --cnn] [--epochs N] [--ranks N] [--dir FOLDER]
#
#   --softmax     only softmax regression without shuffling, on 1, 2 and 4 ranks, epoch by epoch against TensorFlow's
#                 table (seconds)
#   --cnn         only the CNN: 30 epochs, with and without shuffling, with seeds 1, 2 and 3 (about eight minutes on two
#                 cores)
#   --epochs N    so many epochs of the CNN instead; then its bounds are not checked
#   --ranks N     train the CNN on so many ranks (2); the results are the same on any number
#   --dir FOLDER  where the runs go (runs/reproduce-<UTC time>). Runs found there are not repeated, so a run of this
#                 script that was cut short can go on.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

softmax=1
cnn=1
published_epochs=30
epochs=$published_epochs
ranks=2
folder=$root/runs/reproduce-$(date -u +%Y%m%dT%H%M%SZ)
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --softmax) cnn= ;;
    --cnn) softmax= ;;
    --epochs | --ranks | --dir)
      if (($# < 2)); then die 64 "$1 needs a value"; fi
      if [[ $1 != --dir && ! $2 =~ ^[1-9][0-9]*$ ]]; then die 64 "$1 needs a number from 1, not '$2'"; fi
      case $1 in
        --epochs) epochs=$2 ;;
        --ranks) ranks=$2 ;;
        --dir) folder=$(realpath -m "$2") ;;
      esac
      shift
      ;;
    *) die 64 "unknown option '$1'; see --help" ;;
  esac
  shift
done

"$root/launch/install_dependencies.sh"
build_program
import_mnist
cd "$root"
mkdir -p "$folder"
reference=$root/tests/system/reference
status=0

# train NAME EXPERIMENT EPOCHS RANKS OVERRIDE…: makes the run FOLDER/NAME unless it is there with all its epochs.
train() {
  local name=$1 experiment=$2 wanted=$3 count=$4
  shift 4
  if [[ -f $folder/$name/summary.json && $(csv_column "$folder/$name/metrics.csv" epoch | tail -n 1) == "$wanted" ]]; then
    say "Found $name" >&2
    return
  fi
  rm -rf "${folder:?}/$name"
  say "Training $name" >&2
  mpirun_ranks "$count" "$lockstep" train "configs/$experiment.yaml" "training.epochs=$wanted" \
    "output.dir=$folder" "output.name=$name" output.progress=off "$@" >"$folder/$name.log" 2>&1 || {
    cat "$folder/$name.log" >&2
    die 70 "training $name failed, see above"
  }
}

# verdict HOLDS: "yes", or "**no**"
verdict() { if (($1)); then echo yes; else echo '**no**'; fi; }

# largest_difference RUN COLUMN: from TensorFlow's table, over all epochs
largest_difference() {
  paste -d, <(csv_column "$reference/mnist_softmax_tensorflow_gpu.csv" "$2") <(csv_column "$folder/$1/metrics.csv" "$2") |
    awk -F, '$1 == "" || $2 == "" { print "epochs missing"; exit 1 }
             { d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d } END { printf "%.5f", most }'
}

reproduce_softmax() {
  local count column row within difference bound
  say ''
  say '### Softmax regression without shuffling: largest difference from the TensorFlow table over 20 epochs'
  say ''
  say '| ranks | training loss | training accuracy | validation loss | validation accuracy | within bounds |'
  say '|---|---|---|---|---|---|'
  for count in 1 2 4; do
    train "softmax-$count" mnist_softmax_unshuffled 20 "$count"
    row="| $count |"
    within=1
    for column in train_loss train_accuracy val_loss val_accuracy; do
      bound=5e-4
      if [[ $column == *accuracy ]]; then bound=1.5e-3; fi
      difference=$(largest_difference "softmax-$count" "$column")
      within=$(awk "BEGIN { print ($within && $difference <= $bound) }")
      row+=" $difference |"
    done
    if ((!within)); then status=1; fi
    say "$row $(verdict "$within") |"
  done
  say ''
  say 'Bounds: 0.0005 for losses, 0.0015 for accuracies.'
}

# final RUN COLUMN, first RUN COLUMN: of the last and of the first epoch
final() { csv_column "$folder/$1/metrics.csv" "$2" | tail -n 1; }
first() { csv_column "$folder/$1/metrics.csv" "$2" | head -n 1; }

# cnn_row LABEL: a row of the table, from "validation accuracy, loss, training accuracy, first training loss"
cnn_row() {
  local values
  read -r -a values
  printf '| %s | %.4f | %.4f | %.4f | %.4f |\n' "$1" "${values[@]}"
}

published_row() {
  local file=$reference/$2
  echo "$(csv_column "$file" val_accuracy | tail -n 1) $(csv_column "$file" val_loss | tail -n 1)" \
    "$(csv_column "$file" train_accuracy | tail -n 1) $(csv_column "$file" train_loss | head -n 1)" | cnn_row "$1"
}

reproduce_cnn() {
  local kind experiment seed run
  say ''
  say "### CNN, $epochs epochs"
  say ''
  say '| run | final validation accuracy | final validation loss | final training accuracy | first training loss |'
  say '|---|---|---|---|---|'
  for kind in shuffled unshuffled; do
    experiment=mnist_cnn
    if [[ $kind == unshuffled ]]; then experiment=mnist_cnn_unshuffled; fi
    : >"$folder/cnn-$kind.results"
    for seed in 1 2 3; do
      run=cnn-$kind-seed$seed
      train "$run" "$experiment" "$epochs" "$ranks" "seed=$seed"
      echo "$(final "$run" val_accuracy) $(final "$run" val_loss) $(final "$run" train_accuracy)" \
        "$(first "$run" train_loss)" | tee -a "$folder/cnn-$kind.results" | cnn_row "$kind, seed $seed"
    done
    awk '{ for (i = 1; i <= 4; ++i) sum[i] += $i } END { print sum[1] / NR, sum[2] / NR, sum[3] / NR, sum[4] / NR }' \
      "$folder/cnn-$kind.results" >"$folder/cnn-$kind.means"
    cnn_row "**$kind, mean of three**" <"$folder/cnn-$kind.means"
  done
  published_row 'published: Keras on a CPU, shuffled' mnist_cnn_keras_cpu.csv
  published_row 'published: TensorFlow on a GPU, not shuffled' mnist_cnn_tensorflow_gpu.csv
  say ''
  if ((epochs != published_epochs)); then
    say "Bounds are for $published_epochs epochs and were not checked."
    return
  fi
  say 'Bounds for the means: validation accuracy ≥ .9922, validation loss ≤ .048, training accuracy ≥ .9998, first' \
    'training loss .28–.48.'
  for kind in shuffled unshuffled; do
    local holds
    holds=$(awk '{ print ($1 >= .9922 && $2 <= .048 && $3 >= .9998 && $4 >= .28 && $4 <= .48) }' "$folder/cnn-$kind.means")
    say "They hold for the CNN $kind: $(verdict "$holds")."
    if ((!holds)); then status=1; fi
  done
}

say "Runs go to $folder" >&2
if [[ -n $softmax ]]; then reproduce_softmax; fi
if [[ -n $cnn ]]; then reproduce_cnn; fi
exit "$status"
