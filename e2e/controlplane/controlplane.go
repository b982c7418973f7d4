package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"module-controller/e2e/process"
)

// Options say how a control plane runs. The zero value is a usual one.
type Options struct {
	// Version is the Kubernetes version. Default: Version().
	Version string
	// Log is told what is built and started. Default: nobody is.
	Log io.Writer
	// LogDir is where the components' logs go, and stay after Stop. It must exist.
	// Default: a folder that Stop removes.
	LogDir string
	// Args are more arguments of a component. They win over the usual ones.
	Args map[Component][]string
	// BeforeBuild is called before a program is built, since it is neither cached nor
	// published. Who compiles the same packages may be waited for there. Its error ends
	// Start. Default: nothing is waited for.
	BeforeBuild func(context.Context) error
}

// A ControlPlane is a running control plane.
type ControlPlane struct {
	version, dir, logDir, binDir string

	release     func() error // gives up dir
	authority   *authority
	ports       ports
	kubeconfigs map[string]string // by user
	config      *rest.Config
	args        map[Component][]string
	log         io.Writer

	mu        sync.Mutex // mu guards what follows
	processes map[Component]*process.Process
	stopped   bool
}

// Start builds what the cache lacks and starts a control plane. It returns when
// service accounts work and the namespace of Node Leases is there. When it fails,
// it names the end of the log of the component at fault and leaves nothing behind.
// ctx bounds the start only: who gets a ControlPlane must stop it.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c := &ControlPlane{
		version:     cmp.Or(o.Version, Version()),
		logDir:      o.LogDir,
		log:         o.Log,
		kubeconfigs: map[string]string{},
		processes:   map[Component]*process.Process{},
	}
	if c.log == nil {
		c.log = io.Discard
	}
	b, err := newBuilder(c.log)
	if err != nil {
		return nil, err
	}
	b.before = o.BeforeBuild
	paths, err := b.build(ctx, c.version)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sweep(os.TempDir()), checkSkew(ctx, paths)); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.start(ctx, paths, o.Args); err != nil {
		return nil, errors.Join(fmt.Errorf("start control plane: %w", err), c.Stop())
	}
	_, _ = fmt.Fprintf(c.log, "Kubernetes %s is ready at %s after %s; logs are in %s\n",
		c.version, c.url(), time.Since(began).Round(100*time.Millisecond), c.logDir)
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context, paths map[string]string, more map[Component][]string) error {
	if err := c.prepare(paths); err != nil {
		return err
	}
	var err error
	if c.args, err = c.arguments(); err != nil {
		return err
	}
	for component, args := range more {
		if _, known := c.args[component]; !known {
			return fmt.Errorf("arguments for %q: no such component", component)
		}
		c.args[component] = append(c.args[component], args...)
	}
	for _, component := range components {
		if err := c.Restart(ctx, component); err != nil {
			return err
		}
		if component != APIServer {
			continue
		}
		if err := c.setUp(ctx); err != nil {
			return err
		}
	}
	return c.until(ctx, ControllerManager, c.hasNamespaces)
}

// setUp does what the API server needs before the others start.
func (c *ControlPlane) setUp(ctx context.Context) error {
	if err := c.until(ctx, APIServer, c.knowsRoles); err != nil {
		return err
	}
	return c.permitAtKubelets(ctx)
}

// prepare makes everything that components read before they start.
func (c *ControlPlane) prepare(paths map[string]string) error {
	var err error
	if c.dir, c.release, err = newDir(os.TempDir()); err != nil {
		return err
	}
	c.binDir = filepath.Join(c.dir, "bin")
	if c.logDir == "" {
		c.logDir = filepath.Join(c.dir, "logs")
	}
	for _, dir := range []string{c.binDir, c.logDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
	}
	for name, path := range paths {
		if err := os.Symlink(path, filepath.Join(c.binDir, name)); err != nil {
			return fmt.Errorf("link programs: %w", err)
		}
	}
	for _, port := range []*int{&c.ports.etcd, &c.ports.etcdPeer, &c.ports.api} {
		if *port, err = process.FreePort(); err != nil {
			return err
		}
	}
	if c.authority, err = newAuthority("e2e"); err != nil {
		return err
	}
	return c.prepareUsers()
}

// prepareUsers writes the kubeconfigs of those whom certificates prove.
func (c *ControlPlane) prepareUsers() error {
	for _, u := range []struct {
		name, user string
		groups     []string
	}{
		{admin, "admin", []string{"system:masters"}},
		{string(ControllerManager), controllerManagerUser, nil},
		{string(Scheduler), schedulerUser, nil},
	} {
		var err error
		if c.kubeconfigs[u.name], err = c.clientKubeconfig(u.name, u.user, u.groups...); err != nil {
			return err
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read the kubeconfig of %s: %w", admin, err)
	}
	config.QPS = -1 // the API server's own fairness is what tests meet
	c.config = config
	return nil
}

func (c *ControlPlane) url() string { return "https://" + local(c.ports.api) }

// Version is the Kubernetes version that runs, such as 1.37.2.
func (c *ControlPlane) Version() string { return c.version }

// BinDir is a folder with the programs of this version, kubectl among them.
func (c *ControlPlane) BinDir() string { return c.binDir }

// LogDir is where each component writes its log, as <component>.log.
func (c *ControlPlane) LogDir() string { return c.logDir }

// Stop ends the processes and removes the files, except those in a LogDir that was
// asked for. Later calls do nothing.
func (c *ControlPlane) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	for _, p := range c.processes {
		errs = append(errs, p.Kill()) // nothing of theirs is kept: no need to ask
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir), c.release())
	}
	return errors.Join(errs...)
}
