{{- /* What the Go runtime keeps to: nine tenths of the memory limit, in MiB. */}}
{{- define "softMemoryLimit" -}}
{{- $limit := .Values.resources.limits.memory -}}
{{- $mebi := trimSuffix "Mi" $limit | int64 -}}
{{- if hasSuffix "Gi" $limit }}{{ $mebi = mul 1024 (trimSuffix "Gi" $limit | int64) }}{{ end -}}
{{- div (mul $mebi 9) 10 -}}MiB
{{- end }}

{{- /* What is known to be wrong is told now, not by replicas that do not start. */}}
{{- define "checkBroker" -}}
{{- $s := .Values.settings -}}
{{- if and (eq (toString $s.ENABLE_MQTT_TUNNEL) "true") (not $s.MQTT_BROKER) -}}
{{- fail "settings.MQTT_BROKER: name your broker, or set settings.ENABLE_MQTT_TUNNEL to \"false\"" -}}
{{- end -}}
{{- if not .Values.mqttSecret -}}
{{- range $name, $value := $s -}}
{{- if hasPrefix "/etc/module-controller/mqtt/" (toString $value) -}}
{{- fail (printf "settings.%s is a file of mqttSecret, which is not set: set it to null" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
