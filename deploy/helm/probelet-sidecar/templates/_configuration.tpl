{{/* The ConfigMap of the sidecar, and how the values are read. */}}

{{- define "probelet.configMap" -}}
{{- $values := include "probelet.values" . | fromYaml -}}
{{- if not $values.existingConfigMap -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "probelet.configMap.name" . | quote }}
data:
  config.yaml: |
    {{- $values.configFile | default (toYaml $values.config) | trim | nindent 4 }}
{{- end }}
{{- end }}

{{- define "probelet.configMap.name" -}}
{{ printf "%s-probelet" .Release.Name }}
{{- end }}

{{/* What is below `probelet`, or below the library's own name where the dependency has no alias. */}}
{{- define "probelet.values" -}}
{{- $values := index .Values "probelet" | default (index .Values "probelet-sidecar") | default dict -}}
{{- if not (hasKey $values "probes") -}}
  {{- fail "the values of probelet are not found\n  help: give the dependency the alias: { name: probelet-sidecar, alias: probelet, … }" -}}
{{- end -}}
{{- $ways := list -}}
{{- range list "config" "configFile" "existingConfigMap" -}}
  {{- if index $values . -}}{{- $ways = append $ways . -}}{{- end -}}
{{- end -}}
{{- if not $ways -}}
  {{- fail "probelet has no configuration\n  help: write it below `probelet.config`, or pass a file: --set-file probelet.configFile=probelet.yaml" -}}
{{- else if gt (len $ways) 1 -}}
  {{- fail (printf "probelet has %d configurations: %s\n  help: keep one of them" (len $ways) (join ", " $ways)) -}}
{{- end -}}
{{- toYaml $values -}}
{{- end }}

{{- define "probelet.image" -}}
{{- with .image -}}
{{- if .digest -}}
  {{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .digest) -}}
    {{- fail (printf "image.digest is no digest: %s\n  help: sha256: and 64 hexadecimal digits" .digest) -}}
  {{- end -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default "0.1.0" }}
{{- end -}}
{{- end -}}
{{- end }}
