{{/* Names, labels and fragments that several templates share. */}}

{{- define "trainyard.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | replace "." "-" | lower -}}
{{- end -}}

{{/*
trainyard.name (list . SUFFIX MAX): the full name and a suffix in at most MAX characters. What is too long is cut and gets
a hash of the whole, so that two long names stay apart.
*/}}
{{- define "trainyard.name" -}}
{{- $root := index . 0 -}}
{{- $suffix := index . 1 -}}
{{- $max := int (index . 2) -}}
{{- $base := include "trainyard.fullname" $root -}}
{{- $tail := ternary (printf "-%s" $suffix) "" (ne $suffix "") -}}
{{- if le (add (len $base) (len $tail) | int) $max -}}
{{- printf "%s%s" $base $tail -}}
{{- else -}}
{{- $keep := sub (sub $max (len $tail)) 9 | int -}}
{{- printf "%s-%s%s" ($base | trunc $keep | trimSuffix "-") ($base | sha256sum | trunc 8) $tail -}}
{{- end -}}
{{- end -}}

{{/*
52: a StatefulSet's name is the value of a label together with a hash of 10. 46: a Deployment's pods get two hashes more,
and their names are the workers' names, of at most 63.
*/}}
{{- define "trainyard.server.name" -}}{{ include "trainyard.name" (list . "server" 52) }}{{- end -}}
{{- define "trainyard.pool.name" -}}{{ include "trainyard.name" (list (index . 0) (printf "worker-%s" (index . 1)) 46) }}{{- end -}}
{{- define "trainyard.resource.name" -}}{{ include "trainyard.name" (list (index . 0) (index . 1) 63) }}{{- end -}}

{{- define "trainyard.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "trainyard.resource.name" (list . "")) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "trainyard.releaseSelector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* trainyard.selector (list . COMPONENT [POOL]): never changes in an object's life. */}}
{{- define "trainyard.selector" -}}
{{ include "trainyard.releaseSelector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if gt (len .) 2 }}
trainyard.dev/pool: {{ index . 2 }}
{{- end }}
{{- end -}}

{{/* trainyard.metadata (list . NAME SELECTOR [LABELS] [ANNOTATIONS]): the body of an object's metadata. */}}
{{- define "trainyard.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := dict -}}
{{- if gt (len .) 3 }}{{ $labels = default dict (index . 3) }}{{ end -}}
{{- $annotations := dict -}}
{{- if gt (len .) 4 }}{{ $annotations = default dict (index . 4) }}{{ end -}}
{{- $annotations = merge (dict) $annotations $root.Values.commonAnnotations -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/part-of: trainyard
  {{- index . 2 | nindent 2 }}
  {{- with merge (dict) $labels $root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* trainyard.image (list . IMAGE): registry/repository@digest or :tag. */}}
{{- define "trainyard.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $path := $image.repository -}}
{{- with $root.Values.image.registry }}{{ $path = printf "%s/%s" (trimSuffix "/" .) $path }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $path $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* trainyard.overlay (dict "base" MAP "over" MAP): over's values win, false and 0 included; maps key by key. As JSON. */}}
{{- define "trainyard.overlay" -}}
{{- $out := deepCopy .base -}}
{{- range $key, $value := .over -}}
{{- $old := get $out $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- $_ := set $out $key (include "trainyard.overlay" (dict "base" $old "over" $value) | fromJson) -}}
{{- else -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{/* The pools that are enabled, each with workerDefaults under its values. As JSON. */}}
{{- define "trainyard.pools" -}}
{{- $pools := dict -}}
{{- range $name, $values := .Values.workerPools -}}
{{- $pool := include "trainyard.overlay" (dict "base" $.Values.workerDefaults "over" (default dict $values)) | fromJson -}}
{{- if $pool.enabled }}{{ $_ := set $pools $name $pool }}{{ end -}}
{{- end -}}
{{- toJson $pools -}}
{{- end -}}

{{/* What every pod has. trainyard.pod (list . POD-VALUES) */}}
{{- define "trainyard.pod" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
serviceAccountName: {{ include "trainyard.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- range $field := list "priorityClassName" "runtimeClassName" "nodeSelector" "tolerations" "affinity" }}
{{- with get $values $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* trainyard.spread (list CONSTRAINTS SELECTOR): constraints, with the selector where one has none. */}}
{{- define "trainyard.spread" -}}
{{- $selector := dict "matchLabels" (index . 1 | fromYaml) -}}
{{- with index . 0 }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (merge (dict) . (dict "labelSelector" $selector)) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "trainyard.probe" -}}
{{- range $field := list "initialDelaySeconds" "periodSeconds" "timeoutSeconds" "failureThreshold" }}
{{- if hasKey $ $field }}
{{ $field }}: {{ int (get $ $field) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "trainyard.grpcService" -}}{{ include "trainyard.resource.name" (list . "") }}{{- end -}}
{{- define "trainyard.address" -}}
{{ include "trainyard.grpcService" . }}.{{ .Release.Namespace }}.svc:{{ int .Values.server.service.port }}
{{- end -}}

{{/* ---- TLS: the secrets, whoever makes them. */}}
{{- define "trainyard.tls.on" -}}{{ if ne .Values.tls.mode "none" }}yes{{ end }}{{- end -}}
{{/* trainyard.tls.secret (list . ROLE EXISTING) */}}
{{- define "trainyard.tls.secret" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.tls.mode "existingSecret" }}{{ index . 2 }}{{ else }}{{ include "trainyard.resource.name" (list $root (printf "%s-tls" (index . 1))) }}{{ end -}}
{{- end -}}
{{- define "trainyard.tls.serverSecret" -}}{{ include "trainyard.tls.secret" (list . "server" .Values.tls.existingSecret) }}{{- end -}}
{{- define "trainyard.tls.workerSecret" -}}{{ include "trainyard.tls.secret" (list . "worker" .Values.tls.workerExistingSecret) }}{{- end -}}
{{/* For people and Prometheus. */}}
{{- define "trainyard.tls.clientSecret" -}}{{ include "trainyard.tls.secret" (list . "client" .Values.tls.clientExistingSecret) }}{{- end -}}
{{/* What the server's certificate names, as a JSON list. */}}
{{- define "trainyard.tls.names" -}}
{{- $service := include "trainyard.grpcService" . -}}
{{- $names := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) "localhost" -}}
{{- if .Values.server.metrics }}{{ $names = append $names (printf "%s.%s.svc" (include "trainyard.resource.name" (list . "metrics")) .Release.Namespace) }}{{ end -}}
{{- concat $names .Values.ingress.hosts .Values.gateway.hostnames .Values.tls.extraNames | uniq | toJson -}}
{{- end -}}

{{/* ---- Tokens. */}}
{{- define "trainyard.tokens.on" -}}{{ if ne .Values.tokens.mode "none" }}yes{{ end }}{{- end -}}
{{- define "trainyard.tokens.adminSecret" -}}
{{- if eq .Values.tokens.mode "existingSecret" }}{{ .Values.tokens.existingSecret }}{{ else }}{{ include "trainyard.resource.name" (list . "admin-token") }}{{ end -}}
{{- end -}}
{{- define "trainyard.tokens.joinSecret" -}}{{ default (include "trainyard.resource.name" (list . "join-token")) .Values.tokens.joinSecret }}{{- end -}}
