#!/usr/bin/env bash
# Unpacks Debian packages into .cache/debs without installing them: programs that would start a service, and what
# only the test images hold.
# Usage: e2e/tools/debs.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=$root/.cache/debs

packages=(
  etcd-server containerd runc
  busybox-static netcat-openbsd libbsd0 libmd0
  # dig and the libraries it loads
  bind9-dnsutils bind9-libs libfstrm0 libicu72 libjemalloc2 libjson-c5 liblmdb0 libmaxminddb0 libnghttp2-14
  libprotobuf-c1 libuv1 libxml2
)

key=$(sha256sum "$0" | cut -c1-16)
if [ "$(cat "$target/.key" 2>/dev/null)" = "$key" ]; then
  exit 0
fi

echo "Debian packages: downloading and unpacking ${#packages[@]} into .cache/debs"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt drops its privileges for downloads and has to write here.
chmod 755 "$work" && mkdir "$work/archives" && chmod 777 "$work/archives"
(cd "$work/archives" && apt-get -qq download "${packages[@]}") || {
  echo "debs.sh: apt-get cannot download these packages: run \`apt-get update\`, and see that bookworm is a source" >&2
  exit 1
}
rm -rf "$target"
mkdir -p "$target"
for archive in "$work"/archives/*.deb; do
  dpkg-deb -x "$archive" "$target"
done
echo "$key" >"$target/.key"
