package controlplane

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clientModules lists the modules, with their versions, that Kubernetes' client is built
// of in a folder.
func clientModules(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-f", "{{with .Module}}{{.Path}} {{.Version}}{{with .Replace}} {{.Version}}{{end}}{{end}}",
		"k8s.io/client-go/kubernetes", "k8s.io/client-go/tools/clientcmd")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off"), t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			modules = append(modules, fields[0]+" "+fields[len(fields)-1])
		}
	}
	return modules
}

// The demo, the product and Kubernetes all consist of its client. Where all that it is built
// of has one version, it is compiled once, and the first demo is shorter.
func TestTheClientIsCompiledOnce(t *testing.T) {
	_, kubernetes := productsOf(t, KubernetesVersion)
	source, err := kubernetes.source()
	if err != nil {
		t.Fatal(err)
	}
	want := clientModules(t, source)
	for name, dir := range map[string]string{"e2e": ".", "the product": filepath.Join("..", "..")} {
		if diff := cmp.Diff(want, clientModules(t, dir)); diff != "" {
			t.Errorf("the client's modules (-Kubernetes +%s); e2e/tools/align.sh makes them one:\n%s", name, diff)
		}
	}
}

// Packages are shared by builds only where the compiler's flags are the same.
func TestTheDemoIsCompiledAsKubernetes(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, kubernetes := productsOf(t, KubernetesVersion)
	arguments := kubernetes.arguments("")
	i := slices.IndexFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "-gcflags") })
	if i < 0 || !strings.Contains(string(makefile), " "+arguments[i]+"\n") {
		t.Errorf("the Makefile does not build the demo with Kubernetes' flags, %v", arguments)
	}
}
