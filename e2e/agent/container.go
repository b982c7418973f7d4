package agent

import (
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

// unplayable says what of a pod the agent does not play.
func unplayable(pod *corev1.Pod) error {
	s := pod.Spec
	if len(s.Containers) != 1 || len(s.InitContainers) > 0 {
		return errors.New("the agent plays pods of one container")
	}
	c := s.Containers[0]
	switch {
	case s.RestartPolicy != corev1.RestartPolicyAlways:
		return errors.New("the agent plays restartPolicy Always only")
	case len(s.ReadinessGates) > 0:
		return errors.New("the agent plays no readiness gates")
	case c.StartupProbe != nil || c.Lifecycle != nil:
		return errors.New("the agent plays no startup probe and no lifecycle hook")
	case len(c.EnvFrom) > 0:
		return errors.New("the agent plays no envFrom")
	}
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if p != nil && (p.HTTPGet == nil || p.HTTPGet.Scheme == corev1.URISchemeHTTPS) {
			return errors.New("the agent plays probes by HTTP only")
		}
	}
	_, err := environment(pod, nil)
	return err
}

// probes are the URLs of the probes of one process; empty where there is none.
type probes struct{ readiness, liveness string }

// start starts the pod's process.
func (l *life) start() (*process.Process, probes, error) {
	pod := l.seen()
	container := pod.Spec.Containers[0]
	over, err := l.agent.overrides(pod)
	if err != nil {
		return nil, probes{}, err
	}
	over["KUBECONFIG"] = l.kubeconfigFile()
	env, err := environment(pod, over)
	if err != nil {
		return nil, probes{}, err
	}
	ports, err := l.agent.portsOf(container, env)
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
	cmd := exec.Command(l.agent.o.Binary)
	cmd.Dir = l.dir
	for _, arg := range container.Args {
		cmd.Args = append(cmd.Args, expand(arg, env))
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	p, err := process.Start(cmd, l.agent.Log(l.name))
	if err != nil {
		return nil, probes{}, err
	}
	l.mu.Lock()
	l.now = p
	l.mu.Unlock()
	l.started(p.PID(), container.ReadinessProbe == nil)
	return p, urls, nil
}

// serve probes a process until it has ended, and ends it when the pod is to end or
// when it is not alive.
func (l *life) serve(ctx context.Context, p *process.Process, urls probes) {
	container := l.seen().Spec.Containers[0]
	probing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	dead := make(chan error, 1)
	if urls.readiness != "" {
		running.Go(func() {
			probe(probing, container.ReadinessProbe, urls.readiness, func(err error) { l.ready(err == nil) })
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
		l.agent.log.Info("liveness probe failed", "pod", l.name, "error", err)
		l.terminate(ctx, p)
	case <-l.deleting:
		l.terminate(ctx, p)
	case <-ctx.Done():
		l.kill(p)
	}
}

// terminate asks a process to end and kills it after the pod's grace.
func (l *life) terminate(ctx context.Context, p *process.Process) {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		l.agent.log.Error("terminate", "pod", l.name, "error", err)
	}
	timer := time.NewTimer(grace(l.seen()))
	defer timer.Stop()
	gone := l.gone
	for {
		select {
		case <-p.Done():
			return
		case <-gone:
			timer.Reset(min(leastGrace, grace(l.seen())))
			gone = nil
		case <-timer.C:
			l.kill(p)
			return
		case <-ctx.Done():
			l.kill(p)
			return
		}
	}
}

func (l *life) kill(p *process.Process) {
	if err := p.Kill(); err != nil {
		l.agent.log.Error("kill", "pod", l.name, "error", err)
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
