{{/* What the manifests have in common. */}}

{{- define "docmill.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "docmill.selector" -}}
app.kubernetes.io/name: docmill
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "docmill.labels" -}}
{{ include "docmill.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* A pod: without root, without rights, with nothing to write to but /tmp, and no way to the cluster's API. */}}
{{- define "docmill.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: temporary
    emptyDir: {sizeLimit: {{ .Values.temporarySizeLimit }}}
{{- end }}

{{- define "docmill.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: temporary, mountPath: /tmp}
{{- with .Values.secretSettings }}
envFrom:
{{- range . }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "docmill.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- /* as JSON, a number is not written as 2.1e+09 */}}
- {name: DOCMILL_{{ upper $name }}, value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}}
{{- end }}
{{- end }}

{{/* The addresses that one side of docmill gets: the admin's, or its own. */}}
{{- define "docmill.admin" -}}
- name: DOCMILL_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: {{ .Values.database.urlKey }}}}
{{- end }}

{{- define "docmill.logins" -}}
{{- if and .Values.database.apiUrlKey .Values.database.workerUrlKey }}
- name: DOCMILL_API_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: {{ .Values.database.apiUrlKey }}}}
- name: DOCMILL_WORKER_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: {{ .Values.database.workerUrlKey }}}}
{{- else }}
{{ include "docmill.admin" . }}
{{- end }}
{{- end }}

{{- define "docmill.workerLogin" -}}
{{- if and .Values.database.apiUrlKey .Values.database.workerUrlKey }}
- name: DOCMILL_WORKER_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: {{ .Values.database.workerUrlKey }}}}
{{- else }}
{{ include "docmill.admin" . }}
{{- end }}
{{- end }}
