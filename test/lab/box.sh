#!/usr/bin/env bash
# Runs a command in private network, mount, process, IPC and host-name namespaces: a whole lab, and every leak of it, ends with it.
# unshare ignores TERM and INT while it waits, so bound it with `timeout -s KILL`.
exec unshare --net --mount --pid --ipc --uts --fork --kill-child=KILL --propagation private bash -c '
  set -e
  mount -t proc proc /proc
  mkdir -p /run/netns; mount -t tmpfs -o mode=755 tmpfs /run/netns; mount --make-shared /run/netns
  mount -t sysfs sysfs /sys
  if [ "$PGHERD_BOX_CGROUP" = v1 ]; then
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    for c in memory cpu cpuacct cpuset devices freezer blkio pids; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c; done
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
  else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
  fi
  ip link set lo up
  "$@"' box "$@"
