package suite

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// scrape reads the metrics of a replica with a token, empty for none, and gives the status.
func scrape(w *world.World, replica int, token string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://"+w.Replicas[replica].Setting("METRICS_BIND_ADDRESS")+"/metrics", nil)
	w.Must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	w.Must(err)
	w.Must(answer.Body.Close())
	return answer.StatusCode
}

// Metrics are shown to who the API server knows and permits to read them, and to nobody
// else.
func TestMetricsAreForThoseWhoMayReadThem(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithController("METRICS_AUTH=kubernetes")
	token, err := cluster.Client.CoreV1().ServiceAccounts(w.Env).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.Must(err)
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"nobody":               {"", http.StatusUnauthorized},
		"junk":                 {"junk", http.StatusUnauthorized},
		"who is not permitted": {token.Status.Token, http.StatusForbidden},
	} {
		if got := scrape(w, 0, c.token); got != c.want {
			t.Errorf("%s: status %d, want %d", name, got, c.want)
		}
	}
	bindings := cluster.Client.RbacV1().ClusterRoleBindings()
	_, err = bindings.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.Env},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "module-controller-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Env, Name: "default"}},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() { w.Must(bindings.Delete(context.Background(), w.Env, metav1.DeleteOptions{})) })
	w.Eventually(world.Timeout, func() error { // a refusal is remembered for a while
		if got := scrape(w, 0, token.Status.Token); got != http.StatusOK {
			return fmt.Errorf("status %d", got)
		}
		return nil
	})
}
