#!/usr/bin/env bash
# Installs what Lockstep is built with, on Debian and Ubuntu; does nothing when all of it is there.
#
#   launch/install_dependencies.sh [--tests] [--lint] [--peers] [--list]
#
#   --tests   also what the tests and benchmarks need
#   --lint    also clang-tidy and clang-format
#   --peers   also what launch/benchmark.sh --peers needs
#   --list    only print the names of the packages
#
# Packages are installed with apt-get, through sudo unless run as root. On other systems it looks whether CMake finds
# everything, and says what is missing. LOCKSTEP_INSTALL=0 skips all of this: then the build says what it misses.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  g++ cmake ninja-build
  libopenmpi-dev openmpi-bin
  libdnnl-dev ocl-icd-opencl-dev # the CMake package of Debian's oneDNN asks for OpenCL
  libhwy-dev
  libhdf5-dev libyaml-cpp-dev libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libxxhash-dev zlib1g-dev
)
test_packages=(libgtest-dev libgmock-dev iproute2 procps tmux python3 libbenchmark-dev)
# One version for everybody: formats and findings change between versions.
lint_packages=(git clang-format-19 clang-tidy-19 libomp-19-dev) # the last for <omp.h>
peers_packages=(python3-venv)

wanted=("${packages[@]}")
list_only=
for argument in "$@"; do
  case $argument in
    --tests) wanted+=("${test_packages[@]}") ;;
    --lint) wanted+=("${lint_packages[@]}") ;;
    --peers) wanted+=("${peers_packages[@]}") ;;
    --list) list_only=1 ;;
    -h | --help) print_usage && exit 0 ;;
    *) die 64 "unknown option '$argument'; see --help" ;;
  esac
done
if [[ -n $list_only ]]; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi
if [[ ${LOCKSTEP_INSTALL:-1} == 0 ]]; then exit 0; fi

# missing_packages: those of `wanted` that dpkg does not know as installed.
missing_packages() {
  dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "${wanted[@]}" 2>/dev/null |
    awk -v wanted="${wanted[*]}" '
      $2 == "ii" { installed[$1] = 1 }
      END { n = split(wanted, names, " "); for (i = 1; i <= n; ++i) if (!(names[i] in installed)) print names[i] }'
}

# as_root COMMAND…
as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# known_to_apt PACKAGE…: whether apt's lists name all of them and are at most a day old.
known_to_apt() {
  local recent known
  recent=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 -print -quit 2>/dev/null)
  known=$(apt-cache show --no-all-versions "$@" 2>/dev/null | grep -c '^Package:' || true)
  [[ -n $recent ]] && ((known >= $#))
}

install_on_debian() {
  local missing
  mapfile -t missing < <(missing_packages || true)
  if ((${#missing[@]} == 0)); then return; fi
  if ((EUID != 0)) && ! command -v sudo >/dev/null; then
    die 69 "these packages are missing, and there is no sudo to install them with: ${missing[*]}" \
      $'\n'"As root: apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "Installing ${#missing[@]} packages with apt-get$( ((EUID == 0)) || echo ' (through sudo)'): ${missing[*]}"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! known_to_apt "${missing[@]}"; then
    say "Updating apt's lists"
    as_root apt-get update -q >"$log" 2>&1 || tail -n 5 "$log" >&2
  fi
  if ! apt_install "${missing[@]}" >"$log" 2>&1; then
    say "Trying once more with new lists"
    if ! { as_root apt-get update -q && apt_install "${missing[@]}"; } >"$log" 2>&1; then
      tail -n 15 "$log" >&2
      die 69 "apt-get could not install: ${missing[*]}"
    fi
  fi
  say "Installed."
}

# On a system without apt the packages have other names: let CMake look for what is in them.
look_on_other_system() {
  if [[ -f $root/build/release/build.ninja ]]; then return; fi
  local tool
  for tool in c++ cmake ninja mpirun; do
    command -v "$tool" >/dev/null || explain_other_system "'$tool' is not there"
  done
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(lockstep_dependencies LANGUAGES C CXX)' \
    "include($root/launch/cmake/Dependencies.cmake)" >"$folder/CMakeLists.txt"
  if ! cmake -S "$folder" -B "$folder/build" -G Ninja >"$folder/log" 2>&1; then
    grep -A 6 'CMake Error' "$folder/log" >&2 || tail -n 15 "$folder/log" >&2
    explain_other_system 'CMake does not find everything (see above)'
  fi
}

explain_other_system() {
  die 69 "$1. This system has no apt-get, so install these with its own package manager, then run this again:" \
    "a C++20 compiler, CMake 3.25 or newer, Ninja, Open MPI, HDF5 (C library), oneDNN, Highway, yaml-cpp, CLI11, fmt, spdlog," \
    "nlohmann-json, xxHash, zlib; for the tests GoogleTest and GoogleMock, Google Benchmark, Python 3, iproute2, procps and tmux." \
    $'\n'"Debian calls them: ${wanted[*]}"
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  install_on_debian
else
  look_on_other_system
fi

version=$(cmake --version | awk 'NR == 1 { print $3 }')
if [[ $(printf '%s\n' 3.25 "$version" | sort -V | head -n 1) != 3.25 ]]; then
  die 69 "CMake is version $version, and Lockstep needs 3.25 or newer: see https://cmake.org/download or 'pip install cmake'"
fi
