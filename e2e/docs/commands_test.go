package docs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"module-controller/e2e/harness"
)

const (
	readme       = "README.md"
	installation = "docs/installation.md"
	kustomize    = installation + "#with-kustomize"
)

// story gives the chapters of all pages in the order in which a reader comes to them who
// tries Helm first and uninstalls it, installs by the README and goes through the other
// pages, and takes kustomize in the end. The quick start has a test of its own.
func story(t *testing.T) (all []chapter) {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(harness.Root(), "docs", "*.md"))
	if err != nil || len(pages) < 15 {
		t.Fatalf("%d pages were found: %v", len(pages), err)
	}
	var last []chapter
	for _, page := range append([]string{installation, readme}, pages...) {
		if filepath.IsAbs(page) {
			page = "docs/" + filepath.Base(page)
		}
		if page == quickStart || slices.ContainsFunc(all, func(c chapter) bool { return c.page() == page }) {
			continue
		}
		for _, c := range read(t, page) {
			if c.name == kustomize {
				last = append(last, c)
			} else {
				all = append(all, c)
			}
		}
	}
	return append(all, last...)
}

// files are blocks that a page has a reader keep in a file, by their chapter.
var files = map[string]string{
	"docs/configuration.md#the-file":              "my-config.yaml",
	"docs/installation.md#with-helm":              "my-values.yaml",
	"docs/installation.md#alerts-and-a-dashboard": "my-alerts.yaml",
	"docs/tracing.md#turn-it-on":                  "my-tracing.yaml",
	kustomize:                                     "my-overlay/kustomization.yaml",
	"docs/kubectl-modules.md#kubectl-modules":     "kubectl_complete-modules",
}

// manifests are blocks that a reader applies.
var manifests = []string{"README.md#deploy-a-module"}

// first are commands of the test's own before those of a chapter: what the page takes for
// done, or what has happened.
var first = map[string]string{
	// Bases are updated: there is something to be undone.
	"docs/operations.md#a-rollout-of-modules-stands-still": `
		kubectl set image deployment/orders orders=https://repo.example.com/orders-1.2.0-ark-biz.jar
		kubectl set env deployment/orders BIZ_VERSION=1.2.0
		kubectl rollout status deployment/orders --timeout=90s`,
	"docs/security.md#bind-a-namespace": "kubectl create namespace orders",
	// The fleet that moved has a Lease.
	"docs/moving.md#and-back": `
		kubectl create -f - <<'LEASE'
{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "vnode.moved.dev", "namespace": "kube-node-lease",
 "labels": {"virtual-kubelet.koupleless.io/component": "vnode-lease", "virtual-kubelet.koupleless.io/env": "dev"}}}
LEASE`,
	// Completion is an executable file, which kubectl asks.
	"docs/kubectl-modules.md#kubectl-modules": `
		chmod +x kubectl_complete-modules && mv kubectl_complete-modules $(dirname $(command -v kubectl))
		kubectl __complete modules wh | grep "^why"`,
	"docs/operations.md#change-a-setting": `install bin/module-controller $(dirname $(command -v kubectl))`,
}

// Each block of commands of README.md and docs runs, and each of its commands exits with 0.
func TestTheCommandsOfThePages(t *testing.T) {
	m := newMachine(t, map[string]string{"SETTLE_TIME": "3s", "LIST_INTERVAL": "2s"})
	m.withHelm()
	chapters := story(t)
	m.writeFiles(chapters)
	m.startBases(t.Context(), "my-application")
	if out, err := m.bash(t.Context(), "make build && install bin/kubectl-modules "+m.programs); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	for _, c := range chapters {
		if !t.Run(c.name, func(t *testing.T) { m.play(t, c) }) {
			return // what follows stands on it
		}
	}
	never := slices.Collect(maps.Keys(first))
	never = slices.DeleteFunc(append(slices.AppendSeq(never, maps.Keys(files)), manifests...), func(name string) bool {
		return slices.ContainsFunc(chapters, func(c chapter) bool { return c.name == name })
	})
	if len(never) > 0 {
		t.Errorf("tables name chapters that have no block: %q", never)
	}
	if names, err := uncalled(m.programs); err != nil || len(names) > 0 {
		t.Errorf("no page has the commands %q of standIns (%v)", names, err)
	}
}

// forOperator are lines of the overlay that need the Prometheus operator's kinds.
var forOperator = regexp.MustCompile(`(?m)^.*for the Prometheus operator\n`)

// writeFiles writes the files that the pages have a reader keep.
func (m *machine) writeFiles(chapters []chapter) {
	m.Helper()
	for _, c := range chapters {
		for _, b := range c.blocks {
			if name, is := files[c.name]; is && b.isFile() {
				path := filepath.Join(m.checkout, name)
				m.must(os.MkdirAll(filepath.Dir(path), 0o755))
				m.must(os.WriteFile(path, []byte(forOperator.ReplaceAllString(m.here(b.text), "")), 0o600))
			}
		}
	}
}

// isFile says whether a block is the text of a file and no commands.
func (b block) isFile() bool { return b.language == "yaml" || strings.HasPrefix(b.text, "#!") }

// play does what a chapter says, when all that was done before has come to rest.
func (m *machine) play(t *testing.T, c chapter) {
	t.Helper()
	m.settle(t)
	if out, err := m.bash(t.Context(), first[c.name]); err != nil {
		t.Fatalf("what comes before %s: %v: %s", c.name, err, out)
	}
	for _, b := range c.blocks {
		switch {
		case b.isFile() && files[c.name] != "":
		case b.language == "yaml" && slices.Contains(manifests, c.name):
			m.apply(t, c, b)
		case b.language == "sh":
			m.run(t, c, b)
		case b.language == "json": // which the product writes: TestTheBodyOnThePage of provider/webhooks
		default:
			t.Errorf("%s:%d: nothing is known to do with a block of language %q: name it in files or manifests", c.page(), b.line, b.language)
		}
	}
}

// apply applies a manifest, as it stands on the page.
func (m *machine) apply(t *testing.T, c chapter, b block) {
	t.Helper()
	if out, err := m.bash(t.Context(), "kubectl apply -f - <<'END'\n"+b.text+"END\n"); err != nil {
		t.Fatalf("%s:%d: %v: %s", c.page(), b.line, err, out)
	}
}

// settle waits, where replicas are wanted, until they have rolled out, each base has its
// Node, and nothing is wrong.
func (m *machine) settle(t *testing.T) {
	t.Helper()
	switch wanted, err := m.replicasWanted(t.Context()); {
	case err != nil:
		t.Fatal(err)
	case wanted == 0:
		return
	}
	m.awaitBases(t)
	wait := fmt.Sprintf("kubectl rollout status statefulset/%[1]s -n %[1]s --timeout=%[2]s\nkubectl modules status --wait --timeout=%[2]s", harness.Namespace, timeout)
	if out, err := m.bash(t.Context(), wait); err != nil {
		t.Fatalf("it does not come to rest: %v: %s", err, out)
	}
}
