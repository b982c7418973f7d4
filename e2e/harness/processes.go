package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"module-controller/e2e/process"
)

// ProcessKey is the key of a fleet of bases that run processes, by which each proves itself.
const ProcessKey = "the key of the fleet"

// ProcessBinaries are programs for the second stack, which has nothing of Java.
type ProcessBinaries struct {
	// Controller is one that has the stack's tunnel beside its own, which PROCESS_LISTEN and
	// PROCESS_KEY set. It is made of the product's sources with one call put into them by an
	// overlay, so the product has no trace of it.
	Controller string
	// Fleet plays its bases.
	Fleet string
}

// BuildProcesses builds them into dir.
func BuildProcesses(ctx context.Context, dir string) (ProcessBinaries, error) {
	overlay, err := processOverlay(dir)
	b := ProcessBinaries{Controller: filepath.Join(dir, "module-controller"), Fleet: filepath.Join(dir, "fleet")}
	if err == nil {
		err = build(ctx, "-overlay", overlay, "-o", dir+string(filepath.Separator), "./cmd/module-controller", "./tunnel/tunneltest/processes/fleet")
	}
	if err != nil {
		return b, fmt.Errorf("build the second stack: %w", err)
	}
	return b, nil
}

// processOverlay writes the overlay, and what it puts in place of the product's files.
func processOverlay(dir string) (path string, err error) {
	from := filepath.Join(Root(), "cmd", "module-controller")
	text, err := os.ReadFile(filepath.Join(from, "session.go"))
	if err != nil {
		return "", err
	}
	const end, call = "\treturn errors.Join(errs...)\n", "\terrs = append(errs, s.makeProcesses())\n"
	if strings.Count(string(text), end) != 1 {
		return "", errors.New("session.go does not join the errors of its tunnels once")
	}
	put := map[string]string{}
	for name, text := range map[string]string{"session.go": strings.Replace(string(text), end, call+end, 1), "processes.go": makeProcesses} {
		put[filepath.Join(from, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": put})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

// makeProcesses is what such a controller has beside the product's files.
const makeProcesses = `package main

import (
	"os"

	"module-controller/tunnel/tunneltest/processes"
)

func (s *session) makeProcesses() error {
	t, err := processes.New(processes.Config{
		Listen: os.Getenv("PROCESS_LISTEN"), Key: []byte(os.Getenv("PROCESS_KEY")), Environments: s.cfg.envs, Gate: s.owner,
	})
	s.tunnels = append(s.tunnels, t)
	return err
}
`

// ProcessFleet is a fleet of bases that run processes: process-1, process-2, …
type ProcessFleet struct {
	*process.Process
	control string
}

// StartProcessFleet starts one that speaks to the tunnels of replicas.
func StartProcessFleet(binary, log, env string, bases int, replicas []string) (*ProcessFleet, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	f := &ProcessFleet{control: "127.0.0.1:" + strconv.Itoa(port)}
	f.Process, err = process.Start(exec.Command(binary, "--bases", strconv.Itoa(bases), "--env", env, "--key", ProcessKey,
		"--replicas", strings.Join(replicas, ","), "--control", f.control), log)
	return f, err
}

// ProcessCounts is what one base did, by name:version.
type ProcessCounts struct{ Installs, Uninstalls map[string]int }

// Counts gives what the bases did, by identity.
func (f *ProcessFleet) Counts() (all map[string]ProcessCounts, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + f.control + "/counts")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return all, json.NewDecoder(resp.Body).Decode(&all)
}

// ProcessModule writes a module into a folder, and gives its URL.
func ProcessModule(dir, name, version string) (string, error) {
	path := filepath.Join(dir, name+"-"+version)
	text := fmt.Sprintf("#!/bin/sh\n# module %s %s\necho ready\nexec cat >/dev/null\n", name, version)
	return "file://" + path, os.WriteFile(path, []byte(text), 0o600)
}
