package controlplane

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A product is one program, built of a pinned tool module, that is called by one name
// or several. Where its makers publish the programs of those names, they serve as well.
type product struct {
	name, version string
	// programs are the names that it is called by.
	programs []string
	// tool is the folder below e2e/tools whose go.mod pins module, and pkg what is
	// built there: a package, or a file, by its path from that folder.
	tool, module, pkg string
	ldflags           string
	// takes is about how long a cold build takes, on two cores.
	takes time.Duration
	// site publishes the programs; none does where it is empty.
	site string
	// published says where on the site they are, for an architecture of Linux.
	published func(version, arch string) []published
}

// products lists what a control plane of a Kubernetes version consists of.
func products(version string) ([]product, error) {
	major, minor, err := majorMinor(version)
	if err != nil {
		return nil, err
	}
	return []product{{
		name: "etcd", version: EtcdVersion, programs: []string{string(Etcd)},
		tool: "etcd", module: "go.etcd.io/etcd/server/v3", pkg: "go.etcd.io/etcd/server/v3",
		ldflags: "-s -w", takes: time.Minute,
		site: "https://github.com", published: publishedEtcd,
	}, {
		name: "kubernetes", version: version,
		programs: []string{string(APIServer), string(ControllerManager), string(Scheduler), kubectl},
		tool:     "kubernetes-" + major + "." + minor, module: "k8s.io/kubernetes", pkg: "../kubernetes/main.go",
		ldflags: versionFlags(version, major, minor), takes: 9 * time.Minute,
		site: "https://dl.k8s.io", published: publishedKubernetes,
	}}, nil
}

// versionFlags makes a program say its version, as a release does. A program that
// does not know it is refused by the others' checks of version skew.
func versionFlags(version, major, minor string) string {
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X "+pkg+".gitVersion=v"+version,
			"-X "+pkg+".gitMajor="+major,
			"-X "+pkg+".gitMinor="+minor)
	}
	return strings.Join(flags, " ")
}

// source gives the folder of the tool module, if it pins the product's version.
func (p product) source() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "tools", p.tool)
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("find what pins %s %s: %w", p.name, p.version, err)
	}
	pinned := func(line string) bool {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		return len(fields) >= 2 && fields[0] == p.module && fields[1] == "v"+p.version
	}
	if !slices.ContainsFunc(strings.Split(string(mod), "\n"), pinned) {
		return "", fmt.Errorf("find what pins %s %s: %s does not require %s v%s", p.name, p.version, dir, p.module, p.version)
	}
	return dir, nil
}

// arguments are those of the go command that builds the product into a file. No package
// is compiled with what only a debugger reads: the linker drops it, and the compiler takes
// a seventh of its time for it. `make demo` builds with the same flag, to share the packages.
func (p product) arguments(file string) []string {
	return []string{"build", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags", p.ldflags, "-o", file, p.pkg}
}

// recipe is a short sum of what decides what is built of a tool module, but for the
// compiler. It names the folder in the cache: what was built otherwise is not found.
func (p product) recipe(source string) (string, error) {
	sum := sha256.New()
	files := []string{"go.mod", "go.sum"}
	if strings.HasSuffix(p.pkg, ".go") {
		files = append(files, p.pkg)
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			return "", fmt.Errorf("sum up what %s %s is built of: %w", p.name, p.version, err)
		}
		_, _ = fmt.Fprintf(sum, "%s %x\n", file, sha256.Sum256(content))
	}
	_, _ = fmt.Fprintf(sum, "%s %s %q %q\n", runtime.GOOS, runtime.GOARCH, p.programs, p.arguments(""))
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// complete reports whether a folder has all programs of the product.
func (p product) complete(dir string) bool {
	return !slices.ContainsFunc(p.programs, func(name string) bool { return !isFile(filepath.Join(dir, name)) })
}
