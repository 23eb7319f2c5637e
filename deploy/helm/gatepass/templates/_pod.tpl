{{- define "gatepass.labels" -}}
app.kubernetes.io/name: gatepass
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "gatepass.selector" -}}
app.kubernetes.io/name: gatepass
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end }}

{{/* A command's has its content's hash: one that was left is never mounted with another text. */}}
{{- define "gatepass.catalogue" -}}
{{ .Release.Name }}{{ if .Values.command }}-command-{{ sha256sum .Values.catalogue | trunc 8 }}{{ end }}-catalogue
{{- end }}

{{- define "gatepass.pod" -}}
automountServiceAccountToken: false
# Variables of Services look like settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "gatepass.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: GATEPASS_PUBLIC_URL, value: {{ .Values.publicUrl | quote }}}
  - {name: GATEPASS_WORKERS, value: {{ .Values.workers | quote }}}
  - {name: GATEPASS_VERIFY_PORT, value: "8788"}
  {{- if .Values.grpc }}
  - {name: GATEPASS_GRPC_PORT, value: "8790"}
  {{- end }}
  - {name: GATEPASS_VERIFY_WORKERS, value: {{ .Values.verifyWorkers | quote }}}
  - {name: GATEPASS_METRICS_PORT, value: "8789"}
  - {name: GATEPASS_SHUTDOWN_DELAY, value: {{ .Values.shutdownDelay | quote }}}
  - {name: GATEPASS_TRUSTED_PROXIES, value: {{ join "," .Values.trustedProxies | default "none" | quote }}}
  - {name: GATEPASS_DATABASE_URL_FILE, value: /run/secrets/gatepass/database-url}
  - {name: GATEPASS_METRICS_TOKEN_FILE, value: /run/secrets/gatepass/metrics-token}
  {{- if .Values.secrets.smtpUrl }}
  - {name: GATEPASS_SMTP_URL_FILE, value: /run/secrets/gatepass/smtp-url}
  {{- end }}
  {{- if .Values.secrets.oidcClientSecret }}
  - {name: GATEPASS_OIDC_CLIENT_SECRET_FILE, value: /run/secrets/gatepass/oidc-client-secret}
  {{- end }}
  {{- if .Values.catalogue }}
  - {name: GATEPASS_CATALOGUE, value: /etc/gatepass/catalogue.yaml}
  {{- end }}
  {{- range $name, $value := .Values.settings }}
  - {name: GATEPASS_{{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  {{- range $name, $value := .Values.env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
volumeMounts:
  - {name: data, mountPath: /var/lib/gatepass}
  - {name: sealing-key, mountPath: /var/lib/gatepass/sealing-key, subPath: sealing-key, readOnly: true}
  - {name: secrets, mountPath: /run/secrets/gatepass, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- if .Values.catalogue }}
  - {name: catalogue, mountPath: /etc/gatepass, readOnly: true}
  {{- end }}
{{- end }}

{{- define "gatepass.volumes" -}}
- name: secrets
  secret:
    secretName: {{ .Values.secrets.name }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.secrets.databaseUrl }}, path: database-url}
      - {key: {{ .Values.secrets.metricsToken }}, path: metrics-token}
      {{- with .Values.secrets.smtpUrl }}
      - {key: {{ . }}, path: smtp-url}
      {{- end }}
      {{- with .Values.secrets.oidcClientSecret }}
      - {key: {{ . }}, path: oidc-client-secret}
      {{- end }}
- name: sealing-key
  secret:
    secretName: {{ .Values.secrets.name }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.secrets.sealingKey }}, path: sealing-key}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if .Values.catalogue }}
- name: catalogue
  configMap: {name: {{ include "gatepass.catalogue" . }}}
{{- end }}
{{- end }}
