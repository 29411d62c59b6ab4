{{/* Names and labels of the CSI node plugin. */}}

{{- define "envlatch.csiName" -}}
{{- printf "%s-csi" .Release.Name | trunc 63 -}}
{{- end -}}

{{- define "envlatch.csiSelector" -}}
app.kubernetes.io/name: envlatch
app.kubernetes.io/component: csi
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "envlatch.csiLabels" -}}
{{ include "envlatch.csiSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{/* A memory quantity or size of the forms 64Mi, 64MiB and 1Gi, in bytes. */}}
{{- define "envlatch.bytes" -}}
{{- $text := trimSuffix "B" (toString .) -}}
{{- if hasSuffix "Gi" $text -}}{{ mul (trimSuffix "Gi" $text | int64) 1073741824 }}
{{- else if hasSuffix "Mi" $text -}}{{ mul (trimSuffix "Mi" $text | int64) 1048576 }}
{{- else if hasSuffix "Ki" $text -}}{{ mul (trimSuffix "Ki" $text | int64) 1024 }}
{{- else -}}{{ int64 $text }}
{{- end -}}
{{- end -}}
