{{/* What a schema cannot say of the values, with what to write instead. */}}
{{- define "probelet.checks" -}}
{{- $ways := list -}}
{{- range list "config" "configFile" "existingConfigMap" -}}
  {{- if index $.Values . -}}{{- $ways = append $ways . -}}{{- end -}}
{{- end -}}
{{- if gt (len $ways) 1 -}}
  {{- fail (printf "probelet has %d configurations: %s\n  help: keep one of them" (len $ways) (join ", " $ways)) -}}
{{- end -}}
{{- with .Values.image.digest -}}
  {{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) -}}
    {{- fail (printf "image.digest is no digest: %s\n  help: sha256: and 64 hexadecimal digits" .) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
  {{- fail "podMonitor and serviceMonitor are both enabled: every series would be there twice\n  help: keep podMonitor" -}}
{{- end -}}
{{- range list "podMonitor" "serviceMonitor" -}}
  {{- $interval := index $.Values . "interval" -}}
  {{- if not (regexMatch "^[0-9]+(ms|s|m)$" $interval) -}}
    {{- fail (printf "%s.interval is no duration: %s\n  help: 15s" . $interval) -}}
  {{- end -}}
{{- end -}}
{{- if not (regexMatch "^[0-9]+(Mi|Gi|Ti|M|G|T)$" .Values.persistence.size) -}}
  {{- fail (printf "persistence.size is no size: %s\n  help: 1Gi" .Values.persistence.size) -}}
{{- end -}}
{{- end }}
