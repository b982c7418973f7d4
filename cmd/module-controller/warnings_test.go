package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Each client tells what the API server warns of: all is counted, each text is logged once.
func TestWarningsOfTheAPIServerAreTold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Warning", `299 - "`+r.URL.Path+` is deprecated"`)
		w.Header().Add("Warning", `199 proxy "of somebody else"`)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"}}`))
	}))
	defer server.Close()
	core, logged := observer.New(zap.WarnLevel)
	before := testutil.ToFloat64(ofClient.warnings)
	of := clientcmdapi.NewConfig()
	of.Clusters["c"], of.Contexts["x"], of.CurrentContext = &clientcmdapi.Cluster{Server: server.URL}, &clientcmdapi.Context{Cluster: "c"}, "x"
	cfg := &config{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), qps: 1000, burst: 1000}
	if err := clientcmd.WriteToFile(*of, cfg.kubeconfig); err != nil {
		t.Fatal(err)
	}
	c, err := newClients(cfg, until{time.Now().Add(time.Hour)}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []kubernetes.Interface{c.work, c.events, c.member, c.review} {
		for range 2 {
			if _, err := by.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testutil.ToFloat64(ofClient.warnings) - before; n != 8 {
		t.Errorf("%v warnings were counted, want 8", n)
	}
	var texts []string
	for _, e := range logged.All() {
		texts = append(texts, e.Message+": "+e.ContextMap()["warning"].(string))
	}
	if diff := cmp.Diff([]string{"API server warns: /api/v1/nodes/n is deprecated"}, texts); diff != "" {
		t.Errorf("(-want +logged):\n%s", diff)
	}
}
