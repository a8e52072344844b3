#!/bin/bash
# A job in which a rank fails must end, with the status, with one message, and leave no process.
# usage: job_end_test.sh MPIRUN RANKS PROGRAM MODE STATUS MESSAGE      (no mpirun for one rank)
set -u -o pipefail
mpirun=$1 ranks=$2 program=$3 mode=$4 expected_status=$5 message=$6
token=job-end-$$-$RANDOM

launch=("$mpirun" --oversubscribe -n "$ranks")
[ "$ranks" -gt 1 ] || launch=()
output=$(timeout -s KILL 40 "${launch[@]}" "$program" "$mode" "$token" 2>&1 |
  tr -d '\0')  # mpirun 5.0 writes some
status=$?
problems=0
problem() { echo "$mode: $*"; problems=1; }

[ "$status" -eq "$expected_status" ] || problem "status $status, expected $expected_status"
if [ -n "$message" ]; then
  count=$(grep -cF -- "$message" <<<"$output")
  [ "$count" -eq 1 ] || problem "the message '$message' appears $count times"
fi

# The bracket keeps grep from finding itself.
left_over() { grep -lsa -- "${token%?}[${token: -1}]" /proc/[0-9]*/cmdline; }
for _ in $(seq 50); do
  [ -n "$(left_over)" ] || break
  sleep 0.1
done
left=$(left_over)
[ -z "$left" ] || problem "processes left behind: $left"

[ "$problems" -eq 0 ] || printf '%s\n' "--- output:" "$output"
exit "$problems"
