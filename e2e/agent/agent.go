package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"module-controller/e2e/process"
)

// Options say what an agent is and runs.
type Options struct {
	// Client and Config reach the API server as one who may do everything.
	Client kubernetes.Interface
	Config *rest.Config
	// NodeName is the Node's name.
	NodeName string
	// Binary is the program that every pod runs, but those whose image is one of Images.
	Binary string
	// Images are programs by the image that stands for them. Default: none.
	Images map[string]string
	// Dir holds the agent's log, a log for each pod name and a folder for each pod.
	// It must exist.
	Dir string
	// Ports moves ports of pods to free ones: by a port's name the environment
	// variable that says where to listen, and its form, such as
	// "health": "HEALTH_PROBE_BIND_ADDRESS=127.0.0.1:%d".
	Ports map[string]string
	// Env gives environment that wins over the manifest's and over Ports. It is asked
	// at each start of a process. Where it sets a variable of Ports, the value ends
	// in the port. Default: nothing more.
	Env func(pod *corev1.Pod) map[string]string
}

// An Agent is a Node that runs.
type Agent struct {
	o   Options
	ca  []byte // proves the API server
	log *slog.Logger

	end     context.CancelFunc
	running sync.WaitGroup
	logFile *os.File

	mu      sync.Mutex // mu guards what follows
	workers map[types.UID]*podWorker
	newest  map[string]*podWorker // by pod name
}

// Start registers the Node and runs the pods that are bound to it. It returns when
// pods may be bound to it. ctx bounds the start only: who gets an Agent must stop it.
func Start(ctx context.Context, o Options) (*Agent, error) {
	config := rest.CopyConfig(o.Config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, o.NodeName+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	a := &Agent{
		o: o, ca: config.CAData, logFile: f, log: slog.New(slog.NewTextHandler(f, nil)),
		workers: map[types.UID]*podWorker{}, newest: map[string]*podWorker{},
	}
	if err := a.register(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start agent: %w", err), f.Close())
	}
	// What runs outlives ctx and ends with Stop.
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	a.end = end
	a.running.Go(func() { a.heartbeat(alive) })
	a.running.Go(func() { a.watchPods(alive) })
	if err := a.untainted(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start agent: %w", err), a.Stop())
	}
	return a, nil
}

// Stop kills all processes and ends the heartbeat, as when a machine is switched
// off: the Node and its pods stay in the API.
func (a *Agent) Stop() error {
	a.end()
	a.running.Wait()
	return a.logFile.Close()
}

// Process gives the process that runs now for a pod.
func (a *Agent) Process(podName string) (*process.Process, error) {
	if w := a.worker(podName); w != nil {
		if p := w.process(); p != nil && !p.Ended() {
			return p, nil
		}
	}
	return nil, fmt.Errorf("pod %s has no process on %s", podName, a.o.NodeName)
}

// Log is the file with the output of all processes of a pod name, the oldest first.
func (a *Agent) Log(podName string) string { return filepath.Join(a.o.Dir, podName+".log") }

func (a *Agent) worker(podName string) *podWorker {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.newest[podName]
}
