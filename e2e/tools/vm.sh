#!/usr/bin/env bash
# Makes what machines of `fairlead-vm` boot from, in .cache/vm: user-mode-linux and its modules, LVM, tools for file
# systems and encryption, and the libraries that they load; Debian packages, unpacked and never installed.
# Usage: e2e/tools/vm.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=$root/.cache/vm

packages=(
  user-mode-linux kmod libkmod2
  lvm2 liblvm2cmd2.03 dmsetup dmeventd libdevmapper1.02.1 libdevmapper-event1.02.1 libaio1 libedit2
  thin-provisioning-tools
  cryptsetup-bin libcryptsetup12 libargon2-1 libpopt0 libjson-c5
  e2fsprogs libext2fs2 libcom-err2 libss2 logsave
  xfsprogs libinih1 liburcu8 libicu72
  btrfs-progs liblzo2-2
  util-linux mount libblkid1 libfdisk1 libmount1 libsmartcols1 libuuid1
)

fail() {
  echo "e2e/tools/vm.sh: $*" >&2
  exit 1
}

key=$(cat "$0" "$root/e2e/tools/uml/xstate.c" | sha256sum | cut -c1-16)
if [ "$(cat "$target/.key" 2>/dev/null)" = "$key" ]; then
  exit 0
fi

echo "machines with device-mapper: downloading and unpacking ${#packages[@]} Debian packages into .cache/vm"
mkdir -p "$root/.cache"
work=$(mktemp -d "$root/.cache/vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt drops its privileges for downloads and has to write here.
chmod 755 "$work" && mkdir "$work/archives" "$work/root" && chmod 777 "$work/archives"
(cd "$work/archives" && apt-get -qq download "${packages[@]}") ||
  fail "apt-get cannot download these packages: run \`apt-get update\`, and see that bookworm is a source"
for archive in "$work"/archives/*.deb; do
  dpkg-deb -x "$archive" "$work/root"
done

# Debian's packages still hold /sbin and /lib; a layer with folders of these names would hide the machine's links.
for folder in bin sbin lib lib64; do
  if [ -d "$work/root/$folder" ]; then
    mkdir -p "$work/root/usr/$folder"
    cp -a "$work/root/$folder/." "$work/root/usr/$folder/"
    rm -rf "${work:?}/root/$folder"
  fi
done
rm -rf "$work"/root/usr/share/{doc,man,locale,info} "$work"/root/{etc,var}

cc -O2 -Wall -Wextra -Werror -shared -fPIC -o "$work/root/usr/lib/uml/xstate.so" "$root/e2e/tools/uml/xstate.c" ||
  fail "cc cannot compile e2e/tools/uml/xstate.c"

# The kernel's modules where modprobe looks for them.
version=$(basename "$work"/root/usr/lib/uml/modules/*)
mkdir -p "$work/root/usr/lib/modules"
ln -s "../uml/modules/$version" "$work/root/usr/lib/modules/$version"
(
  export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
  exec -a depmod "$work/root/usr/bin/kmod" -b "$work/root/usr" "$version"
) || fail "depmod cannot index the modules of user-mode-linux $version"

rm -rf "$target"
mkdir -p "$target"
mv "$work/root" "$target/root"
echo "$key" >"$target/.key"
