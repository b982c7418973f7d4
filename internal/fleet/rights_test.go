package fleet

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// The rights that are asked for are those of the manifests.
func TestRightsAreThoseOfTheManifests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "manifests", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		var role rbacv1.ClusterRole // a Role reads the same
		if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		if role.Name != "module-controller" {
			continue
		}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					want = append(want, Right{Verb: verb, Group: rule.APIGroups[0], Resource: resource, Namespace: role.Namespace}.String())
				}
			}
		}
	}
	var got []string
	for _, r := range Rights("module-controller") {
		got = append(got, r.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rights (-manifests +asked for):\n%s", d)
	}
}
