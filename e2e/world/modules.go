package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// Finding is what kubectl-modules says is wrong.
type Finding struct{ Rule, Severity, Cause, Remedy, Doc string }

// wrongExit is the exit code of kubectl-modules where something is wrong.
const wrongExit = 1

// Why gives what kubectl modules why says of a pod of the World or of a base, and how long
// that took.
func (w *World) Why(name string) (all []Finding, took time.Duration, err error) {
	var chain struct{ Findings []Finding }
	took, err = w.modules(&chain, "why", "-n", w.Env, name)
	return chain.Findings, took, err
}

// Check gives what kubectl modules check says is wrong with the World's installation.
func (w *World) Check() (all []Finding, took time.Duration, err error) { return w.CheckWith() }

// CheckWith is Check with flags of its own.
func (w *World) CheckWith(args ...string) (all []Finding, took time.Duration, err error) {
	var groups []struct {
		Ticks []struct{ Findings []Finding }
	}
	took, err = w.modules(&groups, append([]string{"check"}, args...)...)
	for _, g := range groups {
		for _, t := range g.Ticks {
			all = append(all, t.Findings...)
		}
	}
	return all, took, err
}

// ModulesAs runs kubectl-modules for the World's installation by a kubeconfig, and gives what
// it prints. That something is wrong with the fleet is an error too.
func (w *World) ModulesAs(kubeconfig string, args ...string) (string, error) {
	out, err := w.modulesCommand(kubeconfig, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl-modules %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

// Modules is ModulesAs for an administrator, who must not fail.
func (w *World) Modules(args ...string) string {
	w.Helper()
	out, err := w.ModulesAs(w.cluster.Plane.Kubeconfig(), args...)
	w.Must(err)
	return out
}

// modulesCommand is kubectl-modules for the World's installation.
func (w *World) modulesCommand(kubeconfig string, args ...string) *exec.Cmd {
	name := w.installation.name
	args = append([]string{"--kubeconfig", kubeconfig, "--controller-namespace", name, "--controller-account", name}, args...)
	return exec.CommandContext(w.Context(), w.cluster.Bin.Modules, args...)
}

// modules runs kubectl-modules for the World's installation, and reads what it prints.
func (w *World) modules(to any, args ...string) (took time.Duration, err error) {
	cmd := w.modulesCommand(w.cluster.Plane.Kubeconfig(), append([]string{"-o", "json"}, args...)...)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	began := time.Now()
	err = cmd.Run()
	took = time.Since(began)
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == wrongExit {
		err = nil
	}
	if err != nil {
		return took, fmt.Errorf("kubectl-modules %v: %w: %s", args, err, faults.String())
	}
	return took, json.Unmarshal(out.Bytes(), to)
}

// Installation is the namespace of the World's replicas.
func (w *World) Installation() string { return w.installation.name }

// Role is the ClusterRole of the World's replicas.
func (w *World) Role() string { return w.installation.name }
