package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"module-controller/provider/plan"
)

// Today's names of other controllers turn the kubelet's API on and off, and what cannot be
// served is told before anything starts.
func TestTheKubeletAPIIsConfigured(t *testing.T) {
	noCA := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(noCA, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	on := map[string]string{"KUBELET_PROXY_ENABLED": "true", "POD_IP": "10.0.0.7"}
	for name, c := range map[string]struct {
		env  map[string]string
		want string // of the fault; empty for none
	}{
		"off":                   {map[string]string{"KUBELET_PROXY_ENABLED": "false", "KUBELET_PROXY_PORT": "8080", "POD_IP": ""}, ""},
		"on":                    {nil, ""},
		"without an address":    {map[string]string{"POD_IP": ""}, "KUBELET_PROXY_ENABLED needs POD_IP"},
		"another's port":        {map[string]string{"KUBELET_PROXY_PORT": "8000"}, "METRICS_BIND_ADDRESS (:8080) is one of the ports from KUBELET_PROXY_PORT on (8000 to 9023)"},
		"beside another's port": {map[string]string{"KUBELET_PROXY_PORT": "8082"}, ""},
		"few ports":             {map[string]string{"KUBELET_PROXY_PORT": "8000", "KUBELET_PROXY_PORTS": "80"}, ""},
		"too many ports":        {map[string]string{"KUBELET_PROXY_PORT": "65000"}, "end at port 66023"},
		"no port":               {map[string]string{"KUBELET_PROXY_PORT": "0"}, "must be a whole number above 0"},
		"half a certificate":    {map[string]string{"KUBELET_PROXY_KEY_PATH": "/x"}, "KUBELET_PROXY_CERT_PATH and KUBELET_PROXY_KEY_PATH need each other"},
		"no authority":          {map[string]string{"KUBELET_PROXY_CLIENT_CA_PATH": noCA}, "there is no certificate in " + noCA},
		"no file":               {map[string]string{"KUBELET_PROXY_CLIENT_CA_PATH": noCA + "x"}, "KUBELET_PROXY_CLIENT_CA_PATH is of no use: open"},
	} {
		env := needed()
		maps.Copy(env, on)
		maps.Copy(env, c.env)
		cfg, err := readConfig(nil, env)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		case err == nil && cfg.kubelet.enabled != (name != "off"):
			t.Errorf("%s: it is %v", name, cfg.kubelet.enabled)
		}
	}
}

// A session serves the kubelet's API at its Pod's address where that is asked for, and has the
// provider show it.
func TestASessionServesTheKubeletAPI(t *testing.T) {
	for enabled, want := range map[string]bool{"false": false, "true": true} {
		a := newAPIServer(t)
		s := sessionOf(t, configFor(t, a, map[string]string{"KUBELET_PROXY_ENABLED": enabled, "POD_IP": "10.0.0.7"}))
		if (s.kubelets != nil) != want || (s.ports != nil) != want {
			t.Errorf("enabled %s: %v at %v", enabled, s.kubelets, s.ports)
		}
		if want {
			if at := s.ports.At("vnode.shop.dev", plan.Endpoint{}, func(plan.Endpoint) bool { return false }); at.Host != "10.0.0.7" || at.Port != 10250 {
				t.Errorf("it is at %+v", at)
			}
		}
	}
}
