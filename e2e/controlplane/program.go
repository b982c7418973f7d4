package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A program is built from one main package of a pinned tool module.
type program struct {
	name string
	// product and version name the folder of the cache, as in kubernetes-1.37.2.
	product, version string
	// module and pkg are what is pinned and what is built of it; tool is the
	// folder below e2e/tools whose go.mod pins it.
	module, pkg, tool string
	ldflags           string
	// takes is about how long a cold build takes, on two cores. The first of a
	// version pays for what they share.
	takes time.Duration
}

// programs lists what a control plane of a Kubernetes version consists of.
func programs(version string) ([]program, error) {
	major, minor, err := majorMinor(version)
	if err != nil {
		return nil, err
	}
	all := []program{{
		name: string(Etcd), product: "etcd", version: EtcdVersion,
		module: "go.etcd.io/etcd/server/v3", pkg: "go.etcd.io/etcd/server/v3", tool: "etcd",
		ldflags: "-s -w", takes: time.Minute,
	}}
	for _, p := range []program{
		{name: string(APIServer), takes: 6 * time.Minute},
		{name: string(ControllerManager), takes: 2 * time.Minute},
		{name: string(Scheduler), takes: time.Minute},
		{name: "kubectl", takes: time.Minute},
	} {
		p.product, p.version = "kubernetes", version
		p.module, p.pkg = "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/"+p.name
		p.tool, p.ldflags = "kubernetes-"+major+"."+minor, versionFlags(version, major, minor)
		all = append(all, p)
	}
	return all, nil
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

// source gives the folder of the tool module, if it pins the program's version.
func (p program) source() (string, error) {
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
