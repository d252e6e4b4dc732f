{{/*
The sidecar for a chart of your own, ../../example is a whole one. In its Chart.yaml:

  dependencies:
    - { name: probelet-sidecar, alias: probelet, version: 0.1.0, repository: "file://…" }

and in the template of the workload:

  initContainers:
    {{- include "probelet.sidecar" . | nindent 4 }}
  containers:
    - name: orders
      {{- include "probelet.probes" . | nindent 6 }}
  volumes:
    {{- include "probelet.volumes" . | nindent 4 }}

and once, in a file of its own, the ConfigMap: {{ include "probelet.configMap" . }}

A chart with several workloads names the dependency once for each, with an alias of its own, and says which is meant:
{{ include "probelet.sidecar" (list . "worker") }}.

Values are below the alias, see ../values.yaml. ../../../kubernetes.yaml says what each line of the sidecar is for. No checksum
of the configuration is needed in the pod's annotations: a change of the ConfigMap is adopted within the running pods.
*/}}

{{- define "probelet.sidecar" -}}
{{- $values := include "probelet.values" . | fromYaml -}}
- name: probelet
  image: {{ include "probelet.image" $values | quote }}
  {{- with $values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  restartPolicy: Always
  args: [run, --config-error, serve]
  env:
    - name: POD_NAME
      valueFrom: { fieldRef: { fieldPath: metadata.name } }
    - name: POD_UID
      valueFrom: { fieldRef: { fieldPath: metadata.uid } }
    - name: POD_IP
      valueFrom: { fieldRef: { fieldPath: status.podIP } }
    - { name: PROBELET_STATE, value: /state }
    {{- with $values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: probelet
      containerPort: 10240
  startupProbe:
    httpGet: { path: /-/healthy, port: 10240 }
    periodSeconds: 1
    failureThreshold: 30
  livenessProbe:
    httpGet: { path: /-/healthy, port: 10240 }
    periodSeconds: 3
    failureThreshold: 2
    terminationGracePeriodSeconds: 1
  lifecycle:
    preStop:
      exec: { command: [/probelet, drain] }
  securityContext:
    {{- toYaml $values.securityContext | nindent 4 }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  volumeMounts:
    - { name: probelet, mountPath: /etc/probelet, readOnly: true }
    - { name: probelet-state, mountPath: /state }
    {{- range $values.secrets }}
    - { name: {{ printf "probelet-%s" (. | replace "." "-") | quote }}, mountPath: {{ printf "/run/secrets/%s" . | quote }}, readOnly: true }
    {{- end }}
    {{- with $values.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "probelet.probes" -}}
{{- $values := include "probelet.values" . | fromYaml -}}
startupProbe:
  httpGet: { path: /startupz, port: 10240 }
  {{- toYaml $values.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: { path: /livez, port: 10240 }
  {{- toYaml $values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: 10240 }
  {{- toYaml $values.probes.readiness | nindent 2 }}
{{- end }}

{{- define "probelet.volumes" -}}
{{- $values := include "probelet.values" . | fromYaml -}}
- name: probelet
  configMap: { name: {{ $values.existingConfigMap | default (include "probelet.configMap.name" .) | quote }} }
- name: probelet-state
  emptyDir: {}
{{- range $values.secrets }}
- name: {{ printf "probelet-%s" (. | replace "." "-") | quote }}
  secret: { secretName: {{ . | quote }} }
{{- end }}
{{- with $values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
