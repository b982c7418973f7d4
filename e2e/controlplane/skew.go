package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// checkSkew refuses a kube-apiserver of another minor version than its controllers,
// which can only be where AssetsVariable brings some programs and not others. The
// controllers' APIs would not be there, or tests would not run on what they name.
func checkSkew(ctx context.Context, paths map[string]string) error {
	if os.Getenv(AssetsVariable) == "" {
		return nil
	}
	var first string
	for _, component := range []Component{APIServer, ControllerManager, Scheduler} {
		out, err := exec.CommandContext(ctx, paths[string(component)], "--version").Output()
		if err != nil {
			return fmt.Errorf("ask %s for its version: %w", paths[string(component)], err)
		}
		said := strings.TrimSpace(string(out)) // Kubernetes v1.37.2
		minor := said[:max(0, strings.LastIndexByte(said, '.'))]
		if first == "" {
			first = minor
		}
		if minor != first {
			return fmt.Errorf("%s is %s, but %s is %s: choose the version by %s, or complete %s",
				APIServer, first, component, said, VersionVariable, AssetsVariable)
		}
	}
	return nil
}
