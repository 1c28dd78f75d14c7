#!/usr/bin/env bash
# Writes go.mod and go.sum anew for another Kubernetes release: every module that Kubernetes itself requires is
# replaced by exactly the version that its release was built with, so that what runs in the lab is that release and
# the other programs here share its libraries.
# Usage: e2e/tools/kubernetes/update.sh v1.35.4      (then raise the other versions below and in ../build.sh)
set -euo pipefail

cd "$(dirname "$0")"
release=$1
staging_version=v0.${release#v1.}
upstream=$(go mod download -json "k8s.io/kubernetes@$release" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
staging=$(sed -n 's#^\t\(k8s\.io/[^ ]*\) => \./staging.*#\1#p' "$upstream/go.mod")

{
  cat <<END
module github.com/fairlead/fairlead/e2e/tools/kubernetes

go 1.26.0

// Upstream sets this for its own programs.
godebug default=go1.25

tool (
	github.com/helm-unittest/helm-unittest/cmd/helm-unittest
	github.com/norwoodj/helm-docs/cmd/helm-docs
	github.com/onsi/ginkgo/v2/ginkgo
	github.com/yannh/kubeconform/cmd/kubeconform
	helm.sh/helm/v3/cmd/helm
	k8s.io/kubernetes/test/images/agnhost
)

require (
	github.com/coredns/coredns v1.14.2
	github.com/helm-unittest/helm-unittest v1.1.2
	github.com/norwoodj/helm-docs v1.14.2
	github.com/yannh/kubeconform v0.8.0
	helm.sh/helm/v3 v3.21.0
	k8s.io/kubernetes $release
)

replace (
	// Upstream's own replace directive, which counts only where upstream is the main module.
	github.com/vmware-labs/yaml-jsonpath v0.3.2 => github.com/helm-unittest/yaml-jsonpath v0.4.0
	// The newest that builds with the libraries of this Kubernetes; helm-unittest asks for a newer one.
	helm.sh/helm/v3 => helm.sh/helm/v3 v3.21.0
)

// Kubernetes is built with exactly the versions that its own release is built with.
replace (
END
  sed -n 's#^\t\([^ ]*\) \(v[^ ]*\).*#\1 \2#p' "$upstream/go.mod" | while read -r module version; do
    if grep -qx "$module" <<<"$staging"; then
      version=$staging_version
    fi
    echo "	$module => $module $version"
  done
  echo ")"
} >go.mod
install -m 644 "$upstream/go.sum" go.sum

# Fills in what the programs need beyond that. `go mod tidy` cannot be used: tests of dependencies ask for versions
# that the replacements rule out.
export GOFLAGS=-mod=mod
go list -deps -test k8s.io/kubernetes/test/e2e >/dev/null
go list -deps ./... tool >/dev/null
