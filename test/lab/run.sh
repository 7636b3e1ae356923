#!/usr/bin/env bash
# Runs the lab's tests in a box: run.sh [bun test arguments]. Builds the image first when it is not there.
# run.sh --script FILE [arguments] runs a script in a box instead, for as long as it takes.
# run.sh --can prints "yes", or why this machine cannot host a lab.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
can() {
  if [ "$(id -u)" != 0 ]; then echo "it needs root"
  elif ! unshare --net --mount --pid --fork true 2>/dev/null; then echo "this machine does not allow namespaces"
  else echo yes; fi
}
if [ "${1:-}" = --can ]; then can; exit 0; fi
if [ "$(can)" != yes ]; then echo "lab: $(can)" >&2; exit 1; fi
need=()
for pair in nft:nftables iptables:iptables ip:iproute2 debootstrap:debootstrap; do command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}"); done
if [ ${#need[@]} -gt 0 ]; then apt-get install -y -q --no-install-recommends "${need[@]}" >&2; fi
PGHERD_LAB_IMAGE=$("$here/image.sh"); export PGHERD_LAB_IMAGE
PGHERD_LAB_DIRECTORY=$(mktemp -d "${PGHERD_LAB_PLACE:-/var/tmp}/pgherd-lab-XXXXXX"); export PGHERD_LAB_DIRECTORY
PGHERD_BOX_CGROUP=v2; if [ -d /sys/fs/cgroup/memory ]; then PGHERD_BOX_CGROUP=v1; fi; export PGHERD_BOX_CGROUP
clean() {
  rm -rf "$PGHERD_LAB_DIRECTORY"
  find /sys/fs/cgroup -depth -type d -path "*/lab-${PGHERD_LAB_DIRECTORY##*pgherd-lab-}-*" -exec rmdir {} \; 2>/dev/null || true
}
trap clean EXIT
if [ "${1:-}" = --script ]; then shift; "$here/box.sh" bun "$@"; exit; fi
timeout -s KILL "${PGHERD_LAB_SECONDS:-2300}" "$here/box.sh" bun test "${@:-$here}"
