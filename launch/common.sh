# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run. Sets `root`, the folder of the project, and `lockstep`, its
# release binary. The scripts may be called from any folder; functions here assume nothing about the current one.

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lockstep=$root/build/release/lockstep
export CLICOLOR=0  # cmake, ctest and ninja print plain text; lockstep itself looks at the terminal and NO_COLOR

say() { printf '%s\n' "$*"; }

# die CODE MESSAGE…: the codes are those of `lockstep` (README, sysexits.h).
die() {
  local code=$1
  shift
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit "$code"
}

# The comment at the top of the calling script, as its help.
print_usage() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }

# cores: processors that this process may use, within its mask and its control group's quota.
cores() {
  local count quota period
  count=$(nproc)
  if [[ -r /sys/fs/cgroup/cpu.max ]]; then
    read -r quota period </sys/fs/cgroup/cpu.max
    if [[ $quota != max ]] && ((quota < count * period)); then count=$(((quota + period - 1) / period)); fi
  fi
  echo $((count > 0 ? count : 1))
}

# build_jobs: one compiler per core and per 2 GiB of memory that is free, at least one.
build_jobs() {
  local kib limit used jobs
  kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  if [[ -r /sys/fs/cgroup/memory.max && -r /sys/fs/cgroup/memory.current ]]; then
    read -r limit </sys/fs/cgroup/memory.max
    read -r used </sys/fs/cgroup/memory.current
    if [[ $limit != max ]] && (((limit - used) / 1024 < kib)); then kib=$(((limit - used) / 1024)); fi
  fi
  jobs=$(cores)
  if ((kib / 2097152 < jobs)); then jobs=$((kib / 2097152)); fi
  echo $((jobs > 0 ? jobs : 1))
}

# mpirun_words RANKS: how a command begins that runs on so many ranks of this machine, as this user.
mpirun_words() {
  local words="mpirun -n $1"
  # mpirun counts a slot for each physical core, nproc hardware threads: allow for both.
  if (($1 > $(physical_cores))); then words+=' --oversubscribe'; fi
  if ((EUID == 0)); then words+=' --allow-run-as-root'; fi
  echo "$words"
}

# mpirun_ranks RANKS [--bind-to WHAT] COMMAND…: runs the command on so many ranks. They are not bound unless asked:
# Open MPI would bind each of two ranks to one core and leave the others idle.
mpirun_ranks() {
  local words
  read -ra words <<<"$(mpirun_words "$1")"
  shift
  if [[ ${1:-} != --bind-to ]]; then words+=(--bind-to none); fi
  "${words[@]}" "$@"
}

# physical_cores: distinct cores among the processors of this process's mask.
physical_cores() {
  local count
  count=$(for cpu in $(allowed_cpus); do
    cat "/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list" 2>/dev/null || echo "$cpu"
  done | sort -u | wc -l)
  echo "$count"
}

# allowed_cpus: the numbers of the processors of this process's mask, one a line.
allowed_cpus() {
  awk '/^Cpus_allowed_list:/ {
    n = split($2, runs, ",")
    for (i = 1; i <= n; ++i) {
      if (split(runs[i], ends, "-") == 1) ends[2] = ends[1]
      for (cpu = ends[1]; cpu <= ends[2]; ++cpu) print cpu
    }
  }' /proc/self/status
}

# require_writable FOLDER…: each must be a folder of the project that can be written to, or be made.
require_writable() {
  local folder parent
  for folder in "$@"; do
    parent=$root/$folder
    while [[ ! -e $parent ]]; do parent=$(dirname "$parent"); done
    if [[ ! -d $parent || ! -w $parent ]]; then
      die 73 "cannot write to $parent as user $(id -un): clone the project where you may write, or ask its owner" \
        "($(stat -c %U "$parent")) for the permission"
    fi
  done
}

# configure PRESET OPTION…: makes or updates build/PRESET; nothing is done when the same options were used before.
configure() {
  local preset=$1
  shift
  local folder=$root/build/$preset
  local stamp=$folder/.configured
  local wanted="$root $*"
  if [[ -f $folder/build.ninja && -f $stamp && $(<"$stamp") == "$wanted" ]]; then return; fi
  # A build folder that was moved along with its checkout still names the old place and cannot be used.
  if [[ -f $folder/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then
    say "build/$preset was made for another folder; starting it anew"
    rm -rf "$folder"
  fi
  require_writable "build/$preset"
  say "Configuring build/$preset"
  local log
  log=$(mktemp)
  if ! (cd "$root" && cmake --preset "$preset" "$@") >"$log" 2>&1; then
    awk '/^CMake Error/ { shown = 1 } shown' "$log" >&2
    rm -f "$log"
    die 70 "CMake could not configure build/$preset; see above for what is missing"
  fi
  rm -f "$log"
  printf '%s' "$wanted" >"$stamp"
}

# configure_for_checks PRESET: with tests; in CI, GPUs are of one kind, to save time, and warnings are errors, but not those
# that code with sanitizers in it brings, which are mostly false.
configure_for_checks() {
  if [[ ${CI:-} == true ]]; then
    local werror=ON
    if [[ $1 == sanitize ]]; then werror=OFF; fi
    configure "$1" -DLOCKSTEP_BUILD_TESTS=ON -DLOCKSTEP_WERROR=$werror -DLOCKSTEP_CUDA_ARCHITECTURES=80
  else
    configure "$1" -DLOCKSTEP_BUILD_TESTS=ON -DLOCKSTEP_WERROR=OFF
  fi
}

# cmake_variable PRESET NAME: what CMake found out when it configured the preset.
cmake_variable() { sed -n "s/^$2:[A-Z]*=//p" "$root/build/$1/CMakeCache.txt"; }

# build PRESET TARGET…: builds the targets; quick when nothing changed.
build() {
  local preset=$1
  shift
  require_writable "build/$preset"
  local jobs
  jobs=$(build_jobs)
  say "Building $* in build/$preset ($jobs at a time)"
  cmake --build "$root/build/$preset" --parallel "$jobs" --target "$@" || die 70 "the build in build/$preset failed"
}

# build_program: the release binary, without the tests unless they were configured before.
build_program() {
  local stamp=$root/build/release/.configured
  # As it was configured last, for this very folder; else anew.
  if [[ ! -f $stamp || $(<"$stamp") != "$root "* ]]; then configure release -DLOCKSTEP_BUILD_TESTS=OFF; fi
  build release lockstep
}

# import_mnist: the MNIST files that ship with the project, as datasets/mnist.h5; quick when that is up to date.
import_mnist() {
  require_writable datasets
  "$lockstep" import "$root/datasets/mnist.h5" \
    --train "$root/datasets/mnist/train-images-idx3-ubyte.gz" "$root/datasets/mnist/train-labels-idx1-ubyte.gz" \
    --test "$root/datasets/mnist/t10k-images-idx3-ubyte.gz" "$root/datasets/mnist/t10k-labels-idx1-ubyte.gz"
}

# csv_column FILE NAME: that column's values, one a line.
csv_column() {
  awk -F, -v name="$2" '
    NR == 1 { for (i = 1; i <= NF; ++i) if ($i == name) column = i
              if (!column) { print FILENAME ": no column " name > "/dev/stderr"; exit 1 }
              next }
    { print $column }' "$1"
}

# json_number FILE KEY: the number that stands behind the first such key.
json_number() { sed -n "s/.*\"$2\": *\\([-+.0-9eE]*\\).*/\\1/p" "$1" | head -n 1; }

# median, smallest and largest of the numbers on the standard input
spread() { sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1], v[NR] }'; }

# arithmetic EXPRESSION: with decimals
arithmetic() { awk "BEGIN { printf \"%.6g\", $1 }"; }
