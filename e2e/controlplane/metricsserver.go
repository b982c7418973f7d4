package controlplane

import (
	"context"
	"io"
	"path/filepath"
	"time"
)

// MetricsServerVersion is the metrics-server that asks VNodes what they use. e2e/tools must
// pin it.
const MetricsServerVersion = "0.9.0"

// MetricsServer is what answers kubectl top, built from its module.
type MetricsServer struct {
	// Program is its path.
	Program string
	// Manifests is the folder of those that it comes with.
	Manifests string
}

var metricsServer = product{
	name: "metrics-server", version: MetricsServerVersion, programs: []string{"metrics-server"},
	tool: "metrics-server", module: "sigs.k8s.io/metrics-server", pkg: "sigs.k8s.io/metrics-server/cmd/metrics-server",
	ldflags: "-s -w", takes: 4 * time.Minute,
}

// BuildMetricsServer gives metrics-server, which it builds unless the cache has it: see Build.
func BuildMetricsServer(ctx context.Context, log io.Writer) (MetricsServer, error) {
	b, err := newBuilder(log)
	if err != nil {
		return MetricsServer{}, err
	}
	dir, err := b.folder(ctx, metricsServer)
	if err != nil {
		return MetricsServer{}, err
	}
	source, err := metricsServer.moduleSource(ctx)
	return MetricsServer{Program: filepath.Join(dir, metricsServer.name), Manifests: filepath.Join(source, "manifests", "base")}, err
}
