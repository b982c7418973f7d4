package suite

import (
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// The replicas' Leases have the priority at the API server that node heartbeats
// have, and nothing else of theirs has.
func TestLeasesHaveThePriorityOfHeartbeats(t *testing.T) {
	w := cluster.New(t)
	level, err := cluster.Client.FlowcontrolV1().PriorityLevelConfigurations().Get(t.Context(), "node-high", metav1.GetOptions{})
	w.Must(err)
	path, err := cluster.Plane.KubeconfigFor(t.Context(), harness.Namespace, harness.ServiceAccount)
	w.Must(err)
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	w.Must(err)
	as, err := rest.HTTPClientFor(cfg)
	w.Must(err)
	for resource, want := range map[string]bool{
		"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases":   true,
		"/apis/coordination.k8s.io/v1/namespaces/module-controller/leases": true,
		"/api/v1/nodes": false,
	} {
		w.Eventually(world.Timeout, func() error { // the API server takes a new FlowSchema in a moment later
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cfg.Host+resource+"?limit=1", nil)
			if err != nil {
				return err
			}
			answer, err := as.Do(r)
			if err != nil {
				return err
			}
			is := answer.Header.Get("X-Kubernetes-Pf-Prioritylevel-Uid") == string(level.UID)
			if err := answer.Body.Close(); err != nil || is != want || answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s, priority node-high %v, want %v (%w)", resource, answer.Status, is, want, err)
			}
			return nil
		})
	}
}
