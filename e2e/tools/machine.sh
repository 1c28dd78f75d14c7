#!/usr/bin/env bash
# Sees that this machine can build and run the lab: says plainly what is missing, and installs the Debian packages
# that are programs only. Packages that start a service are never installed (see debs.sh).
# Usage: e2e/tools/machine.sh [build|lab|host]
#        build: compilers only; lab (the default): also root and its programs; host: also qemu
set -uo pipefail

purpose=${1:-lab}
missing=()

need() {
  command -v "$1" >/dev/null || missing+=("$2")
}

need cargo "Rust is missing: install it with rustup, which takes the version from rust-toolchain.toml"
need go "Go is missing: install Go 1.26.8 or newer and put it on the PATH"
if command -v cargo >/dev/null; then
  for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 ||
      missing+=("cargo $component is missing: run \`rustup component add ${component/fmt/rustfmt}\`")
  done
fi
if [ "$(uname -m)" != x86_64 ]; then
  missing+=("this machine is $(uname -m): only x86_64 is supported")
fi
if [ "$purpose" != build ] && [ "$(id -u)" != 0 ]; then
  missing+=("this is not root: namespaces and control groups need it, run make with sudo")
fi

# Programs and the Debian packages that bring them, none with a service.
packages=()
package() {
  command -v "$1" >/dev/null || packages+=("$2")
}
package gcc gcc
package jq jq
package clang-14 clang-14
package llvm-strip-14 llvm-14
[ -e /usr/include/bpf/bpf_helpers.h ] || packages+=(libbpf-dev)
[ -e /usr/include/stdlib.h ] || packages+=(libc6-dev)
if [ "$purpose" != build ]; then
  package bash bash
  package curl curl
  package ip iproute2
  package iptables iptables
  package nft nftables
  package ss iproute2
  package unshare util-linux
fi
if [ "$purpose" = host ]; then
  package qemu-system-x86_64 qemu-system-x86
fi

if [ ${#packages[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    missing+=("these programs' packages are missing and this is not Debian: ${packages[*]}")
  elif [ "$(id -u)" != 0 ]; then
    missing+=("Debian packages are missing: run \`apt-get install ${packages[*]}\` as root")
  else
    echo "Debian packages: installing ${packages[*]}"
    log=$(mktemp)
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "${packages[@]}"; } >"$log" 2>&1; then
      missing+=("apt-get cannot install ${packages[*]}: $(tail -n 1 "$log")")
    fi
    rm -f "$log"
  fi
fi

# systemd mounts it at boot; containers and some virtual machines come without.
if [ "$purpose" != build ] && [ "$(id -u)" = 0 ] && [ "$(stat -f -c %T /sys/fs/bpf 2>/dev/null)" != bpf_fs ]; then
  mount -t bpf bpf /sys/fs/bpf || missing+=("there is no BPF file system at /sys/fs/bpf and none can be mounted")
fi

if [ ${#missing[@]} -gt 0 ]; then
  echo "This machine lacks:" >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi
