package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// program is all that an image has.
const program = "module-controller"

// labels are those that an image must have.
var labels = []string{"title", "description", "version", "revision", "licenses"}

// numeric is a user and a group that need no file to be known, and are not root: what
// Kubernetes' runAsNonRoot can judge.
var numeric = regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`)

// faults says what is wrong with the configuration.
func (i image) faults() error {
	var errs []error
	if !numeric.MatchString(i.Config.User) {
		errs = append(errs, fmt.Errorf("its user is %q, want numbers that are not root's", i.Config.User))
	}
	if len(i.Config.Entrypoint) != 1 || i.Config.Entrypoint[0] != "/"+program {
		errs = append(errs, fmt.Errorf("its entry point is %q, want /%s", i.Config.Entrypoint, program))
	}
	for _, label := range labels {
		if i.Config.Labels["org.opencontainers.image."+label] == "" {
			errs = append(errs, fmt.Errorf("it has no label org.opencontainers.image.%s", label))
		}
	}
	return errors.Join(errs...)
}

// machines are those of the architectures.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// oneProgram says whether the files are the program alone, of the architecture.
func oneProgram(files []file, arch string, limit int64) error {
	if len(files) != 1 || files[0].name != program {
		names := make([]string, 0, len(files))
		for _, f := range files {
			names = append(names, f.name)
		}
		return fmt.Errorf("it has files %q, want %s alone", names, program)
	}
	if size := int64(len(files[0].content)); size > limit {
		return fmt.Errorf("it has %d bytes, want at most %d", size, limit)
	}
	if mode := files[0].mode.Perm(); mode != 0o755 {
		return fmt.Errorf("its program has mode %o, want 755", mode)
	}
	switch binary, err := elf.NewFile(bytes.NewReader(files[0].content)); {
	case err != nil:
		return fmt.Errorf("read its program: %w", err)
	case binary.Machine != machines[arch]:
		return fmt.Errorf("its program is for %s", binary.Machine)
	}
	return nil
}

// runAlone runs the program where there is no other file and no environment, as nobody,
// and gives what it answers to --version. Who is not root runs it among all other files.
func runAlone(f file) (string, error) {
	root, err := os.MkdirTemp("", "imagecheck-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(root) }()
	path := filepath.Join(root, f.name)
	if err := errors.Join(os.WriteFile(path, f.content, 0o755), os.Chmod(root, 0o755)); err != nil { //nolint:gosec // nobody is to run it
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), path, "--version")
	cmd.Env = []string{}
	if os.Getuid() == 0 {
		cmd.Path, cmd.Dir = "/"+f.name, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run its program: %w: %s", err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}
