#!/usr/bin/env bash
# First process of a lab host's namespaces: mounts, pivots into the host's root, becomes its init.
# usage: host-init.sh DIRECTORY NAME units-v1|units-v2
set -e
d=$1 name=$2 kind=$3 root=$1/root
read -r pid _ </proc/self/stat # the outer /proc is still mounted: this is our pid as the lab sees it
hostname "$name"
mount --bind "$root" "$root" # pivot_root wants a mount point
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
if [ "$kind" = units-v1 ]; then # the legacy hierarchy really enforces MemoryMax and CPUQuota of units
  mount -t tmpfs -o mode=755,size=1m tmpfs "$root/sys/fs/cgroup"
  for c in memory cpu cpuacct pids cpuset blkio freezer devices; do mkdir "$root/sys/fs/cgroup/$c"; mount -t cgroup -o $c cgroup "$root/sys/fs/cgroup/$c"; done
  mkdir "$root/sys/fs/cgroup/systemd"; mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  echo "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1" >"$d/cmdline"
  mount --bind "$d/cmdline" "$root/proc/cmdline"
else
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
fi
cat /proc/sys/kernel/random/uuid >"$d/boot_id" # the kernel's own is the same in every host and after every "reboot"
mount --bind "$d/boot_id" "$root/proc/sys/kernel/random/boot_id"
mount -t tmpfs -o mode=755,size=4m tmpfs "$root/dev"
for n in null zero full random urandom tty; do touch "$root/dev/$n"; mount --bind "/dev/$n" "$root/dev/$n"; done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
ln -s /proc/self/fd "$root/dev/fd"; ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"; ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777,size=1g tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755,size=64m tmpfs "$root/run"
mount -t tmpfs -o mode=1777,size=256m tmpfs "$root/tmp"
mkdir "$root/run/lock"
# Data on the real file system rather than on the overlay.
if [ -f "$d/binds" ]; then while read -r source target; do mkdir -p "$source" "$root$target"; mount --bind "$source" "$root$target"; done <"$d/binds"; fi
cd "$root"; mkdir -p .outer; pivot_root . .outer
echo "$pid" >".outer$d/pid.tmp"; mv ".outer$d/pid.tmp" ".outer$d/pid"
umount -l /.outer; rmdir /.outer
cd /
exec env -i container=lab container_uuid="$(cat /proc/sys/kernel/random/uuid)" PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=console --show-status=no
