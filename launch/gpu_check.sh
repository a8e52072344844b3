#!/usr/bin/env bash
# For a machine with NVIDIA GPUs: builds Lockstep for them, lets `lockstep doctor` examine them (kernels, layers and both
# MNIST experiments against the CPU, copies, the exchange among GPUs, and how long the two published trainings take), and
# runs the tests of the GPU path on one of them.
#
#   launch/gpu_check.sh [--ranks N]
#
#   --ranks N    GPUs to use together in a second examination, at most 8 (all of this machine's)
#
# NVIDIA's driver, a CUDA toolkit (12.1 or later) and cuDNN 9 with its headers must be there; NCCL may be. Where CMake does
# not find them by itself, configure once by hand, as launch/README.md says; this keeps that.
#
# It prints what it finds and leaves it in build/gpu_check as text and JSON. The status is 0 only if every check and test
# passed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ranks=
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --ranks)
      if (($# < 2)); then die 64 "--ranks needs a value"; fi
      ranks=$2
      [[ $ranks =~ ^[1-9][0-9]*$ ]] || die 64 "--ranks needs a number from 1, not '$ranks'"
      shift
      ;;
    *) die 64 "unknown option '$1'; see --help" ;;
  esac
  shift
done

"$root/launch/install_dependencies.sh" --tests
stamp=$root/build/release/.configured
if [[ ! -f $stamp || $(<"$stamp") != "$root "*"-DLOCKSTEP_BUILD_TESTS=ON -DLOCKSTEP_CUDA=ON"* ]]; then
  configure release -DLOCKSTEP_BUILD_TESTS=ON -DLOCKSTEP_CUDA=ON -DLOCKSTEP_CUDA_ARCHITECTURES=
fi
build release lockstep gpu_hardware_test
import_mnist

cd "$root" # where doctor finds the published experiments, which name their data relative to the project
found=$root/build/gpu_check
mkdir -p "$found"

# examine NAME RANKS: text to the terminal, text and JSON into the folder.
status=0
examine() {
  local name=$1 ranks=$2 rc=0
  say ''
  say "== $name"
  mpirun_ranks "$ranks" "$lockstep" doctor --gpu --json "$found/$name.json" | tee "$found/$name.txt" || rc=$?
  if ((status == 0)); then status=$rc; fi
}

examine one_gpu 1
if [[ -z $ranks ]]; then ranks=$(grep -c '"unique_id"' "$found/one_gpu.json" || true); fi
if ((ranks > 8)); then ranks=8; fi # the experiments have 8 shards
if ((ranks > 1)); then examine "${ranks}_gpus" "$ranks"; fi

say ''
say '== tests'
tested=0
timeout 300 "$root/build/release/tests/cuda_hardware/gpu_hardware_test" --gtest_brief=1 2>&1 |
  grep -v 'Skipped$\|^not run: needs the stand-in' | tee "$found/tests.txt" || tested=$?
if ((status == 0)); then status=$tested; fi

say ''
if ((status != 0)); then
  say "Not all is well; what was found is in $found"
  exit "$status"
fi
say "All checks and tests passed; what was found is in $found"
