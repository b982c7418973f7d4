package world

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"module-controller/e2e/harness"
)

// line is an entry of the audit log as the API server writes it, of a replica of the
// manifests' installation.
func line(agent, verb, resource, namespace, decision, message string) string {
	return `{"requestReceivedTimestamp":"2026-01-01T00:00:03.5Z","user":{"username":"` + replicaUser(harness.Namespace) + `"},"userAgent":"` + agent + `","verb":"` + verb + `","objectRef":{"resource":"` + resource +
		`","namespace":"` + namespace + `"},"responseStatus":{"code":403,"message":"` + message +
		`"},"annotations":{"authorization.k8s.io/decision":"` + decision + `"}}` + "\n"
}

// What replicas were denied is told, by whatever denied it; what a test provokes, what
// another client was denied and what a namespace refuses that ends is not.
func TestDenialsAreTold(t *testing.T) {
	const ours, thief = "module-controller/v1 (linux/amd64)", "thief"
	for what, c := range map[string]struct {
		line  string
		told  bool
		start string // of the API server, for 5 s; empty for none
	}{
		"by RBAC":                       {line(ours, "get", "secrets", "a", "forbid", "no"), true, ""},
		"by RBAC at a start":            {line(ours, "get", "secrets", "a", "forbid", "no"), true, "2026-01-01T00:00:00Z"},
		"by a policy":                   {line(ours, "delete", "pods", "a", "allow", "ValidatingAdmissionPolicy 'x' denied request"), true, ""},
		"by RBAC, granted":              {line(ours, "watch", "pods", "a", "forbid", "no"), true, ""},
		"by RBAC, granted, at a start":  {line(ours, "watch", "pods", "a", "forbid", "no"), false, "2026-01-01T00:00:00Z"},
		"by RBAC, granted, later":       {line(ours, "watch", "pods", "a", "forbid", "no"), true, "2025-12-31T23:59:58Z"},
		"by RBAC, granted, before":      {line(ours, "watch", "pods", "a", "forbid", "no"), true, "2026-01-01T00:00:04Z"},
		"by a policy, granted, a start": {line(ours, "watch", "pods", "a", "allow", "ValidatingAdmissionPolicy 'x' denied request"), true, "2026-01-01T00:00:00Z"},
		"of a test's own":               {line(ours, "get", "secrets", "provoked", "forbid", "no"), false, ""},
		"of somebody else":              {line(thief, "get", "secrets", "a", "forbid", "no"), false, ""},
		"a namespace that ends":         {line(ours, "create", "events", "a", "allow", "because it is being terminated"), false, ""},
	} {
		t.Run(what, func(t *testing.T) {
			cluster := &Cluster{JudgesRights: true, audit: audit{log: filepath.Join(t.TempDir(), "audit.log")}}
			cluster.denied.allowed = sets.New(right{resource: "secrets", namespace: "provoked"})
			if from, err := time.Parse(time.RFC3339, c.start); err == nil {
				cluster.denied.starts = []span{{from, from.Add(5 * time.Second)}}
			}
			if err := os.WriteFile(cluster.audit.log, []byte(c.line), 0o600); err != nil {
				t.Fatal(err)
			}
			_, denied, err := cluster.asked([]right{{"watch", "", "pods", ""}})
			if err != nil || (len(denied) > 0) != c.told {
				t.Errorf("told %v (%v), want %v", denied, err, c.told)
			}
		})
	}
}

func TestUnusedRightsAreTold(t *testing.T) {
	granted := rightsOf([]rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods", "pods/status"}, Verbs: []string{"list", "watch", "patch"}}}, "")
	granted = append(granted, right{"delete", "g", "leases", "n"}, right{"get", "", "secrets", ""})
	c := &Cluster{Unused: []string{"list pods/status", "get secrets"}}
	used := sets.New(right{"watch", "", "pods", ""}, right{"patch", "", "pods/status", "a"}, right{"delete", "g", "leases", "other"}, right{"get", "", "secrets", "b"})
	want := []string{
		"no replica used the right: patch pods",
		"no replica used the right: watch pods/status",
		"no replica used the right: delete leases.g in n",
		"a replica used what no test was to use: get secrets",
	}
	if diff := cmp.Diff(want, c.unused(granted, used)); diff != "" {
		t.Error(diff)
	}
}
