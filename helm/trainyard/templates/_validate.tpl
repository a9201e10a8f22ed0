{{/*
What the schema cannot say: values that must fit each other. Each message names the value and what would be right.
*/}}
{{- define "trainyard.validate" -}}
{{- $tls := .Values.tls -}}
{{- if and (eq $tls.mode "none") (not .Values.server.insecure) -}}
{{- fail "tls.mode: none: the server would let everyone who reaches it run jobs; choose generated, existingSecret or certManager, or set server.insecure=true where the network is yours alone" -}}
{{- end -}}
{{- if and (ne $tls.mode "none") .Values.server.insecure -}}
{{- fail (printf "server.insecure: true goes with tls.mode=none only, not with %s" $tls.mode) -}}
{{- end -}}
{{- if and (eq .Values.tokens.mode "none") (not .Values.server.insecure) -}}
{{- fail "tokens.mode: none: the server would answer nobody; choose generated or existingSecret, or set server.insecure=true (with tls.mode=none) where the network is yours alone" -}}
{{- end -}}
{{- if and (eq .Values.tokens.mode "existingSecret") (not .Values.tokens.existingSecret) -}}
{{- fail "tokens.existingSecret: empty: tokens.mode=existingSecret needs the name of a secret with the hash of an admin's token" -}}
{{- end -}}
{{- if and (ne .Values.tokens.mode "none") (eq $tls.mode "none") -}}
{{- fail (printf "tokens.mode: %s: tokens would cross the network in plain text; choose a tls.mode, or none here too" .Values.tokens.mode) -}}
{{- end -}}
{{- if and (eq $tls.mode "existingSecret") (not $tls.existingSecret) -}}
{{- fail "tls.existingSecret: empty: tls.mode=existingSecret needs the name of a secret with tls.crt, tls.key and ca.crt" -}}
{{- end -}}
{{- if and (eq $tls.mode "existingSecret") $tls.mutual (not $tls.workerExistingSecret) -}}
{{- fail "tls.workerExistingSecret: empty: tls.mutual needs the name of a secret with the workers' tls.crt, tls.key and ca.crt" -}}
{{- end -}}
{{- if and (eq $tls.mode "existingSecret") $tls.mutual .Values.monitoring.serviceMonitor.enabled (not $tls.clientExistingSecret) -}}
{{- fail "tls.clientExistingSecret: empty: with tls.mutual Prometheus needs a certificate too: the name of a secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and (eq $tls.mode "certManager") (not $tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name: empty: tls.mode=certManager needs the name of an issuer" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: empty: an ingress for gRPC needs a host name" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- fail "gateway.parentRefs: empty: a GRPCRoute needs the name of a Gateway" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name: empty: serviceAccount.create=false needs the name of an existing one" -}}
{{- end -}}
{{- if eq (int .Values.server.service.port) (int .Values.server.metrics.port) -}}
{{- fail (printf "server.metrics.port: %d is server.service.port too; they must differ" (int .Values.server.metrics.port)) -}}
{{- end -}}
{{- include "trainyard.validate.args" (list "server.extraArgs" .Values.server.extraArgs (list "listen" "metrics-address" "state-dir" "worker-lease" "artifact-limit" "log-level" "log-format" "tls-cert" "tls-key" "tls-client-ca" "auth" "bootstrap-token-hash-file" "insecure" "health")) -}}
{{- range $name, $pool := include "trainyard.pools" . | fromJson -}}
{{- $at := printf "workerPools.%s" $name -}}
{{- if and (eq $pool.cache.type "persistentClaim") (ne $pool.kind "StatefulSet") -}}
{{- fail (printf "%s.cache.type: persistentClaim needs kind StatefulSet, not %s; ephemeralClaim suits a Deployment" $at $pool.kind) -}}
{{- end -}}
{{- $needed := include "trainyard.pool.drain" $pool | int -}}
{{- $given := int $pool.terminationGracePeriodSeconds -}}
{{- if and (ne $given 0) (le $given $needed) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds: %d would kill runners at their last checkpoint; must be over checkpointGraceSeconds + 2 * graceSeconds = %d, or 0 for what fits" $at $given $needed) -}}
{{- end -}}
{{- if $pool.autoscaling.enabled -}}
{{- if not $pool.autoscaling.serverAddress -}}
{{- fail (printf "%s.autoscaling.serverAddress: empty: must be the URL of the Prometheus that scrapes the server, such as http://prometheus.monitoring.svc:9090" $at) -}}
{{- end -}}
{{- if gt (int $pool.autoscaling.minReplicas) (int $pool.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas: %d is over maxReplicas %d" $at (int $pool.autoscaling.minReplicas) (int $pool.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- include "trainyard.validate.args" (list (printf "%s.extraArgs" $at) $pool.extraArgs (list "server" "name" "work-dir" "cache-limit" "devices" "checkpoint-grace" "grace" "log-level" "log-format" "tls-ca" "tls-cert" "tls-key" "token-file" "health")) -}}
{{- if and (eq $pool.kind "StatefulSet") (ne $pool.cache.type "persistentClaim") (ne $.Values.tokens.mode "none") -}}
{{- fail (printf "%s.cache.type: %s loses the token that a worker got for its name, and its successor of the same name could not join; with tokens a StatefulSet needs persistentClaim" $at $pool.cache.type) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $pool.dataRoots -}}
{{- if hasKey $seen .name }}{{ fail (printf "%s.dataRoots: the name %s is there twice" $at .name) }}{{ end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* trainyard.validate.args (list WHERE ARGS FLAGS): none of ARGS is one of the chart's own FLAGS, which the programs take once. */}}
{{- define "trainyard.validate.args" -}}
{{- $where := index . 0 -}}
{{- $own := index . 2 -}}
{{- range index . 1 -}}
{{- $flag := regexFind "^[^=]*" (trimPrefix "--" .) -}}
{{- if has $flag $own }}{{ fail (printf "%s: --%s is the chart's to set, from its other values" $where $flag) }}{{ end -}}
{{- end -}}
{{- end -}}
