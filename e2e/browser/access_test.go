//go:build browser

package browser

import (
	"context"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// The browser asks for a token, and shows the page to who may look and to nobody else. What
// it renews is let in by the same token.
func TestThePageIsForThoseWhoMayLook(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("METRICS_AUTH=kubernetes")
	w.AwaitNodesReady(1)
	token := tokenOf(w, "permitted")
	permit(w, "permitted")
	for name, c := range map[string]struct {
		token string
		want  int64
	}{
		"nobody":               {"", http.StatusUnauthorized},
		"junk":                 {"junk", http.StatusUnauthorized},
		"who is not permitted": {tokenOf(w, "default"), http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTab(t, w, desktop)
			if c.token != "" {
				tab.signIn(c.token)
			}
			if got := tab.try(tab.page(0)); got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
			if shown := read[string](tab, `document.documentElement?.textContent ?? ""`); world.ContainsAny(shown, "vnode.", "Fleet of") {
				t.Errorf("it shows %q", shown)
			}
		})
	}
	t.Run("who is permitted", func(t *testing.T) {
		tab := newTab(t, w, desktop)
		tab.signIn(token)
		if got := tab.try(tab.page(0)); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
		awaitRenewed(tab)
	})
}

// tokenOf gives a token of a service account of the World's namespace, which is made where
// there is none.
func tokenOf(w *world.World, account string) string {
	w.Helper()
	accounts := cluster.Client.CoreV1().ServiceAccounts(w.Env)
	if account != "default" {
		_, err := accounts.Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
		w.Must(err)
	}
	token, err := accounts.CreateToken(w.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.Must(err)
	return token.Status.Token
}

// permit lets a service account look at pages, by the role of the manifests.
func permit(w *world.World, account string) {
	w.Helper()
	bindings := cluster.Client.RbacV1().ClusterRoleBindings()
	_, err := bindings.Create(w.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.Env},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "module-controller-pages-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Env, Name: account}},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() { w.Must(bindings.Delete(context.Background(), w.Env, metav1.DeleteOptions{})) })
}
