package world

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"

	"module-controller/e2e/harness"
)

// A World that is alone has the manifests' own installation, no two Worlds have one at a
// time, and who comes when all are taken waits.
func TestTheFirstFreeInstallationIsTaken(t *testing.T) {
	s := newInstallations(t.TempDir())
	names := sets.New[string]()
	var last *installation
	for range mostInstallations {
		in, err := s.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names.Insert(in.name)
		last = in
	}
	if len(names) != mostInstallations || !names.Has(harness.Namespace) {
		t.Errorf("taken were %v", sets.List(names))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if in, err := s.take(over); err == nil {
		t.Errorf("%s was taken twice", in.name)
	}
	s.giveBack(last)
	s.giveBack(s.all[0])
	if in, err := s.take(t.Context()); err != nil || in.name != harness.Namespace {
		t.Errorf("taken was %+v (%v), want the first that is free", in, err)
	}
}

// What is applied for another installation is the manifests' with its name for theirs;
// theirs are applied once, by the Cluster.
func TestManifestsOfAnInstallation(t *testing.T) {
	s := newInstallations(t.TempDir())
	var applied []string
	kubectl := func(_ context.Context, args ...string) (string, error) {
		text, err := os.ReadFile(args[len(args)-1])
		if strings.Contains(string(text), harness.Namespace) || !strings.Contains(string(text), s.all[1].name) {
			t.Errorf("%v: not of %s", args, s.all[1].name)
		}
		applied = append(applied, filepath.Base(args[len(args)-1]))
		return "", err
	}
	for _, in := range []*installation{s.all[0], s.all[1], s.all[1]} {
		if err := in.apply(t.Context(), kubectl); err != nil {
			t.Fatal(err)
		}
	}
	if len(applied) != 5 {
		t.Errorf("applied were %v", applied)
	}
}

// What replicas of another installation ask for in its namespace counts as asked for in
// that of the manifests.
func TestRightsOfAnotherInstallation(t *testing.T) {
	const ours = "module-controller/v1 (linux/amd64)"
	name := installationName(1)
	of := func(namespace, decision string) string {
		return strings.ReplaceAll(line(ours, "get", "leases", namespace, decision, "no"), replicaUser(harness.Namespace), replicaUser(name))
	}
	cluster := &Cluster{JudgesRights: true, audit: audit{log: filepath.Join(t.TempDir(), "audit.log")}}
	log := of(name, "allow") + of("other", "forbid") + strings.ReplaceAll(of("theirs", "forbid"), name, "nobodys")
	if err := os.WriteFile(cluster.audit.log, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	used, denied, err := cluster.asked(nil)
	if err != nil || !used.Equal(sets.New(right{"get", "", "leases", harness.Namespace})) || len(denied) != 1 {
		t.Errorf("used %v, denied %v (%v)", used, denied, err)
	}
}
