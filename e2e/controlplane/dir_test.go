package controlplane

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSweep(t *testing.T) {
	parent := t.TempDir()
	dir, release, err := newDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	unowned := filepath.Join(parent, dirPrefix+"being-made")
	if err := os.Mkdir(unowned, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("sweep took a folder whose owner is running: %v", err)
	}
	// The lock ends with its owner, as it ends here.
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("sweep left an ownerless folder (%v)", err)
	}
	if _, err := os.Stat(unowned); err != nil {
		t.Errorf("sweep took a folder that nobody owns yet: %v", err)
	}
}
