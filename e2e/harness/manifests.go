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
// the cluster needs: its namespace, its service account, its rights, optional ones too, what
// limits them, and priorities.
func ApplyManifests(ctx context.Context, kubectl func(context.Context, ...string) (string, error)) error {
	for _, file := range []string{"namespace.yaml", "rbac.yaml", "peer-deployments/rbac.yaml", "admission.yaml", "availability.yaml"} {
		if out, err := kubectl(ctx, "apply", "-f", Manifest(file)); err != nil {
			return fmt.Errorf("apply %s: %w\n%s", file, err, out)
		}
	}
	return nil
}

// Manifest is the path of a file or folder of the product's manifests.
func Manifest(name string) string { return filepath.Join(Root(), "manifests", name) }
