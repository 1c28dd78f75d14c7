{{/* Labels that select the agent's pods. They never change: a DaemonSet's selector is immutable. */}}
{{- define "fairlead.selectorLabels" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/component: agent
{{- end }}

{{/* Labels of every object. */}}
{{- define "fairlead.labels" -}}
{{ include "fairlead.selectorLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Reference of the image: by digest when one is given. */}}
{{- define "fairlead.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The agent's configuration: the values of the same names, and what this chart fixes by its mounts. */}}
{{- define "fairlead.agentConfig" -}}
{{- /* What a schema cannot say. */ -}}
{{- with .Values.network.vxlan -}}
{{- with .sourcePorts -}}
{{- if gt (int .from) (int .to) -}}
{{- fail (printf "network.vxlan.sourcePorts goes from %v to %v: its first port must not be above its last" .from .to) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "^fl[0-9a-fA-F]{12}$" (.device | default "") -}}
{{- fail (printf "network.vxlan.device is %s: pods' links are named fl and 12 hexadecimal digits, take another name" .device) -}}
{{- end -}}
{{- end -}}
{{- $config := pick .Values "network" "node" "masquerade" "policy" "forwardAccept" "setNetworkUnavailable" "cni" "gc" "resyncPeriod" "health" "metrics" "log" -}}
{{- toYaml $config -}}
{{- end }}

{{/* The port of a listen address: what follows its last colon. */}}
{{- define "fairlead.port" -}}
{{ splitList ":" . | last }}
{{- end }}

{{/* The host of a listen address as a probe wants it: without the brackets of IPv6. */}}
{{- define "fairlead.host" -}}
{{ regexReplaceAll ":[0-9]+$" . "" | trimAll "[]" }}
{{- end }}

{{/* A probe of the health endpoint. Arguments: root, path. */}}
{{- define "fairlead.probe" -}}
httpGet:
  host: {{ include "fairlead.host" .root.Values.health.listen | quote }}
  port: {{ include "fairlead.port" .root.Values.health.listen }}
  path: {{ .path }}
{{- end }}

{{/* The folder of the container runtime's socket. */}}
{{- define "fairlead.runtimeDir" -}}
{{ .Values.gc.runtimeEndpoint | trimPrefix "unix://" | dir }}
{{- end }}
