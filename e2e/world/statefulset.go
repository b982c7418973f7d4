package world

import (
	"os"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/harness"
)

// PodSettings gives the settings of the manifests' pods beside their manifest, for
// agent.Options. Each process listens for heartbeats elsewhere, as each pod has an address of
// its own, and the Service knows. The World needs a broker and a Service.
func (w *World) PodSettings() func(*corev1.Pod) map[string]string {
	var mu sync.Mutex
	ports := map[string]int{} // by pod; mu guards it
	return func(pod *corev1.Pod) map[string]string {
		mu.Lock()
		defer mu.Unlock()
		port, err := w.Service.Instead(ports[pod.Name])
		if err != nil {
			w.Error(err)
		}
		ports[pod.Name] = port
		return map[string]string{
			"ENV": w.Env, "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": strconv.Itoa(w.BrokerPort),
			"MQTT_CA_PATH": "", "MQTT_USERNAME": "", "MQTT_PASSWORD_FILE": "", "ENABLE_HTTP_TUNNEL": "true",
			"HTTP_TUNNEL_LISTEN_PORT": strconv.Itoa(port), "HTTP_TUNNEL_ALLOWED_CIDRS": "127.0.0.0/8",
			"HTTP_TUNNEL_AUTH": "address", "HTTP_TUNNEL_MAX_IDENTITIES": "4096",
			"SETTLE_TIME": "3s", "LIST_INTERVAL": "2s", "LOG_LEVEL": "debug",
		}
	}
}

// CheckReplicaLog checks that a replica whose log is a file logged no error, and refused no
// peer.
func (w *World) CheckReplicaLog(log string) {
	w.Helper()
	lines, err := harness.ErrorLines(log)
	if err != nil || len(lines) > 0 {
		w.Errorf("errors in %s (%v): %v", log, err, lines)
		return
	}
	text, err := os.ReadFile(log)
	w.Must(err)
	if strings.Contains(string(text), `"msg":"peer refused"`) {
		w.Errorf("a peer was refused: see %s", log)
	}
}
