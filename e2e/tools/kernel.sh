#!/usr/bin/env bash
# Unpacks the newest kernel of Debian 12 (Linux 6.1) and a static busybox into .cache/kernel, for machines that qemu
# emulates, and prints that folder: vmlinuz, lib/modules and busybox.
# Usage: e2e/tools/kernel.sh
set -euo pipefail

fail() {
  echo "e2e/tools/kernel.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$0")/../.." && pwd)
target=$root/.cache/kernel

key=$(sha256sum "$0" | cut -c1-16)
if [ "$(cat "$target/.key" 2>/dev/null)" = "$key" ]; then
  echo "$target"
  exit 0
fi

# The name of the meta package does not change when Debian's archive moves on to the next build.
package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
[ -n "$package" ] || fail "apt-get knows no linux-image-amd64: run \`apt-get update\`, and see that bookworm is a source"
echo "kernel: downloading and unpacking $package into .cache/kernel" >&2
mkdir -p "$root/.cache"
work=$(mktemp -d "$root/.cache/kernel.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt drops its privileges for downloads and has to write here.
chmod 755 "$work" && mkdir "$work/archives" "$work/tree" && chmod 777 "$work/archives"
(cd "$work/archives" && apt-get -qq download "$package" busybox-static) || fail "apt-get cannot download $package"
# Without the drivers of devices that no emulated machine has: they are most of it.
for archive in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$work/tree" --exclude='./usr/share/*' --exclude='*/kernel/sound/*' \
    --exclude='*/kernel/drivers/net/ethernet/*' --exclude='*/kernel/drivers/net/wireless/*'
done
find "$work"/tree/lib/modules/*/kernel/drivers -mindepth 1 -maxdepth 1 -type d \
  ! -name block ! -name char ! -name md ! -name net ! -name virtio -exec rm -rf {} +
mv "$work"/tree/boot/vmlinuz-* "$work/tree/vmlinuz"
mv "$work/tree/bin/busybox" "$work/tree/busybox"
"$work/tree/busybox" depmod -b "$work/tree" "$(ls "$work/tree/lib/modules")"

rm -rf "$target"
echo "$key" >"$work/tree/.key"
mv "$work/tree" "$target"
echo "$target"
