package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl runs kubectl as one who may do everything and gives what it printed on
// its standard output, also when it fails. The error carries what it complained of.
// Nothing of the user's own kubectl configuration counts.
func (c *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := c.KubectlCommand(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// KubectlCommand is what Kubectl runs: for who reads what it prints meanwhile, and ends it by ctx.
func (c *ControlPlane) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.binDir, kubectl), args...)
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+c.Kubeconfig(),
		"KUBERC=off",
		"KUBECACHEDIR="+filepath.Join(c.dir, "kubectl"))
	return cmd
}
