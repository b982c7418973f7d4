package harness

import (
	"context"
	"fmt"
	"path/filepath"
)

// Namespace and ServiceAccount are the ones of the manifests.
const (
	Namespace      = "module-controller"
	ServiceAccount = "module-controller"
)

// ApplyManifests applies what of the product's manifests a controller outside of
// the cluster needs: its namespace, its service account, its rights and priorities.
func ApplyManifests(ctx context.Context, kubectl func(context.Context, ...string) (string, error)) error {
	for _, file := range []string{"namespace.yaml", "rbac.yaml", "availability.yaml"} {
		if out, err := kubectl(ctx, "apply", "-f", filepath.Join(Root(), "manifests", file)); err != nil {
			return fmt.Errorf("apply %s: %w\n%s", file, err, out)
		}
	}
	return nil
}
