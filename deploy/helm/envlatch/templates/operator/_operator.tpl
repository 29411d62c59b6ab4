{{/* Name of everything of the operator. */}}
{{- define "envlatch.operatorName" -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "envlatch.operatorSelector" -}}
app.kubernetes.io/name: envlatch-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "envlatch.operatorLabels" -}}
{{ include "envlatch.operatorSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: envlatch
{{- end -}}

{{/* What runs once when the chart is uninstalled, and is removed then; takes the weight. */}}
{{- define "envlatch.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* What the operator may do where bundles are; takes the root context and, in namespace mode, the service accounts. */}}
{{- define "envlatch.operatorRules" -}}
- apiGroups: ["envlatch.io"]
  resources: ["secretbundles/status"]
  verbs: ["patch"]
{{- if .root.Values.operator.secretObjects }}
# What the secretObjects of classes ask for.
- apiGroups: ["secrets-store.csi.x-k8s.io"]
  resources: ["secretproviderclasses"]
  verbs: ["list", "watch"]
{{- end }}
# list and watch are used for metadata of labelled Secrets alone, but Kubernetes cannot limit them to that.
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["get", "list", "watch", "create", "patch"]
# Logging in as the bundles' accounts.
- apiGroups: [""]
  resources: ["serviceaccounts/token"]
  verbs: ["create"]
  {{- with .accounts }}
  resourceNames: {{ toJson . }}
  {{- end }}
- apiGroups: ["events.k8s.io"]
  resources: ["events"]
  verbs: ["create"]
{{- with .root.Values.operator.restarts }}
# Restarts when a content has changed.
- apiGroups: ["apps"]
  resources:
    {{- range . }}
    - {{ lower . }}s
    {{- end }}
  verbs: ["get", "patch"]
{{- end }}
{{- end -}}
