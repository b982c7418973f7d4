package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"module-controller/e2e/process"
)

// dirPrefix begins the names of control planes' folders in the folder for temporary
// files, ownerFile is the file in each that is locked while its owner lives.
const (
	dirPrefix = "module-controller-e2e-"
	ownerFile = "owner"
)

// newDir makes a folder below parent that only this process's death or its release
// leaves ownerless.
func newDir(parent string) (dir string, release func() error, err error) {
	dir, err = os.MkdirTemp(parent, dirPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the control plane: %w", err)
	}
	// The file gets its name when it is locked: sweep does not judge a folder
	// without it.
	owner, err := os.CreateTemp(dir, "unlocked-")
	if err == nil {
		_, err = process.TryLock(owner)
	}
	if err == nil {
		err = os.Rename(owner.Name(), filepath.Join(dir, ownerFile))
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("own the control plane's folder: %w", err), os.RemoveAll(dir))
	}
	return dir, owner.Close, nil
}

// sweep removes the folders below parent whose owners died without a Stop.
func sweep(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for left folders: %w", err)
	}
	for _, dir := range dirs {
		owner, err := os.OpenFile(filepath.Join(dir, ownerFile), os.O_RDWR, 0)
		if err != nil {
			continue // being made, being removed, or another user's
		}
		if orphaned, err := process.TryLock(owner); err == nil && orphaned {
			err = os.RemoveAll(dir)
			if err != nil {
				return errors.Join(fmt.Errorf("remove a left folder: %w", err), owner.Close())
			}
		}
		_ = owner.Close()
	}
	return nil
}
