{{/* trainyard.worker.volumes (list . NAME POOL): the pod's volumes but for a persistent claim's. */}}
{{- define "trainyard.worker.volumes" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 2 -}}
- name: tmp
  emptyDir: {}
{{- if eq $pool.cache.type "emptyDir" }}
- name: work
  emptyDir:
    sizeLimit: {{ $pool.cache.size }}
{{- else if eq $pool.cache.type "ephemeralClaim" }}
- name: work
  ephemeral:
    volumeClaimTemplate:
      {{- include "trainyard.worker.claim" $pool | nindent 6 }}
{{- end }}
{{- range $pool.dataRoots }}
- name: data-{{ .name }}
  {{- toYaml .volume | nindent 2 }}
{{- else }}
- name: no-data
  emptyDir: {}
{{- end }}
{{- if include "trainyard.tls.on" $root }}
- name: tls
  secret:
    {{- if $root.Values.tls.mutual }}
    secretName: {{ include "trainyard.tls.workerSecret" $root }}
    {{- else }}
    secretName: {{ include "trainyard.tls.serverSecret" $root }}
    # The CA only: the key is the server's.
    items:
      - key: ca.crt
        path: ca.crt
    {{- end }}
    defaultMode: 0440
{{- end }}
{{- if include "trainyard.tokens.on" $root }}
- name: token
  secret:
    secretName: {{ include "trainyard.tokens.joinSecret" $root }}
    items:
      - key: {{ $root.Values.tokens.joinTokenKey }}
        path: join-token
    defaultMode: 0440
{{- end }}
{{- with $pool.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a drain may take at most, in seconds: the last checkpoint, then a runner's end by SIGTERM and by SIGKILL. */}}
{{- define "trainyard.pool.drain" -}}{{ add (int .checkpointGraceSeconds) (mul 2 (int .graceSeconds)) }}{{- end -}}

{{- define "trainyard.worker.claim" -}}
spec:
  accessModes:
    {{- toYaml .cache.accessModes | nindent 4 }}
  {{- with .cache.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .cache.size }}
{{- end -}}

{{- define "trainyard.worker.args" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 2 -}}
- --server={{ include "trainyard.address" $root }}
# The pod's name: unique, and what kubectl knows it by.
- --name=$(POD_NAME)
- --label=pool={{ index . 1 }}
{{- range $key, $value := $pool.labels }}
- {{ printf "--label=%s=%s" $key $value | quote }}
{{- end }}
# Below the mount, for the folder belongs to its owner only.
- --work-dir=/var/lib/trainyard/worker
- --cache-limit={{ $pool.cache.limit }}
- --devices={{ $pool.devices }}
{{- range $pool.dataRoots }}
- --data-root={{ .mountPath }}
{{- else }}
# Jobs may read no path: an empty folder.
- --data-root=/data
{{- end }}
- --checkpoint-grace={{ int $pool.checkpointGraceSeconds }}s
- --grace={{ int $pool.graceSeconds }}s
- --log-level={{ $pool.logLevel }}
- --log-format={{ $pool.logFormat }}
{{- if include "trainyard.tls.on" $root }}
- --tls-ca=/etc/trainyard/tls/ca.crt
{{- if $root.Values.tls.mutual }}
- --tls-cert=/etc/trainyard/tls/tls.crt
- --tls-key=/etc/trainyard/tls/tls.key
{{- end }}
{{- end }}
{{- if include "trainyard.tokens.on" $root }}
- --token-file=/etc/trainyard/token/join-token
{{- end }}
{{- with $pool.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* trainyard.worker.template (list . NAME POOL): the pod template. */}}
{{- define "trainyard.worker.template" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $pool := index . 2 -}}
{{- $selector := include "trainyard.selector" (list $root "worker" $name) -}}
{{- $grace := add (include "trainyard.pool.drain" $pool | int) 20 | int -}}
{{- $own := dict -}}
{{- range $key, $value := $pool.image }}{{ if $value }}{{ $_ := set $own $key $value }}{{ end }}{{ end -}}
{{- $image := merge (dict) $own (ternary (omit $root.Values.image.worker "tag" "digest") $root.Values.image.worker (or (hasKey $own "tag") (hasKey $own "digest"))) -}}
metadata:
  labels:
    {{- $selector | nindent 4 }}
    {{- with merge (dict) $pool.podLabels $root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $pool.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "trainyard.pod" (list $root $pool) | nindent 2 }}
  {{- with include "trainyard.spread" (list $pool.topologySpreadConstraints $selector) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  # SIGTERM is the drain: running jobs write a checkpoint, go back to the queue, and the worker leaves.
  terminationGracePeriodSeconds: {{ ternary $grace (int $pool.terminationGracePeriodSeconds) (eq (int $pool.terminationGracePeriodSeconds) 0) }}
  containers:
    - name: worker
      image: {{ include "trainyard.image" (list $root $image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
        {{- include "trainyard.worker.args" . | nindent 8 }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- with $pool.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $pool.preStop }}
      lifecycle:
        preStop:
          exec:
            command:
              {{- toYaml . | nindent 14 }}
      {{- end }}
      # Alive without a server too: ending a worker that waits for it would only cost its jobs.
      livenessProbe:
        exec:
          command: [trainyard-worker, --health=live, --work-dir=/var/lib/trainyard/worker]
        {{- include "trainyard.probe" $pool.livenessProbe | trim | nindent 8 }}
      readinessProbe:
        exec:
          command: [trainyard-worker, --health=ready, --work-dir=/var/lib/trainyard/worker]
        {{- include "trainyard.probe" $pool.readinessProbe | trim | nindent 8 }}
      resources:
        {{- toYaml $pool.resources | nindent 8 }}
      securityContext:
        {{- toYaml $root.Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - name: work
          mountPath: /var/lib/trainyard
        - name: tmp
          mountPath: /tmp
        {{- range $pool.dataRoots }}
        - name: data-{{ .name }}
          mountPath: {{ .mountPath }}
          readOnly: {{ ternary .readOnly true (hasKey . "readOnly") }}
        {{- else }}
        - name: no-data
          mountPath: /data
          readOnly: true
        {{- end }}
        {{- if include "trainyard.tls.on" $root }}
        - name: tls
          mountPath: /etc/trainyard/tls
          readOnly: true
        {{- end }}
        {{- if include "trainyard.tokens.on" $root }}
        - name: token
          mountPath: /etc/trainyard/token
          readOnly: true
        {{- end }}
        {{- with $pool.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "trainyard.worker.volumes" . | nindent 4 }}
{{- end -}}
