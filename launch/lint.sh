#!/usr/bin/env bash
# Checks the format of all sources with clang-format, and the ones that changed with clang-tidy.
#
#   launch/lint.sh [--all | --since REVISION] [--seconds N] [FILE…]
#
#   --all             clang-tidy over everything
#   --since REVISION  over what changed since then, uncommitted and untracked files included. Unless said otherwise:
#                     since the last commit made 6 hours before the newest one, or over everything if there is none.
#   --seconds N       clang-tidy starts on no more files after so long, in a random order, and says how many it left out
#   FILE…             over these only
#
# A changed header is checked through a source file that includes it. Without the linters (LOCKSTEP_INSTALL=0, or a
# system without apt-get) it says so and ends with 0, except when CI=true.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

since=
all=
seconds=
files=()
while (($# > 0)); do
  case $1 in
    -h | --help) print_usage && exit 0 ;;
    --all) all=1 ;;
    --since)
      if (($# < 2)); then die 64 "--since needs a revision"; fi
      since=$2
      shift
      ;;
    --seconds)
      if [[ ! ${2:-} =~ ^[1-9][0-9]*$ ]]; then die 64 "--seconds needs a number from 1"; fi
      seconds=$2
      shift
      ;;
    -*) die 64 "unknown option '$1'; see --help" ;;
    *) files+=("$(realpath --relative-to="$root" "$1")") ;;
  esac
  shift
done

"$root/launch/install_dependencies.sh" --tests --lint
cd "$root"

# find_tool NAME: the version that install_dependencies.sh installs.
find_tool() {
  if command -v "$1-19" >/dev/null; then
    echo "$1-19"
  elif command -v "$1" >/dev/null && "$1" --version | grep -q 'version 19\.'; then
    echo "$1"
  fi
}
format=$(find_tool clang-format)
tidy=$(find_tool clang-tidy)
if [[ -z $format || -z $tidy ]]; then
  if [[ ${CI:-} == true ]]; then die 69 "clang-format and clang-tidy, version 19, are needed"; fi
  say "Not run: clang-format and clang-tidy, version 19, are not installed"
  exit 0
fi

# sources: every C++ file of the project, those that are not committed yet included.
sources() { git ls-files --cached --others --exclude-standard -- '*.h' '*.cpp' '*.cu' | while read -r file; do
  if [[ -f $file ]]; then echo "$file"; fi
done; }

# changed_files: the sources that clang-tidy should look at.
changed_files() {
  if ((${#files[@]} > 0)); then
    printf '%s\n' "${files[@]}"
    return
  fi
  if [[ -z $since && -z $all ]]; then
    since=$(git rev-list -1 --before="$(($(git log -1 --format=%ct) - 21600))" HEAD)
  fi
  if [[ -n $all || -z $since ]]; then
    sources
  else
    { git diff --name-only --diff-filter=d "$since" -- '*.h' '*.cpp'; git ls-files --others --exclude-standard -- '*.h' '*.cpp'; }
  fi
}

# through_source FILE…: the files themselves if they are compiled, for a header its own .cpp or the first that includes it.
# nvcc's sources (.cu) are left out, as their command lines are not clang's, and *_tsan.cpp, whose header is GCC's.
through_source() {
  local file name
  for file in "$@"; do
    if [[ $file == *.cu || $file == *_tsan.cpp ]]; then continue; fi
    if [[ $file == *.h ]]; then
      name=${file#src/}
      name=${name#tests/}
      if [[ -f ${file%.h}.cpp ]]; then
        file=${file%.h}.cpp
      else
        file=$(grep -rlF --include='*.cpp' "#include \"$name\"" src tests | sort | head -n 1 || true)
      fi
    fi
    # Only what the build compiles here has a command line to parse it with.
    if [[ -n $file ]] && grep -qF "$root/$file\"" build/release/compile_commands.json; then echo "$file"; fi
  done | sort -u
}

status=0
list=$(sources)
mapfile -t everything <<<"$list"
say "clang-format over ${#everything[@]} files"
"$format" --dry-run -Werror "${everything[@]}" || status=1

configure_for_checks release
list=$(changed_files)
mapfile -t changed <<<"$list"
list=$(through_source "${changed[@]}")
checked=()
if [[ -n $list ]]; then mapfile -t checked <<<"$list"; fi
say "clang-tidy over ${#checked[@]} files"
# Prints only findings: clang-tidy counts what it suppressed on the standard error, which is shown when it fails.
check_file() {
  local log
  if [[ -n $deadline ]] && (($(date +%s) >= deadline)); then
    echo "$2" >>"$left_out"
    return
  fi
  log=$(mktemp)
  if "$1" -p "$commands" --quiet "$2" >"$log" 2>&1; then
    rm -f "$log"
  else
    grep -vE '^[0-9]+ warnings? (generated|treated as errors?)' "$log"
    rm -f "$log"
    return 1
  fi
}
export -f check_file
# Without GCC's precompiled headers, which are not for clang: so it also finds what a test forgot to include.
commands=$(mktemp -d)
sed -E 's/ -Winvalid-pch -include [^ ]*cmake_pch\.hxx//' build/release/compile_commands.json >"$commands/compile_commands.json"
left_out=$(mktemp)
trap 'rm -rf "$left_out" "$commands"' EXIT
deadline=${seconds:+$(($(date +%s) + seconds))}
export left_out deadline commands
if ((${#checked[@]} > 0)); then
  # shellcheck disable=SC2016 # the shells that xargs starts expand these
  printf '%s\n' "${checked[@]}" | if [[ -n $seconds ]]; then shuf; else cat; fi | tr '\n' '\0' |
    xargs -0 -n 1 -P "$(build_jobs)" bash -c 'check_file "$0" "$1"' "$tidy" || status=1
fi
if [[ -s $left_out ]]; then
  say "Not run: clang-tidy over $(wc -l <"$left_out") of these files, as $seconds s were over; without --seconds it looks at all"
fi
if ((status != 0)); then
  say "Lint found something; '$format -i FILE' mends formats"
  exit 1
fi
say "Lint found nothing"
