#!/usr/bin/env bash
# Tests of the chart: lint, every value set against strict schemas, unit tests of the templates, values that must be
# refused, the rendered configuration against the agent itself, and the generated README.
# Usage: charts/test.sh [--write]      --write makes the README again instead of comparing it
# Needs jq, Go, cargo, and the programs of 'e2e/tools/build.sh charts' in .cache/bin (or TOOLS).
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
chart=$root/charts/fairlead
tools=${TOOLS:-$root/.cache/bin}
kube=1.35.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# check NAME COMMAND…: runs it, prints one line, and the command's output when it failed.
check() {
  local name=$1
  shift
  if "$@" >"$work/out" 2>&1; then
    printf 'ok      %s\n' "$name"
  else
    printf 'FAILED  %s\n' "$name"
    sed 's/^/        /' "$work/out"
    failed=$((failed + 1))
  fi
}

render() {
  "$tools/helm" template fairlead "$chart" --namespace kube-system --kube-version $kube \
    --api-versions monitoring.coreos.com/v1/PodMonitor --api-versions monitoring.coreos.com/v1/ServiceMonitor "$@"
}

# Manifests are valid Kubernetes, with no field that Kubernetes does not know.
valid() {
  "$tools/kubeconform" -strict -summary -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$1"
}

conforms() {
  render --values "$1" >"$work/manifests.yaml" && valid "$work/manifests.yaml"
}

# A misspelt field is found.
misspelt_is_found() {
  render | sed "s/hostNetwork:/hostNetwrk:/" >"$work/misspelt.yaml"
  valid "$work/misspelt.yaml" >"$work/found"
  grep -F "additional properties 'hostNetwrk' not allowed" "$work/found"
}

# Pods of the agent change with its configuration, and with nothing that the configuration does not hold.
checksum() { render "$@" --show-only templates/daemonset.yaml | sed -n "s,.*checksum/config: ,,p"; }
restarts_for_configuration_only() {
  local as_is; as_is=$(checksum)
  test -n "$as_is" &&
    test "$as_is" = "$(checksum --set image.tag=dev --set podAnnotations.a=b --set resources.limits.memory=1Gi)" &&
    test "$as_is" != "$(checksum --set log.level=debug)"
}

# The agent takes the configuration that a value set renders to.
agent_accepts() {
  render --values "$1" --show-only templates/configmap.yaml >"$work/configmap.yaml" &&
    sed -n '/^  agent.yaml: |$/,$p' "$work/configmap.yaml" | sed '1d; s/^    //' >"$work/agent.yaml" &&
    test -s "$work/agent.yaml" &&
    "$agent" check-config "$work/agent.yaml"
}

# Values that must be refused, with the exact line that says why.
refused() {
  local value=$1 want=$2
  if render --set-json "$value" >"$work/refused" 2>&1; then
    echo "rendered, though it should be refused"
    return 1
  fi
  # Where in the templates a value was refused does not matter.
  sed -i 's/^Error: execution error at ([^)]*): //' "$work/refused"
  grep -qxF -- "$want" "$work/refused" || { echo "wanted: $want"; sed 's/^/got:    /' "$work/refused"; return 1; }
}

# The chart's README is what its values say.
readme() {
  cp -r "$chart" "$work/readme"
  "$tools/helm-docs" --chart-search-root "$work/readme" --log-level warning || return 1
  if [ "$write" = 1 ]; then
    cp "$work/readme/README.md" "$chart/README.md"
  else
    diff -u "$chart/README.md" "$work/readme/README.md" || { echo "make it again: charts/test.sh --write"; return 1; }
  fi
}

write=0
[ "${1:-}" = --write ] && write=1
for tool in helm kubeconform helm-unittest helm-docs; do
  [ -x "$tools/$tool" ] || { echo "$tools/$tool is missing: run e2e/tools/build.sh charts"; exit 1; }
done
for tool in jq go cargo; do
  command -v $tool >/dev/null || { echo "$tool is missing: install it"; exit 1; }
done
cargo build --quiet --manifest-path "$root/Cargo.toml" --package fairlead-agent || exit 1
agent=$(cargo metadata --manifest-path "$root/Cargo.toml" --format-version 1 --no-deps | jq -r .target_directory)/debug/fairlead-agent

check "README follows the values" readme
check "lint" "$tools/helm" lint --strict --kube-version $kube "$chart"
check "schemas" "$root/charts/schemas.sh" "$work/schemas"
for values in "$chart"/ci/*-values.yaml; do
  name=$(basename "$values" -values.yaml)
  check "lint $name" "$tools/helm" lint --strict --kube-version $kube --values "$values" "$chart"
  check "conforms $name" conforms "$values"
  check "agent accepts $name" agent_accepts "$values"
done
while IFS=$'\t' read -r value want; do
  case $value in '' | '#'*) continue ;; esac
  check "refuses $value" refused "$value" "$want"
done <"$root/charts/refused.tsv"
check "finds a misspelt field" misspelt_is_found
check "restarts for configuration only" restarts_for_configuration_only
check "template suites" "$tools/helm-unittest" --strict "$chart"

[ $failed = 0 ] || { echo "$failed chart checks failed"; exit 1; }
