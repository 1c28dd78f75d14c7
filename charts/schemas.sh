#!/usr/bin/env bash
# Writes strict JSON schemas for kubeconform: of Kubernetes from its own OpenAPI document, of the Prometheus Operator from
# its CRDs. Both come out of Go modules, with their checksums, and need no network once the module cache holds them.
# Usage: charts/schemas.sh FOLDER
set -euo pipefail

kubernetes=k8s.io/kubernetes@v1.35.4
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
out=$1
stamp=$out/made-from
want="$kubernetes $operator $(sha256sum <"$0")"
[ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ] && exit 0

module() { go mod download -json "$1" | jq -er .Dir; }

mkdir -p "$out"
openapi=$(module $kubernetes)/api/openapi-spec/swagger.json
# An object that names its properties takes no others. OpenAPI 2 cannot say "string or number": its formats do.
jq -c '{definitions: .definitions | map_values(walk(
  if type != "object" then .
  elif .format? == "int-or-string" then {type: ["integer", "string"]}
  elif (.properties? | type) == "object" and (has("additionalProperties") | not) then . + {additionalProperties: false}
  else . end))}
  | .definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {type: ["number", "string"]}
' "$openapi" >"$out/definitions.json"
jq -r '.definitions | to_entries[] | .key as $definition | .value["x-kubernetes-group-version-kind"][]?
  | [(.kind | ascii_downcase), (.group | split(".")[0]), .version, $definition] | join(" ")
' "$openapi" | sed 's/  / - /' | while read -r kind group version definition; do
  [ "$group" = - ] && suffix=$version || suffix=$group-$version
  echo "{\"\$ref\": \"definitions.json#/definitions/$definition\"}" >"$out/$kind-$suffix.json"
done

crds=$(module $operator)/jsonnet/prometheus-operator
for kind in podmonitor servicemonitor; do
  jq -c '.spec.versions[] | select(.name == "v1").schema.openAPIV3Schema | walk(
    if type == "object" and (.properties? | type) == "object" and (has("additionalProperties") | not)
    then . + {additionalProperties: false} else . end)
  ' "$crds/${kind}s-crd.json" >"$out/$kind-monitoring-v1.json"
done
echo "$want" >"$stamp"
