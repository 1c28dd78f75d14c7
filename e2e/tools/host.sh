#!/usr/bin/env bash
# Makes what `fairlead-vm run --host` boots from, in .cache/host: Debian's kernel, an initial file system, and above what
# vm.sh unpacks udev with the rules of LVM and device-mapper, and LVM's own configuration. Installs qemu.
# Usage: e2e/tools/host.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$root/.cache/host

# lvm2 and dmsetup once more, for what vm.sh leaves out of them: /etc.
packages=(udev libudev1 libsystemd-shared libapparmor1 libcap2 libip4tc2 libseccomp2 lvm2 dmsetup)
# The kernel's modules that lead to the root file system, and those that cannot be asked for later.
modules=(virtio_pci virtio_blk virtio_console 9pnet_virtio 9p overlay loop dm_mod)

fail() {
  echo "e2e/tools/host.sh: $*" >&2
  exit 1
}

"$here/machine.sh" host
"$here/vm.sh"
kernel=$("$here/kernel.sh")
key=$(cat "$0" "$kernel/.key" "$root/.cache/vm/.key" | sha256sum | cut -c1-16)
if [ "$(cat "$target/.key" 2>/dev/null)" = "$key" ]; then
  exit 0
fi

echo "machines with udev: downloading and unpacking ${#packages[@]} Debian packages into .cache/host"
work=$(mktemp -d "$root/.cache/host.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt drops its privileges for downloads and has to write here.
chmod 755 "$work" && mkdir "$work/archives" && chmod 777 "$work/archives"
(cd "$work/archives" && apt-get -qq download "${packages[@]}") ||
  fail "apt-get cannot download these packages: run \`apt-get update\`, and see that bookworm is a source"
cp -al "$root/.cache/vm/root" "$work/root"
rm -rf "$work"/root/usr/lib/uml "$work"/root/usr/lib/modules "$work"/root/usr/bin/linux.uml
for archive in "$work"/archives/*.deb; do
  # /sbin and /lib are links on the machine: a folder of that name would hide them.
  dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$work/root" --exclude='./usr/share/*' \
    --transform='s,^\./\(s\?bin\|lib\)\(/\|$\),./usr/\1\2,'
done
mkdir -p "$work/root/usr/lib/modules"
cp -a "$kernel"/lib/modules/* "$work/root/usr/lib/modules/"
(
  export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
  exec -a depmod "$work/root/usr/bin/kmod" -b "$work/root/usr" "$(ls "$kernel/lib/modules")"
) || fail "depmod cannot index the kernel's modules"
if missing=$(LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu ldd "$work/root/usr/bin/udevadm" | grep 'not found'); then
  fail "udev lacks libraries: $missing"
fi

# The initial file system: it mounts this machine's root and starts fairlead-vm there.
initial=$work/initial
mkdir -p "$initial"/{bin,proc,sys,dev,root}
cp "$kernel/busybox" "$initial/bin/busybox"
cp -a "$kernel/lib" "$initial/lib"
find "$initial/lib/modules" -name '*.ko' | grep -vE 'kernel/(drivers/(block|char|md|virtio)|fs/(9p|fscache|netfs|overlayfs)|net/9p|lib)/' |
  xargs rm -f
"$kernel/busybox" depmod -b "$initial" "$(ls "$initial/lib/modules")"
cat >"$initial/init" <<INIT
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
modprobe -a ${modules[*]}
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose root /root
umount /proc
exec switch_root /root "\$fl_program" init
INIT
chmod +x "$initial/init"
(cd "$initial" && find . | "$kernel/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"

rm -rf "$work/archives" "$initial" "$target"
cp "$kernel/vmlinuz" "$work/vmlinuz"
chmod 755 "$work/root"
mkdir "$target"
mv "$work"/{vmlinuz,initrd,root} "$target"
echo "$key" >"$target/.key"
