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
func (w *World) Check() (all []Finding, took time.Duration, err error) {
	var groups []struct {
		Ticks []struct{ Findings []Finding }
	}
	took, err = w.modules(&groups, "check")
	for _, g := range groups {
		for _, t := range g.Ticks {
			all = append(all, t.Findings...)
		}
	}
	return all, took, err
}

// modules runs kubectl-modules for the World's installation, and reads what it prints.
func (w *World) modules(to any, args ...string) (took time.Duration, err error) {
	name := w.installation.name
	args = append([]string{"--kubeconfig", w.cluster.Plane.Kubeconfig(), "--controller-namespace", name, "--controller-account", name, "-o", "json"}, args...)
	cmd := exec.CommandContext(w.Context(), w.cluster.Bin.Modules, args...)
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

// Role is the ClusterRole of the World's replicas.
func (w *World) Role() string { return w.installation.name }
