#!/usr/bin/env bash
# From a fresh clone to a trained network: installs what is missing, builds Lockstep, imports MNIST and trains a CNN on
# two MPI ranks for three epochs.
#
#   launch/quickstart.sh
#
# Only what is missing is done when run again, and the training.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then print_usage && exit 0; fi
if (($# > 0)); then die 64 "takes no arguments; to choose settings, run build/release/lockstep train itself"; fi

"$root/launch/install_dependencies.sh"
build_program
import_mnist

cd "$root" # the experiment names its data relative to the project
require_writable runs
run=quickstart-$(date -u +%Y%m%dT%H%M%SZ)
say "Training configs/mnist_cnn.yaml for three epochs on two ranks"
mpirun_ranks 2 "$lockstep" train configs/mnist_cnn.yaml \
  training.epochs=3 "output.name=$run"

say ''
say "The run's files are in $root/runs/$run:"
say "  $(cd "runs/$run" && printf '%s ' *)"
say 'What to try next:'
say "  cd $(printf '%q' "$root")"
say "  build/release/lockstep evaluate runs/$run"
say "  $(mpirun_words 2) --bind-to none build/release/lockstep train configs/mnist_cnn.yaml training.epochs=10"
say '  build/release/lockstep train configs/mnist_softmax.yaml optimizer.sgd.learning_rate=0.1'
say '  build/release/lockstep --help'
