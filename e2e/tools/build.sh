#!/usr/bin/env bash
# Builds the Go programs that the lab and the tests need, each once, into .cache/bin. A program is built again when
# its module, its sources here or its build line changes.
# Usage: e2e/tools/build.sh GROUP…
#   kubernetes   control plane, kubelet, kube-proxy, kubectl, agnhost, pause
#   charts       helm, helm-unittest, helm-docs, kubeconform
#   cni          the reference plugins bridge, host-local, loopback, portmap, and cnitool
#   e2e          upstream's end-to-end tests and ginkgo
#   containerd   containerd 2
#   coredns      cluster DNS, for the conformance tests
#   csi          csi-sanity, the tests of CSI drivers
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/.cache/bin
logs=$root/.cache/log
kubernetes=v1.35.4

# Versions stand in go.mod files and nowhere else; the machine's Go settings must not change what is built.
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOWORK=off

version=k8s.io/component-base/version
stamp="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${kubernetes:3:2}"
stamp+=" -X $version.gitTreeState=clean -X $version.gitCommit=0000000000000000000000000000000000000000"
stamp+=" -X $version.buildDate=2026-01-01T00:00:00Z"

fail() {
  echo "e2e/tools/build.sh: $*" >&2
  exit 1
}

# What a program depends on, but for the module cache, which go.sum pins.
key_of() {
  {
    echo "$@"
    go version
    find "$root/e2e/tools/$1" -type f | sort | xargs sha256sum
  } | sha256sum | cut -c1-16
}

# unchanged NAME KEY: whether the program was built from exactly this.
unchanged() {
  [ -e "$bin/$1" ] && [ "$(cat "$bin/.keys/${1//\//-}" 2>/dev/null)" = "$2" ]
}

built() {
  mkdir -p "$bin/.keys"
  echo "$2" >"$bin/.keys/${1//\//-}"
}

# program NAME MODULE SUBCOMMAND… PACKAGE: builds one program, with a line every few seconds.
program() {
  local name=$1 module=$2 key log start
  shift 2
  key=$(key_of "$module" "$@" "$stamp")
  if unchanged "$name" "$key"; then
    return
  fi
  log=$logs/build-${name//\//-}.log
  start=$SECONDS
  echo "$name: building"
  mkdir -p "$(dirname "$bin/$name")" "$logs"
  (cd "$root/e2e/tools/$module" && exec nice -n 10 go "${@:1:$#-1}" -v -trimpath -ldflags "$stamp" -o "$bin/$name" "${@: -1}") \
    >"$log" 2>&1 &
  local job=$! next=5
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.5
    if [ $((SECONDS - start)) -ge "$next" ]; then
      echo "$name: $((SECONDS - start)) s, $(grep -c . "$log" || true) packages compiled"
      next=$((SECONDS - start + 10))
    fi
  done
  if ! wait "$job"; then
    tail -n 20 "$log" >&2
    fail "$name does not build; the whole output is in ${log#"$root"/}"
  fi
  built "$name" "$key"
  echo "$name: built in $((SECONDS - start)) s"
}

module_folder() {
  (cd "$root/e2e/tools/$1" && go list -m -f '{{.Dir}}' "$2")
}

# Upstream's pause is C; the certificates are what agnhost's porter serves.
pause_and_certificates() {
  local source key
  source=$(module_folder kubernetes k8s.io/kubernetes)
  key=$(key_of kubernetes pause)
  if unchanged pause "$key"; then
    return
  fi
  gcc -Os -static -s -DVERSION="$kubernetes" -o "$bin/pause" "$source/build/pause/linux/pause.c"
  install -D -m 644 -t "$bin/agnhost.d" "$source"/test/images/agnhost/porter/localhost.{crt,key}
  built pause "$key"
  echo "pause: built"
}

group() {
  case $1 in
  kubernetes)
    program hyperkube kubernetes build ./hyperkube
    for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
      ln -sf hyperkube "$bin/$name"
    done
    program agnhost kubernetes build k8s.io/kubernetes/test/images/agnhost
    pause_and_certificates
    ;;
  charts)
    program helm kubernetes build helm.sh/helm/v3/cmd/helm
    program helm-unittest kubernetes build github.com/helm-unittest/helm-unittest/cmd/helm-unittest
    program helm-docs kubernetes build github.com/norwoodj/helm-docs/cmd/helm-docs
    program kubeconform kubernetes build github.com/yannh/kubeconform/cmd/kubeconform
    ;;
  cni)
    program cnitool cni build github.com/containernetworking/cni/cnitool
    for name in ipam/host-local main/bridge main/loopback meta/portmap; do
      program "cni/${name#*/}" cni build "github.com/containernetworking/plugins/plugins/$name"
    done
    ;;
  e2e)
    program ginkgo kubernetes build github.com/onsi/ginkgo/v2/ginkgo
    program e2e.test kubernetes test -c k8s.io/kubernetes/test/e2e
    ;;
  containerd)
    for name in containerd containerd-shim-runc-v2 ctr; do
      program "$name" containerd build "github.com/containerd/containerd/v2/cmd/$name"
    done
    ;;
  coredns) program coredns kubernetes build ./coredns ;;
  csi) program csi-sanity csi build github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity ;;
  *) fail "unknown group $1: must be kubernetes, charts, cni, e2e, containerd, coredns or csi" ;;
  esac
}

command -v go >/dev/null || fail "Go is missing: install Go 1.26.8 or newer and put it on the PATH"
command -v gcc >/dev/null || fail "gcc is missing: install Debian's gcc and libc6-dev"
[ $# -gt 0 ] || fail "name at least one group; they are listed at the head of this file"
for name in "$@"; do
  group "$name"
done
