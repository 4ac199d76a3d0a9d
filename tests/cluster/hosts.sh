#!/usr/bin/env bash
# Hosts for `onprem.sh`: network namespaces on this machine, each with its own processes, /root,
# /tmp and sshd on port 22, joined by a bridge. To be sourced by root, with $WORK a folder that is
# neither under /root nor under /tmp, and $SHARED, $PROJECT, $ENVIRONMENT and $PYTHON_HOME set.
#
# 10.77.0.1 … 10.77.0.N are hosts 1 … N, 10.77.0.254 is the laptop, which runs no sshd.

NET=10.77.0
PREFIX=mmsr-host LAPTOP=$PREFIX-254 BRIDGE=mmsr-lan

make_lan() {
  ip netns add "$LAPTOP"
  ip -n "$LAPTOP" link set lo up
  ip -n "$LAPTOP" link add "$BRIDGE" type bridge
  ip -n "$LAPTOP" addr add "$NET.254/24" dev "$BRIDGE"
  ip -n "$LAPTOP" link set "$BRIDGE" up
  ssh-keygen -q -t ed25519 -N '' -f "$WORK/key"
  ssh-keygen -q -t ed25519 -N '' -f "$WORK/hostkey"
}

# A namespace with folders of its own in place of /root and /tmp. `$PYTHON_HOME`, where it is under
# /root, stays visible, and so do $SHARED (as /root/shared) and $PROJECT.
# Takes the place of the shell that calls it; when it is killed, all that it started is.
#   enter HOST COMMAND...
enter() {
  local host=$1 home=$WORK/host-$1
  shift
  mkdir -p "$home"/{root/.ssh,root/shared,tmp}
  chmod 700 "$home/root" "$home/root/.ssh"
  chmod 1777 "$home/tmp"
  case $PYTHON_HOME in /root/*) mkdir -p "$home$PYTHON_HOME" ;; esac
  exec ip netns exec "$PREFIX-$host" unshare --mount --pid --uts --fork --mount-proc --kill-child \
    bash -c '
      set -e
      python_home=$1 shared=$2 home=$3 name=$4; shift 4
      mount --make-rprivate /
      hostname "$name"
      case $python_home in /root/*) mount --bind "$python_home" "$home$python_home" ;; esac
      mount --bind "$shared" "$home/root/shared"
      mount --rbind "$home/root" /root
      mount --bind "$home/tmp" /tmp
      mkdir -p /run/sshd
      export HOME=/root; cd /root
      exec "$@"' - "$PYTHON_HOME" "$SHARED" "$home" "host$host" "$@"
}

#   start_host NUMBER
start_host() {
  ip netns add "$PREFIX-$1"
  ip -n "$PREFIX-$1" link set lo up
  ip -n "$LAPTOP" link add "v$1" type veth peer name eth0 netns "$PREFIX-$1"
  ip -n "$LAPTOP" link set "v$1" master "$BRIDGE" up
  ip -n "$PREFIX-$1" addr add "$NET.$1/24" dev eth0
  ip -n "$PREFIX-$1" link set eth0 up
  ip -n "$PREFIX-$1" route add default via "$NET.254" # Ray finds its address by the default route
  mkdir -p "$WORK/host-$1/root/.ssh" "$WORK/host-$1/root/mmsr-env"
  cp "$WORK/key.pub" "$WORK/host-$1/root/.ssh/authorized_keys"
  # The environment that `cluster/setup.sh` would make: there is no network to install from.
  ln -s "$ENVIRONMENT"/{bin,lib,pyvenv.cfg} "$WORK/host-$1/root/mmsr-env/"
  (cd "$PROJECT" && cat pyproject.toml constraints.txt | sha256sum | cut -d ' ' -f 1) \
    >"$WORK/host-$1/root/mmsr-env/requirements"
  (enter "$1" /usr/sbin/sshd -D -e -f /dev/null -h "$WORK/hostkey" \
    -o "ListenAddress=$NET.$1" -o PidFile=none -o UsePAM=no -o PasswordAuthentication=no \
    -o PermitRootLogin=prohibit-password -o 'Subsystem=sftp internal-sftp' \
    >"$WORK/sshd-$1.log" 2>&1 </dev/null) &
  echo $! >>"$WORK/pids"
  disown
}

remove_hosts() {
  local pid netns
  if [ -f "$WORK/pids" ]; then
    while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done <"$WORK/pids"
  fi
  for netns in $(ip netns list | cut -d ' ' -f 1 | grep "^$PREFIX-[0-9]*$"); do
    ip netns del "$netns"
  done
}
