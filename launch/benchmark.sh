#!/usr/bin/env bash
# How fast Lockstep trains on this machine: beside the limit that the arithmetic units set, beside the primitives of
# oneDNN alone, and, if asked, beside PyTorch. All in one run, each measurement repeated in turn with the others,
# because the speed of a machine drifts: believe the ratios of one run, not seconds of different ones.
#
#   launch/benchmark.sh [--rounds N] [--quick] [--peers] [--json FILE]
#
#   --rounds N    repetitions of each measurement (5)
#   --quick       one round on a sixth of MNIST, to see that all of it works; its figures are rough
#   --peers       also PyTorch on the same networks, in the fastest of its configurations: all are tried first
#   --json FILE   also write everything there
#
# Three networks are trained: those of configs/mnist_cnn.yaml and configs/mnist_softmax.yaml, and that of
# launch/benchmark/cifar_shaped.yaml on random images. On two cores a round takes about two minutes, and with --peers
# another one and a half. Leave the machine alone meanwhile.
#
# --peers installs the versions of launch/benchmark/requirements.txt from PyPI into a virtual environment of its own,
# build/peers, the first time. PyPI's PyTorch for x86-64 comes with NVIDIA's libraries: over 2 GB to download, 6 GB on
# the disk. PyTorch's own index has it without them, which is a tenth of that; pip takes it from there if the
# environment has PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

driver=$root/launch/benchmark # a Python program that needs no packages
peers_folder=$root/build/peers
arguments=()
peers=
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --quick) arguments+=("$1") ;;
    --peers) peers=1 ;;
    --rounds)
      if [[ ! ${2:-} =~ ^[1-9][0-9]*$ ]]; then die 64 "--rounds needs a number from 1"; fi
      arguments+=("$1" "$2")
      shift
      ;;
    --json)
      if (($# < 2)); then die 64 "--json needs a file"; fi
      arguments+=("$1" "$(realpath "$2")")
      shift
      ;;
    *) die 64 "unknown option '$1'; see --help" ;;
  esac
  shift
done

# install_peers: PyTorch in build/peers; quick when that has the wanted versions.
install_peers() {
  local wanted=$driver/requirements.txt
  local stamp=$peers_folder/.installed
  if cmp -s "$wanted" "$stamp"; then return; fi
  require_writable build/peers
  say "Installing PyTorch with pip in build/peers (see --help for its size)"
  rm -rf "$peers_folder"
  if ! python3 -m venv "$peers_folder" || ! "$peers_folder/bin/pip" install --quiet -r "$wanted"; then
    die 69 "PyTorch could not be installed, see above; without --peers the rest is measured"
  fi
  cp "$wanted" "$stamp"
}

# distinct_cores: the first processor of each core, to hold processes apart.
distinct_cores() {
  for cpu in $(allowed_cpus); do
    echo "$(cat "/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list" 2>/dev/null || echo "$cpu") $cpu"
  done | sort -u -k1,1 | awk '{ print $2 }' | sort -n
}

"$root/launch/install_dependencies.sh" --tests ${peers:+--peers}
configure release -DLOCKSTEP_BUILD_TESTS=ON "-DLOCKSTEP_WERROR=OFF"
build release lockstep lockstep_onednn_benchmark lockstep_fma_benchmark
import_mnist
if [[ -n $peers ]]; then
  install_peers
  arguments+=(--peers "$peers_folder/bin/python")
fi

mapfile -t distinct < <(distinct_cores)
programs=$root/build/release/tests/benchmarks
exec python3 "$driver" --lockstep "$lockstep" --onednn-benchmark "$programs/lockstep_onednn_benchmark" \
  --fma-benchmark "$programs/lockstep_fma_benchmark" --cores "$(cores)" --distinct "${distinct[@]}" "${arguments[@]}"
