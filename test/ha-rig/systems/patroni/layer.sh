#!/usr/bin/env bash
# Builds the layer over the lab's image that holds Patroni and etcd, once per recipe and image, and prints its path.
# The newest that a Debian suite gives is taken; PostgreSQL stays the image's, so that both systems run the same one.
# usage: layer.sh IMAGE      needs root
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
image=$1
recipe=$(sha256sum "$here/layer.sh" | cut -c1-12)
layer=$(dirname "$image")/patroni-$(basename "$image" | sed 's/^image-//')-$recipe
if [ -e "$layer.complete" ]; then echo "$layer"; exit 0; fi
exec 9>"$layer.lock"; flock 9
if [ -e "$layer.complete" ]; then echo "$layer"; exit 0; fi
work=$layer.work; root=$layer.root; log=$layer.log
: >"$log"; rm -rf "$layer" "$work" "$root"; mkdir -p "$layer" "$work" "$root"
unmount() { for m in "$root/proc" "$root"; do if mountpoint -q "$m"; then umount "$m"; fi; done; }
trap 'status=$?; unmount; rm -rf "$work" "$root"; if [ $status != 0 ]; then tail -n 20 "$log" >&2; fi' EXIT
mount -t overlay patroni-layer -o "lowerdir=$image,upperdir=$layer,workdir=$work" "$root"
mount -t proc proc "$root/proc"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"; chmod +x "$root/usr/sbin/policy-rc.d"
echo "$(hostname)" >"$root/etc/hostname"
cp /etc/resolv.conf "$root/etc/resolv.conf"
apt() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" apt-get "$@" >>"$log" 2>&1; }
apt update -q
apt install -y -q -t forky patroni python3-etcd python3-psycopg2 etcd-server etcd-client ||
  apt install -y -q patroni python3-etcd python3-psycopg2 etcd-server etcd-client
apt clean
rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"
chroot "$root" systemctl disable -q etcd patroni >>"$log" 2>&1 || true
echo "patroni layer [${SECONDS}s]: $(chroot "$root" patroni --version), $(chroot "$root" etcd --version | head -1)" >&2
unmount
touch "$layer.complete"
echo "$layer"
