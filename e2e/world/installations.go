package world

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"module-controller/e2e/harness"
)

// mostInstallations is how many Worlds there may be at a time. Each has so many networks
// of its own in 127.0.0.0/8, those from 127.64.0.0 on are no World's.
const (
	mostInstallations = 8
	networksEach      = 8
)

// installation is what replicas know each other by: a namespace with a service account,
// its rights and the policies that limit them. The first is that of the manifests. The
// others are the same by another name: members of one namespace are one installation,
// whatever environments they serve, so no two Worlds have one at a time.
type installation struct {
	n    int
	name string // of the namespace and the service account
	dir  string // for its manifests

	applied bool // by the World that has it
}

// installationName is the name of the n-th installation, from 0 on.
func installationName(n int) string {
	if n == 0 {
		return harness.Namespace
	}
	return fmt.Sprintf("installation-%d", n+1)
}

// replicaUser is who an installation's replicas are at the API server.
func replicaUser(name string) string { return serviceAccounts + name + ":" + name }

const serviceAccounts = "system:serviceaccount:"

// replicaUsers are those of all installations.
func replicaUsers() []string {
	users := make([]string, mostInstallations)
	for n := range users {
		users[n] = replicaUser(installationName(n))
	}
	return users
}

// installationOf gives the installation that a user is a replica of.
func installationOf(user string) (name string, ok bool) {
	for n := range mostInstallations {
		if name := installationName(n); user == replicaUser(name) {
			return name, true
		}
	}
	return "", false
}

// installations are those of a Cluster. They may be used from any goroutine.
type installations struct {
	free chan struct{} // as many as no World has

	mu    sync.Mutex // mu guards what follows
	all   []*installation
	taken [mostInstallations]bool
}

// newInstallations gives those of a Cluster in whose control plane the first is applied.
func newInstallations(dir string) *installations {
	s := &installations{free: make(chan struct{}, mostInstallations)}
	for n := range mostInstallations {
		name := installationName(n)
		s.all = append(s.all, &installation{n: n, name: name, dir: filepath.Join(dir, name+"-manifests"), applied: n == 0})
		s.free <- struct{}{}
	}
	return s
}

// take gives the first that no World has, and waits where there is none. It is to be
// given back.
func (s *installations) take(ctx context.Context) (*installation, error) {
	select {
	case <-s.free:
	case <-ctx.Done():
		return nil, fmt.Errorf("take an installation: %w", context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for s.taken[n] {
		n++
	}
	s.taken[n] = true
	return s.all[n], nil
}

func (s *installations) giveBack(i *installation) {
	s.mu.Lock()
	s.taken[i.n] = false
	s.mu.Unlock()
	s.free <- struct{}{}
}

// apply applies the manifests, unless that was done.
func (i *installation) apply(ctx context.Context, kubectl func(context.Context, ...string) (string, error)) error {
	if i.applied {
		return nil
	}
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return err
	}
	err := harness.ApplyManifests(ctx, func(ctx context.Context, args ...string) (string, error) {
		last := len(args) - 1 // the path
		path, err := i.manifest(args[last])
		if err != nil {
			return "", err
		}
		return kubectl(ctx, append(args[:last:last], path)...)
	})
	i.applied = err == nil
	return err
}

// manifest gives the path of a manifest with the installation's name for the product's.
func (i *installation) manifest(path string) (string, error) {
	if i.n == 0 {
		return path, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	own := filepath.Join(i.dir, filepath.Base(path))
	return own, os.WriteFile(own, []byte(strings.ReplaceAll(string(text), harness.Namespace, i.name)), 0o600)
}
