//go:build argo

package argo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// module is Argo Rollouts, at the newest version that the Go version of this project builds.
const module = "github.com/argoproj/argo-rollouts@v1.8.3"

// rollouts is Argo Rollouts, built.
type rollouts struct {
	controller string // its program
	crds       string // the folder of its resource definitions
}

// build fetches Argo Rollouts' module and builds its controller, unless it was built before.
// The module is built as it is, with the versions that it names itself: it cannot be linked
// with this project's.
func build(ctx context.Context) (rollouts, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return rollouts{}, fmt.Errorf("find the cache directory: %w", err)
	}
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return rollouts{}, fmt.Errorf("fetch %s: %w", module, err)
	}
	var fetched struct{ Dir, Version string }
	if err := json.Unmarshal(out, &fetched); err != nil {
		return rollouts{}, fmt.Errorf("fetch %s: %w", module, err)
	}
	r := rollouts{
		controller: filepath.Join(cache, "module-controller", "argo-rollouts-"+fetched.Version),
		crds:       filepath.Join(fetched.Dir, "manifests", "crds"),
	}
	if _, err := os.Stat(r.controller); err == nil {
		return r, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-o", r.controller, "./cmd/rollouts-controller")
	cmd.Dir = fetched.Dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return rollouts{}, fmt.Errorf("build %s: %w: %s", module, err, said)
	}
	return r, nil
}
