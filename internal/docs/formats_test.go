package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	upgrading = "docs/upgrading.md"
	prefix    = "virtual-kubelet.koupleless.io/"
)

// Each label and annotation of Leases is on the page of upgrades, and what each may say of a
// state.
func TestEachNoteIsOnThePage(t *testing.T) {
	values := constants(sources(t, "election"))
	page := read(t, upgrading)
	is := regexp.MustCompile(`^(note|label|state[A-Z]|member(Serving|Draining|Released|Expired)|watchStalled|linksUp)`)
	found := 0
	for name, value := range values {
		if !is.MatchString(name) {
			continue
		}
		found++
		if short := strings.TrimPrefix(value, prefix); !strings.Contains(page, "`"+short+"`") {
			t.Errorf("%s has no `%s`", upgrading, short)
		}
	}
	if found < 25 {
		t.Errorf("only %d names of Leases were found", found)
	}
}

var (
	ourName = regexp.MustCompile(`\b(?:virtual-kubelet|vnode|base|schedule)\.koupleless\.io/[a-z-]+`)
	setting = regexp.MustCompile("`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`")
	metric  = regexp.MustCompile("`(module_controller_[a-z_]+)`")
)

// pages are those whose words are compared with the code: those for operators.
var pages = []string{
	"README.md", "docs/concepts.md", "docs/installation.md", "docs/kubectl-modules.md", "docs/limitations.md", "docs/moving.md", "docs/operations.md",
	"docs/page.md", "docs/quickstart.md", "docs/security.md", "docs/troubleshooting.md", "docs/upgrading.md",
}

// Labels, annotations, taints, settings and metrics that the pages name are there. In
// docs/upgrading.md settings are that were renamed; the reference has those too.
func TestNamesOfPagesAreThere(t *testing.T) {
	ours := map[string]bool{}
	for _, value := range constants(sources(t, "cmd", "election", "internal", "provider", "tunnel")) {
		ours[value] = true
	}
	manifests := read(t, "manifests/network.yaml") // has a label of namespaces that no code reads
	settings, metrics := read(t, "docs/configuration.md"), read(t, "docs/metrics.md")
	for _, page := range pages {
		text := read(t, page)
		for _, name := range ourName.FindAllString(text, -1) {
			if !ours[name] && !strings.Contains(manifests, name) && !slices.Contains(theirs, name) {
				t.Errorf("%s names %s, which neither a constant nor the NetworkPolicy has", page, name)
			}
		}
		for _, name := range slices.Concat(missing(setting, text, settings), missing(metric, text, metrics)) {
			if !slices.Contains(notSettings, name) {
				t.Errorf("%s names %s, which there is not", page, name)
			}
		}
	}
}

// theirs are labels that v2.2.0 reads and this controller does not.
var theirs = []string{"base.koupleless.io/container-name", "virtual-kubelet.koupleless.io/kubelet-proxy-service"}

// notSettings are variables of modules, of the demo and of terminals.
var notSettings = []string{"BIZ_NAME", "BIZ_VERSION", "DEMO_KEEP", "NO_COLOR"}

// missing gives the names in a text that a reference has not.
func missing(name *regexp.Regexp, text, reference string) (names []string) {
	for _, m := range name.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(reference, "`"+m[1]+"`") {
			names = append(names, m[1])
		}
	}
	return names
}
