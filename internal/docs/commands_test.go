package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Flags of other programs that the pages use, by what is called, each with whether a value
// follows. "kubectl modules" and "module-controller" are compared with their own flags, in
// their packages.
var flagsOf = map[string]map[string]bool{
	"kubectl annotate":              {"-n": true},
	"kubectl apply":                 {"-f": true, "-k": true},
	"kubectl cordon":                {},
	"kubectl create rolebinding":    {"-n": true, "--clusterrole": true, "--serviceaccount": true},
	"kubectl create secret generic": {"-n": true, "--from-file": true},
	"kubectl drain":                 {"--ignore-daemonsets": false},
	"kubectl get":                   {"-n": true, "-l": true, "-L": true, "-o": true},
	"kubectl logs":                  {"-n": true, "--previous": false},
	"kubectl rollout restart":       {"-n": true},
	"kubectl rollout status":        {"-n": true},
	"kubectl rollout undo":          {"-n": true},
	"kubectl scale":                 {"-n": true, "--replicas": true},
	"kubectl uncordon":              {},
	"helm install":                  {"-n": true, "-f": true, "--set": true, "--wait": false},
	"helm rollback":                 {"-n": true, "--wait": false},
	"helm uninstall":                {"-n": true, "--wait": false},
	"helm upgrade":                  {"-n": true, "-f": true, "--set": true, "--wait": false},
	"make":                          {},
	"cat":                           {},
	"install":                       {},
	"mkdir":                         {},
}

// elsewhere are programs of this project, whose tests have their commands.
func elsewhere(c Command) bool {
	return c.Words[0] == "module-controller" || len(c.Words) > 1 && c.Words[0] == "kubectl" && c.Words[1] == "modules"
}

// called gives the longest of flagsOf that a command begins with.
func called(c Command) (name string, flags map[string]bool, ok bool) {
	for n := min(3+1, len(c.Words)); n > 0; n-- {
		name = strings.Join(c.Words[:n], " ")
		if flags, ok = flagsOf[name]; ok {
			return name, flags, true
		}
	}
	return "", nil, false
}

// facts are what commands are compared with.
type facts struct {
	page, makefile, manifests string
	constants                 map[string]bool
	// values are the constants that stand behind labels: those of components.
	values map[string]bool
}

// Each command of the pages is one that there is, with flags that it has; what it names of
// ours (targets, files, objects, Secrets, labels) is there.
func TestCommandsOfPages(t *testing.T) {
	f := facts{makefile: read(t, "Makefile"), constants: map[string]bool{}, values: map[string]bool{}}
	for name, value := range constants(sources(t, "provider", "election")) {
		f.constants[value] = true
		f.values[value] = f.values[value] || strings.HasPrefix(strings.ToLower(name), "component")
	}
	for _, file := range []string{"namespace.yaml", "statefulset.yaml", "rbac.yaml"} {
		f.manifests += read(t, filepath.Join("manifests", file))
	}
	for _, page := range Pages {
		f.page = read(t, page)
		commands := Commands(f.page)
		if len(commands) == 0 && page != "docs/upgrading.md" {
			t.Errorf("%s has no commands", page)
		}
		for _, c := range commands {
			for _, fault := range f.faults(c) {
				t.Errorf("%s:%d: %s: %s", page, c.Line, c, fault)
			}
		}
	}
}

// faults are what is wrong with a command.
func (f facts) faults(c Command) (wrong []string) {
	for _, name := range c.Set {
		if name != "DEMO_KEEP" {
			wrong = append(wrong, "no variable "+name)
		}
	}
	name, known, ok := called(c)
	switch {
	case elsewhere(c):
		return wrong
	case !ok:
		return append(wrong, "nothing is known of that program")
	}
	flags, rest := c.Flags(func(flag string) bool { return known[flag] })
	for flag, values := range flags {
		if _, has := known[flag]; !has {
			wrong = append(wrong, "no flag "+flag)
		}
		for _, v := range values {
			wrong = append(wrong, f.faultsOfValue(flag, v)...)
		}
	}
	rest = rest[len(strings.Fields(name))-1:]
	if name == "make" {
		return append(wrong, f.faultsOfMake(rest)...)
	}
	if strings.HasPrefix(name, "kubectl ") {
		wrong = append(wrong, f.faultsOfObjects(name, rest)...)
	}
	return wrong
}

func (f facts) faultsOfMake(words []string) (wrong []string) {
	for _, w := range words {
		variable, _, sets := strings.Cut(w, "=")
		pattern := `(?m)^` + regexp.QuoteMeta(w) + `:`
		if sets {
			pattern = `(?m)^` + regexp.QuoteMeta(variable) + ` \?=`
		}
		if !regexp.MustCompile(pattern).MatchString(f.makefile) {
			wrong = append(wrong, "the Makefile has no "+w)
		}
	}
	return wrong
}

// placeholder is what a reader is to put something in the place of.
var placeholder = regexp.MustCompile(`^[A-Z]+$`)

// kubernetes are labels and namespaces that are not ours.
var kubernetes = []string{"kube-node-lease"}

func (f facts) faultsOfValue(flag, value string) []string {
	switch flag {
	case "-n":
		if !placeholder.MatchString(value) && !slices.Contains(kubernetes, value) && !strings.Contains(f.manifests, "namespace: "+value) {
			return []string{"no namespace " + value}
		}
	case "-f", "-k":
		_, err := os.Stat(filepath.Join(root, value))
		if err != nil && value != "-" && !strings.HasPrefix(value, "my-") {
			return []string{"no file " + value}
		}
	case "-l":
		return f.faultsOfSelector(value)
	case "-L":
		for key := range strings.SplitSeq(value, ",") {
			if !f.constants[key] {
				return []string{"no label " + key}
			}
		}
	case "--from-file":
		if !strings.Contains(f.manifests, "/"+value) {
			return []string{"the StatefulSet reads no file " + value + " of the Secret"}
		}
	}
	return nil
}

// faultsOfSelector compares labels with constants of the code, with the manifests, and with
// objects that the page itself makes.
func (f facts) faultsOfSelector(selector string) (wrong []string) {
	for term := range strings.SplitSeq(selector, ",") {
		key, value, _ := strings.Cut(term, "=")
		text := key + ": " + value
		switch {
		case f.constants[key] && (value == "" || f.values[value]):
		case strings.Contains(f.manifests, text), strings.Contains(f.page, text):
		default:
			wrong = append(wrong, fmt.Sprintf("nothing has the label %s", term))
		}
	}
	return wrong
}

// kinds are those of Kubernetes that are named without a name of ours.
var kinds = []string{"nodes", "lease", "pods", "flowschema"}

// faultsOfObjects looks for objects that are named, as kind/name or as kind and name, in the
// manifests and on the page.
func (f facts) faultsOfObjects(name string, rest []string) (wrong []string) {
	switch {
	case len(rest) == 0:
		return nil
	case name == "kubectl create secret generic":
		if !strings.Contains(f.manifests, "secretName: "+rest[0]) {
			return []string{"the StatefulSet has no Secret " + rest[0]}
		}
		return nil
	case len(rest) == 1 && (slices.Contains(kinds, rest[0]) || placeholder.MatchString(rest[0])):
		return nil
	}
	object := strings.Join(rest, "/")
	kind, called, _ := strings.Cut(object, "/")
	text := regexp.MustCompile(`(?i)kind: ` + regexp.QuoteMeta(kind) + `\s+metadata:\s+name: ` + regexp.QuoteMeta(called) + `\s`)
	if !placeholder.MatchString(called) && !text.MatchString(f.manifests) && !text.MatchString(f.page) {
		wrong = append(wrong, "nothing makes "+object)
	}
	return wrong
}

// What is wrong with a command is seen.
func TestWrongCommandsAreSeen(t *testing.T) {
	f := facts{
		page: "kind: Deployment\nmetadata:\n  name: orders\n", makefile: "build: x\nIMAGE ?= y\n",
		manifests: "kind: StatefulSet\nmetadata:\n  name: set\n  namespace: ns\nsecretName: s\n/etc/ca.crt",
		constants: map[string]bool{"a.b/key": true, "node": true}, values: map[string]bool{"vnode": true},
	}
	for line, want := range map[string]int{
		"make build IMAGE=z": 0,
		"make nothing":       1,
		"make build TAG=z":   1,
		"kubectl scale statefulset set -n ns --replicas 3":          0,
		"kubectl scale statefulset set -n ns --replica 3":           2,
		"kubectl scale statefulset other -n elsewhere --replicas 3": 2,
		"kubectl rollout status deployment/orders":                  0,
		"kubectl rollout status deployment/other":                   1,
		"kubectl rollout begin deployment/orders":                   1,
		"kubectl get nodes -l a.b/key=vnode -L a.b/key":             0,
		"kubectl get nodes -l a.b/key=node -L a.b/other":            2,
		"kubectl create secret generic s --from-file=ca.crt":        0,
		"kubectl create secret generic t --from-file=key":           2,
		"kubectl apply -f none.yaml":                                1,
		"kubectl drain NODE --ignore-daemonsets":                    0,
		"KEEP=1 make build":                                         1,
		"frobnicate":                                                1,
		"kubectl modules anything --at-all":                         0,
	} {
		for _, c := range Commands("```sh\n" + line + "\n```\n") {
			if got := f.faults(c); len(got) != want {
				t.Errorf("%s: %d faults, want %d: %q", line, len(got), want, got)
			}
		}
	}
}
