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
{{- if kindIs "slice" . -}}
{{ printf "%s-%s" (index . 0).Release.Name (index . 1) }}
{{- else -}}
{{ printf "%s-probelet" .Release.Name }}
{{- end -}}
{{- end }}

{{/* What is below `probelet`, or below another alias: (list . "worker"). */}}
{{- define "probelet.values" -}}
{{- $root := . -}}
{{- $alias := "probelet" -}}
{{- if kindIs "slice" . -}}
  {{- $root = index . 0 -}}
  {{- $alias = index . 1 -}}
{{- end -}}
{{- $values := index $root.Values $alias | default dict -}}
{{- if not (hasKey $values "probes") -}}
  {{- fail (printf "the values of probelet are not found below `%s`\n  help: give the dependency the alias: { name: probelet-sidecar, alias: %s, … }" $alias $alias) -}}
{{- end -}}
{{- $ways := list -}}
{{- range list "config" "configFile" "existingConfigMap" -}}
  {{- if index $values . -}}{{- $ways = append $ways . -}}{{- end -}}
{{- end -}}
{{- if not $ways -}}
  {{- fail (printf "%s has no configuration\n  help: write it below `%s.config`, or pass a file: --set-file %s.configFile=probelet.yaml" $alias $alias $alias) -}}
{{- else if gt (len $ways) 1 -}}
  {{- fail (printf "%s has %d configurations: %s\n  help: keep one of them" $alias (len $ways) (join ", " $ways)) -}}
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
