{{- define "infra-watch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for "-collector" and for what controllers append: CronJobs and StatefulSets may have 52 characters. */}}
{{- define "infra-watch.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects pods: never changes, or upgrades fail. (dict "root" $ "component" "backend") */}}
{{- define "infra-watch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "infra-watch.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "infra-watch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "infra-watch.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.image) */}}
{{- define "infra-watch.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "infra-watch.serviceAccountName" -}}
{{- default (ternary (include "infra-watch.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "infra-watch.agent.serviceAccountName" -}}
{{- $name := printf "%s-agent" (include "infra-watch.fullname" .) -}}
{{- with .Values.agent.serviceAccount -}}
{{- default (ternary $name "default" .create) .name -}}
{{- end -}}
{{- end -}}

{{- define "infra-watch.secretName" -}}
{{- default (include "infra-watch.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{/* What the Secret of this release holds: what it holds already, and what is missing, made once for all templates. */}}
{{- define "infra-watch.secretData" -}}
{{- if not (hasKey .Values "secretData") -}}
  {{- $there := lookup "v1" "Secret" .Release.Namespace (include "infra-watch.fullname" .) | default dict -}}
  {{- $data := dict -}}
  {{- range $key := list .Values.secretKeys.adminPassword .Values.secretKeys.enrollmentKey -}}
    {{- $_ := set $data $key (get ($there.data | default dict) $key | default (randAlphaNum 32 | b64enc)) -}}
  {{- end -}}
  {{- $_ := set .Values "secretData" $data -}}
{{- end -}}
{{- toYaml .Values.secretData -}}
{{- end -}}

{{/* Changes when the Secret does, so that pods start anew. Of a Secret that others made, its version says so: a hash of
what is in it would help whoever guesses passwords. */}}
{{- define "infra-watch.secretChecksum" -}}
{{- if .Values.existingSecret -}}
{{- $there := lookup "v1" "Secret" .Release.Namespace .Values.existingSecret | default dict -}}
{{- printf "%s %s" .Values.existingSecret (dig "metadata" "resourceVersion" "" $there) | sha256sum -}}
{{- else -}}
{{- include "infra-watch.secretData" . | sha256sum -}}
{{- end -}}
{{- end -}}

{{/* The Service's name, as it stands in a certificate. */}}
{{- define "infra-watch.host" -}}
{{- printf "%s.%s.svc" (include "infra-watch.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "infra-watch.url" -}}
{{- printf "%s://%s:%v" (ternary "https" "http" (not (empty .Values.tls.existingSecret))) (include "infra-watch.host" .) .Values.service.port -}}
{{- end -}}

{{/* Where clients find the backend: (dict "root" $ "server" .Values.agent.server "of" "agent") */}}
{{- define "infra-watch.server" -}}
{{- if .server -}}
{{- .server -}}
{{- else if .root.Values.backend.enabled -}}
{{- include "infra-watch.url" .root -}}
{{- else -}}
{{- fail (printf "%s.server is needed: this release has no backend" .of) -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the CA that a client believes, as YAML of name and key; empty for the system's certificates.
(dict "root" $ "server" .Values.agent.server "caSecret" .Values.agent.caSecret) */}}
{{- define "infra-watch.ca" -}}
{{- $tls := .root.Values.tls -}}
{{- if .caSecret.name -}}
{{- toYaml .caSecret -}}
{{- else if and $tls.existingSecret $tls.caKey (not .server) -}}
{{- dict "name" $tls.existingSecret "key" $tls.caKey | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "infra-watch.publicUrl" -}}
{{- $url := .Values.publicUrl -}}
{{- if and (not $url) .Values.ingress.enabled .Values.ingress.hosts -}}
  {{- $host := (first .Values.ingress.hosts).host -}}
  {{- range .Values.ingress.tls -}}
    {{- if has $host (.hosts | default list) -}}
      {{- $url = printf "https://%s" $host -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $url -}}
{{- end -}}

{{/* Numbers of values are floating, and settings are whole numbers. */}}
{{- define "infra-watch.toml" -}}
{{- range $key, $value := . -}}
  {{- if kindIs "float64" $value -}}
    {{- $_ := set $ $key (int64 $value) -}}
  {{- end -}}
{{- end -}}
{{- toToml . -}}
{{- end -}}

{{- define "infra-watch.config" -}}
{{- $config := dict
  "admin_username" .Values.adminUsername
  "admin_password_file" "/run/secrets/infra-watch/admin-password"
  "enrollment_key_file" "/run/secrets/infra-watch/enrollment-key" -}}
{{- if .Values.secretKeys.jwtSecret -}}
  {{- $_ := set $config "jwt_secret_file" "/run/secrets/infra-watch/jwt-secret" -}}
{{- end -}}
{{- with include "infra-watch.publicUrl" . -}}
  {{- $_ := set $config "public_url" . -}}
{{- end -}}
{{- with .Values.trustedProxies -}}
  {{- $_ := set $config "trusted_proxies" . -}}
{{- end -}}
{{- if .Values.tls.existingSecret -}}
  {{- $_ := set $config "tls_cert" "/run/secrets/tls/tls.crt" -}}
  {{- $_ := set $config "tls_key" "/run/secrets/tls/tls.key" -}}
{{- end -}}
{{- include "infra-watch.toml" (merge (deepCopy .Values.config) $config) -}}
{{- end -}}

{{- define "infra-watch.agent.config" -}}
{{- $config := dict
  "server" (include "infra-watch.server" (dict "root" . "server" .Values.agent.server "of" "agent"))
  "enrollment_key_file" "/run/secrets/infra-watch/enrollment-key"
  "state_dir" "/var/lib/infra-watch-agent"
  "host_root" "/host" -}}
{{- if include "infra-watch.ca" (dict "root" . "server" .Values.agent.server "caSecret" .Values.agent.caSecret) -}}
  {{- $_ := set $config "ca_file" "/run/secrets/ca/ca.crt" -}}
{{- end -}}
{{- include "infra-watch.toml" (merge (deepCopy .Values.agent.config) $config) -}}
{{- end -}}

{{/* What the pods of jobs have in common. */}}
{{- define "infra-watch.jobPod" -}}
serviceAccountName: {{ include "infra-watch.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
restartPolicy: Never
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Volume of one key of a Secret, as the file PATH: (dict "volume" "token" "secret" (name, key) "path" "token") */}}
{{- define "infra-watch.secretVolume" -}}
name: {{ .volume }}
secret:
  secretName: {{ .secret.name }}
  # Of root; the pod's group reads it.
  defaultMode: 0440
  items:
    - key: {{ .secret.key }}
      path: {{ .path }}
{{- end -}}

{{- define "infra-watch.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- if eq .storageClass "-" }}
storageClassName: ""
{{- else if .storageClass }}
storageClassName: {{ .storageClass }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end -}}
