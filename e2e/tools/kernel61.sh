#!/usr/bin/env bash
# Runs test programs on Debian's kernel 6.1, the oldest that policy is meant for, in a machine that qemu emulates.
#
#   e2e/tools/kernel61.sh PROGRAM [ARGUMENT…]
#
# The program runs as init's only child, as root, with the kernel's modules, a BPF file system, and the tools that
# tests call. Its output is shown and its success is this script's. Needs qemu-system-x86 (it is slow: no KVM).
set -euo pipefail

readonly MEMORY=1536M
readonly TOOLS=(/usr/sbin/ip /usr/sbin/tc /usr/sbin/nft)

die() {
  echo "kernel61: $*" >&2
  exit 1
}

[[ $# -ge 1 && -x $1 ]] || die "usage: kernel61.sh PROGRAM [ARGUMENT…]"
command -v qemu-system-x86_64 >/dev/null || die "qemu is missing: run \`apt-get install qemu-system-x86\` as root"

# The kernel and a shell, from Debian's archive.
debian=$("$(dirname "$0")/kernel.sh")
busybox=$debian/busybox
kernel=$(ls "$debian/lib/modules")

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,etc,usr/bin,usr/sbin,test}
cp "$busybox" "$root/bin/busybox"
modules=$root/lib/modules/$kernel
mkdir -p "$modules/kernel"
cp -r "$debian/lib/modules/$kernel"/modules.* "$modules"
for folder in net lib drivers/net; do
  mkdir -p "$modules/kernel/$folder"
  cp -r "$debian/lib/modules/$kernel/kernel/$folder/." "$modules/kernel/$folder"
done

# What tests call, with the libraries that they and the program need.
cp "$1" "$root/test/program"
for file in "${TOOLS[@]}" "$1"; do
  [[ -e $file ]] || continue
  [[ $file == "$1" ]] || cp "$file" "$root${file}"
  ldd "$file" | grep -o '/[^ ]*' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -Ln "$library" "$root$library"
  done
done
shift
printf '%s\n' "$@" >"$root/test/arguments"

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
# The kernel loads by itself what rules and links need.
ln -s /bin/busybox /sbin/modprobe
export PATH=/usr/sbin:/usr/bin:/sbin:/bin RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up
uname -sr
xargs /test/program </test/arguments
echo "kernel61: exit $?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$root.gz"
trap 'rm -rf "$root" "$root.gz" "$root.log"' EXIT

timeout 1800 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m "$MEMORY" -nographic -no-reboot \
  -nic none -kernel "$debian/vmlinuz" -initrd "$root.gz" \
  -append "console=ttyS0 quiet panic=-1 rdinit=/init" </dev/null | tr -d '\r' | tee "$root.log"
grep -q '^kernel61: exit 0$' "$root.log"
