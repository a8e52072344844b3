#!/usr/bin/env bash
# Builds everything and runs every test: the unit tests under the address and undefined-behaviour sanitizers, then all
# tests of the release build.
#
#   launch/test.sh [--no-sanitize] [ctest options…]
#
# Options for ctest go to both runs, e.g. -L unit, -L mpi or -L system for one kind of test, -R NAME for some by name.
# With CI=true a compiler warning is an error. The status is 0 only if every test passed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

sanitize=1
options=()
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --no-sanitize) sanitize= ;;
    -L)
      # Only unit tests are built with sanitizers.
      if [[ $# -ge 2 && ! unit =~ $2 ]]; then sanitize=; fi
      options+=("$1")
      ;;
    *) options+=("$1") ;;
  esac
  shift
done

"$root/launch/install_dependencies.sh" --tests
configure_for_checks release
cuda=$(cmake_variable release LOCKSTEP_CUDA_SUMMARY)
if [[ $cuda == "not built"* ]]; then
  say "Not run: the build of the GPU path with NVIDIA's compiler and libraries ($cuda)"
else
  say "The GPU path is built with $cuda"
fi
build release all
import_mnist

# run_tests PRESET OPTION…
run_tests() {
  local preset=$1
  shift
  rm -f "$root/build/$preset/Testing/Temporary/LastTestsFailed.log"
  (cd "$root" && ctest --test-dir "build/$preset" --output-on-failure --parallel "$(cores)" "$@")
}

failed=()
if [[ -n $sanitize ]]; then
  configure_for_checks sanitize
  build sanitize lockstep_unit_tests
  say "Unit tests with sanitizers"
  run_tests sanitize -L unit --no-tests=ignore "${options[@]}" || failed+=(sanitize)
fi
say "All tests of the release build"
run_tests release --no-tests=error "${options[@]}" || failed+=(release)

# What failed comes last, where it is seen: ctest's own list for the sanitized tests is far above by now.
for preset in "${failed[@]}"; do
  say "Failed in the $preset build:"
  sed 's/^/  /' "$root/build/$preset/Testing/Temporary/LastTestsFailed.log" 2>/dev/null || true
done
if ((${#failed[@]} > 0)); then exit 1; fi
