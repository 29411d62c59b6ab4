{{/*
Templates for the charts of programs, which have this one as a dependency: an init container copies the launcher into a volume,
and the program's container starts with it. Each takes the root context. See docs/helm.md.
*/}}

{{/* The values of this chart, whether it is installed itself (its own values) or a dependency (below its name). */}}
{{- define "envlatch.values" -}}
{{- if eq .Chart.Name "envlatch" -}}
{{- toJson .Values -}}
{{- else if .Values.envlatch -}}
{{- toJson .Values.envlatch -}}
{{- else -}}
{{- fail "the chart envlatch is not among the dependencies of this chart: add it to Chart.yaml and run helm dependency update" -}}
{{- end -}}
{{- end -}}

{{/* The launcher's image. */}}
{{- define "envlatch.launcherImage" -}}
{{- $values := include "envlatch.values" . | fromJson -}}
{{- $version := .Chart.AppVersion -}}
{{- if ne .Chart.Name "envlatch" -}}
{{- $version = .Subcharts.envlatch.Chart.AppVersion -}}
{{- end -}}
{{- printf "%s/%s:%s" $values.image.registry $values.launcher.image (default $version $values.image.tag) -}}
{{- end -}}

{{/* The rights of a container that Pod Security "restricted" lets run. */}}
{{- define "envlatch.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: ["ALL"]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The init container; an item of initContainers. */}}
{{- define "envlatch.initContainer" -}}
{{- $values := include "envlatch.values" . | fromJson -}}
name: envlatch
image: {{ include "envlatch.launcherImage" . | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: ["install", {{ printf "%s/envlatch" $values.launcher.mountPath | quote }}]
securityContext:
  {{- include "envlatch.restrictedContainer" . | nindent 2 }}
{{- with $values.launcher.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: envlatch
    mountPath: {{ $values.launcher.mountPath | quote }}
{{- end -}}

{{/* The volume; an item of volumes. An installation needs twice the size of the launcher. */}}
{{- define "envlatch.volume" -}}
name: envlatch
emptyDir:
  sizeLimit: 16Mi
{{- end -}}

{{/* The mount of the program's container; an item of volumeMounts. */}}
{{- define "envlatch.volumeMount" -}}
{{- $values := include "envlatch.values" . | fromJson -}}
name: envlatch
mountPath: {{ $values.launcher.mountPath | quote }}
readOnly: true
{{- end -}}

{{/* The command of the program's container; its args are then the whole command of the program. */}}
{{- define "envlatch.command" -}}
{{- $values := include "envlatch.values" . | fromJson -}}
[{{ printf "%s/envlatch" $values.launcher.mountPath | quote }}, "run", "--"]
{{- end -}}
