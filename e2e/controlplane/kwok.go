package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"module-controller/e2e/process"
)

// KWOKVersion is the KWOK that the product is measured beside. e2e/tools must pin it.
const KWOKVersion = "0.8.0"

// KWOK is the controller of Nodes that run nothing, built from its module.
type KWOK struct {
	// Program is the path of the controller.
	Program string
	// Source is the folder of its module, with the manifests that it comes with.
	Source string
}

var kwok = product{
	name: "kwok", version: KWOKVersion, programs: []string{"kwok"},
	tool: "kwok", module: "sigs.k8s.io/kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok",
	ldflags: "-s -w", takes: 3 * time.Minute,
}

// BuildKWOK gives KWOK, which it builds unless the cache has it: see Build.
func BuildKWOK(ctx context.Context, log io.Writer) (KWOK, error) {
	b, err := newBuilder(log)
	if err != nil {
		return KWOK{}, err
	}
	dir, err := b.folder(ctx, kwok)
	if err != nil {
		return KWOK{}, err
	}
	k := KWOK{Program: filepath.Join(dir, kwok.name)}
	k.Source, err = kwok.moduleSource(ctx)
	return k, err
}

// moduleSource gives the folder of the product's own module, which it fetches where it is
// not there.
func (p product) moduleSource(ctx context.Context) (string, error) {
	dir, err := p.source()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := exec.Command("go", "mod", "download", "-json", p.module)
	cmd.Dir, cmd.Stdout = dir, &out
	if err := process.Run(ctx, cmd); err != nil {
		return "", fmt.Errorf("fetch %s %s: %w: %s", p.module, p.version, err, out.Bytes())
	}
	var fetched struct{ Dir string }
	if err := json.Unmarshal(out.Bytes(), &fetched); err != nil {
		return "", fmt.Errorf("fetch %s %s: %w", p.module, p.version, err)
	}
	return fetched.Dir, nil
}
