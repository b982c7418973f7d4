package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
)

// overlay writes patched copies and overlay.json into dir, for -overlay of go build and
// go test, and gives the path of overlay.json. Nothing below root is changed.
func (m mutant) overlay(ctx context.Context, root, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", dir, err)
	}
	copies := filepath.Join(dir, "files")
	replace := map[string]string{}
	for _, file := range m.files {
		from, to := filepath.Join(root, file), filepath.Join(copies, file)
		if err := copyFile(from, to); err != nil {
			return "", fmt.Errorf("%s/%s.patch: %w", folder, m.name, err)
		}
		replace[from] = to
	}
	if err := m.apply(ctx, copies); err != nil {
		return "", err
	}
	for _, to := range replace {
		if _, err := parser.ParseFile(token.NewFileSet(), to, nil, parser.SkipObjectResolution); err != nil {
			return "", fmt.Errorf("%s/%s.patch: what comes of it is no Go: %w", folder, m.name, err)
		}
	}
	text, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode overlay: %w", err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("write overlay: %w", err)
	}
	return path, nil
}

// apply patches the copies in place.
func (m mutant) apply(ctx context.Context, copies string) error {
	cmd := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", "-")
	cmd.Dir = copies
	// A repository around the copies would change what the paths mean.
	cmd.Env = append(os.Environ(), "GIT_DIR="+os.DevNull)
	cmd.Stdin = bytes.NewReader(m.patch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s/%s.patch does not apply; make it anew on the code as it is: %w\n%s", folder, m.name, err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read file that it changes: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	return nil
}
