package controlplane

import (
	"context"
	"io"
	"path/filepath"
	"time"
)

// HelmVersion is the Helm that installs the chart. e2e/tools must pin it.
const HelmVersion = "4.3.2"

var helm = product{
	name: "helm", version: HelmVersion, programs: []string{"helm"},
	tool: "helm", module: "helm.sh/helm/v4", pkg: "helm.sh/helm/v4/cmd/helm",
	ldflags: "-s -w", takes: 3 * time.Minute,
}

// BuildHelm gives the path of Helm, which it builds unless the cache has it: see Build.
func BuildHelm(ctx context.Context, log io.Writer) (string, error) {
	b, err := newBuilder(log)
	if err != nil {
		return "", err
	}
	dir, err := b.folder(ctx, helm)
	return filepath.Join(dir, helm.name), err
}
