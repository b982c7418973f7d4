package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/process"
)

// leastGrace is what a process gets whose pod was deleted by force.
const leastGrace = 2 * time.Second

// unsupported says what of a pod the agent does not support.
func unsupported(pod *corev1.Pod) error {
	s := pod.Spec
	if len(s.Containers) != 1 || len(s.InitContainers) > 0 {
		return errors.New("the agent supports pods of one container")
	}
	c := s.Containers[0]
	switch {
	case s.RestartPolicy != corev1.RestartPolicyAlways:
		return errors.New("the agent supports restartPolicy Always only")
	case len(s.ReadinessGates) > 0:
		return errors.New("the agent supports no readiness gates")
	case c.StartupProbe != nil || c.Lifecycle != nil:
		return errors.New("the agent supports no startup probe and no lifecycle hook")
	case len(c.EnvFrom) > 0:
		return errors.New("the agent supports no envFrom")
	}
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if p != nil && (p.HTTPGet == nil || p.HTTPGet.Scheme == corev1.URISchemeHTTPS) {
			return errors.New("the agent supports probes by HTTP only")
		}
	}
	_, err := environment(pod, nil)
	return err
}

// probes are the URLs of the probes of one process; empty where there is none.
type probes struct{ readiness, liveness string }

// start starts the pod's process.
func (w *podWorker) start() (*process.Process, probes, error) {
	pod := w.seen()
	container := pod.Spec.Containers[0]
	over, err := w.agent.overrides(pod)
	if err != nil {
		return nil, probes{}, err
	}
	over["KUBECONFIG"] = w.kubeconfigFile()
	env, err := environment(pod, over)
	if err != nil {
		return nil, probes{}, err
	}
	ports, err := w.agent.portsOf(container, env)
	if err != nil {
		return nil, probes{}, err
	}
	urls := probes{}
	for probe, url := range map[*corev1.Probe]*string{container.ReadinessProbe: &urls.readiness, container.LivenessProbe: &urls.liveness} {
		if probe == nil {
			continue
		}
		if *url, err = probeURL(probe.HTTPGet, container, ports); err != nil {
			return nil, probes{}, err
		}
	}
	cmd := exec.Command(cmp.Or(w.agent.o.Images[container.Image], w.agent.o.Binary))
	cmd.Dir = w.dir
	for _, arg := range container.Args {
		cmd.Args = append(cmd.Args, expand(arg, env))
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	p, err := process.Start(cmd, w.agent.Log(w.name))
	if err != nil {
		return nil, probes{}, err
	}
	w.mu.Lock()
	w.now = p
	w.mu.Unlock()
	w.started(p.PID(), container.ReadinessProbe == nil)
	return p, urls, nil
}

// serve probes a process until it has ended, and ends it when the pod is to end or
// when it is not alive.
func (w *podWorker) serve(ctx context.Context, p *process.Process, urls probes) {
	container := w.seen().Spec.Containers[0]
	probing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	dead := make(chan error, 1)
	if urls.readiness != "" {
		running.Go(func() {
			probe(probing, container.ReadinessProbe, urls.readiness, func(err error) { w.ready(err == nil) })
		})
	}
	if urls.liveness != "" {
		running.Go(func() {
			probe(probing, container.LivenessProbe, urls.liveness, func(err error) {
				if err != nil {
					select {
					case dead <- err:
					default: // it is being ended for that
					}
				}
			})
		})
	}
	select {
	case <-p.Done():
	case err := <-dead:
		w.agent.log.Info("liveness probe failed", "pod", w.name, "error", err)
		w.terminate(ctx, p)
	case <-w.deleting:
		w.terminate(ctx, p)
	case <-ctx.Done():
		w.kill(p)
	}
}

// terminate asks a process to end and kills it after the pod's grace.
func (w *podWorker) terminate(ctx context.Context, p *process.Process) {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		w.agent.log.Error("terminate", "pod", w.name, "error", err)
	}
	timer := time.NewTimer(grace(w.seen()))
	defer timer.Stop()
	gone := w.gone
	for {
		select {
		case <-p.Done():
			return
		case <-gone:
			timer.Reset(min(leastGrace, grace(w.seen())))
			gone = nil
		case <-timer.C:
			w.kill(p)
			return
		case <-ctx.Done():
			w.kill(p)
			return
		}
	}
}

func (w *podWorker) kill(p *process.Process) {
	if err := p.Kill(); err != nil {
		w.agent.log.Error("kill", "pod", w.name, "error", err)
	}
}

// grace is how long a pod's process may take to end: what the deletion says, else
// what the pod does.
func grace(pod *corev1.Pod) time.Duration {
	seconds := pod.Spec.TerminationGracePeriodSeconds
	if pod.DeletionGracePeriodSeconds != nil {
		seconds = pod.DeletionGracePeriodSeconds
	}
	if seconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*seconds) * time.Second
}

// exitCode reads how a process ended as a container runtime shows it.
func exitCode(err error) (code int32, how string) {
	var exit *exec.ExitError
	if err == nil {
		return 0, ""
	}
	if !errors.As(err, &exit) {
		return 128, err.Error()
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int32(s.Signal()), fmt.Sprintf("signal: %s", s.Signal())
	}
	return int32(exit.ExitCode()), ""
}
