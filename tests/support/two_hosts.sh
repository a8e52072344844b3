#!/bin/bash
# Runs an MPI program on two hosts that this machine simulates: network namespaces, joined by a cable, with a host name each.
# Open MPI takes them for two machines, with TCP between them.
#
#   two_hosts.sh RANKS RANKS PROGRAM [ARGUMENT…]    so many ranks on the first host, and on the second
#   two_hosts.sh --try                              whether that works here: status 0; or 77, with the reason on stderr
#
# It needs root, or a system that lets others make namespaces. All processes, mounts and devices are within namespaces that
# end with this script, however it ends: nothing is left behind, and any number of them can run at once.
set -euo pipefail

cannot() {
  echo "two hosts cannot be simulated here: $*" >&2
  exit 77
}

enter_namespaces() {
  local tool reason
  for tool in ip unshare nsenter hostname; do
    command -v "$tool" >/dev/null || cannot "there is no '$tool'"
  done
  local enter=(unshare --net --uts --mount --pid --fork --kill-child --mount-proc)
  if ((EUID != 0)); then enter+=(--user --map-root-user); fi
  reason=$("${enter[@]}" true 2>&1) || cannot "$reason"
  exec "${enter[@]}" "$0" --inside "$@"
}

# What two of these scripts would else share is private too: the names of namespaces, and what MPI writes on local disks.
make_hosts() {
  mount -t tmpfs lockstep /run && mount -t tmpfs lockstep /dev/shm && mkdir /run/netns /run/tmp &&
    printf '%s\n' '127.0.0.1 localhost' '10.77.0.1 one' '10.77.0.2 two' >/run/hosts &&
    mount --bind /run/hosts /etc/hosts &&
    ip netns add two && ip link add eth0 type veth peer name eth0 netns two &&
    ip address add 10.77.0.1/24 dev eth0 && ip -netns two address add 10.77.0.2/24 dev eth0 &&
    ip link set lo up && ip -netns two link set lo up &&
    ip link set eth0 up && ip -netns two link set eth0 up &&
    hostname one
}

# How mpirun reaches the other host, instead of ssh: AGENT HOST COMMAND…
make_agent() {
  cat >/run/agent <<'AGENT'
#!/bin/sh
shift
exec nsenter --net=/run/netns/two unshare --uts sh -c 'hostname two && exec sh -c "$1"' sh "$*"
AGENT
  chmod +x /run/agent
}

# run RANKS RANKS PROGRAM…. The launcher of Open MPI 5 is another one than that of Open MPI 4, with other names.
run() {
  local first=$1 second=$2 options
  shift 2
  if [[ $(mpirun --version | head -n 1) =~ \ ([5-9]|[1-9][0-9]+)\. ]]; then
    options=(--prtemca plm_ssh_agent /run/agent --prtemca prte_if_include eth0 --mca btl "self,sm,tcp")
  else
    options=(--mca plm_rsh_agent /run/agent --mca oob_tcp_if_include eth0 --mca btl "self,vader,tcp")
  fi
  export TMPDIR=/run/tmp OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  mpirun "${options[@]}" --mca pml ob1 --mca btl_tcp_if_include eth0 --map-by slot --bind-to none \
    --host "one:$first,two:$second" -n $((first + second)) "$@"
}

if [[ ${1:-} != --inside ]]; then enter_namespaces "$@"; fi
shift
reason=$(make_hosts 2>&1) || cannot "$reason"
make_agent
if [[ $1 != --try ]]; then
  run "$@"
  exit
fi
output=$(export -f run && timeout -k 1 30 bash -c 'run 1 2 uname -n' 2>&1) || cannot "$output"
if [[ $(grep -cx one <<<"$output") != 1 || $(grep -cx two <<<"$output") != 2 ]]; then cannot "$output"; fi
