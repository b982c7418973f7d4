package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/e2e/harness"
)

const stopTimeout = 40 * time.Second

// startReplicas starts the controller as a StatefulSet would: all at once.
func (s *show) startReplicas(ctx context.Context) error {
	kubeconfig, err := s.plane.KubeconfigFor(ctx, harness.Namespace, harness.ServiceAccount)
	if err != nil {
		return err
	}
	s.say("starting %d replicas of module-controller", replicas)
	started := make([]*harness.Controller, replicas)
	errs := make([]error, replicas)
	var wg sync.WaitGroup
	for i := range replicas {
		port, err := s.service.Backend()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("module-controller-%d", i)
		wg.Go(func() {
			started[i], errs[i] = harness.StartController(ctx, harness.ControllerOptions{
				Binary: s.controller, Kubeconfig: kubeconfig, PodName: name, Log: filepath.Join(s.dir, name+".log"),
				Env: []string{
					"ENV=" + env, "ENABLE_MQTT_TUNNEL=true", "MQTT_BROKER=127.0.0.1", "MQTT_PORT=" + strconv.Itoa(s.brokerPort),
					"ENABLE_HTTP_TUNNEL=true", "HTTP_TUNNEL_LISTEN_PORT=" + strconv.Itoa(port), "HTTP_TUNNEL_ALLOWED_CIDRS=127.0.0.0/8",
					"BASE_NAMESPACES=" + metav1.NamespaceDefault,
				},
			})
		})
	}
	wg.Wait()
	for i, c := range started {
		if errs[i] != nil {
			return errs[i]
		}
		s.replicas = append(s.replicas, c)
	}
	return nil
}

// leases gives the holder of each base's Lease.
func (s *show) leases(ctx context.Context) (map[string]string, error) {
	list, err := s.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + env})
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	holders := map[string]string{}
	for _, l := range list.Items {
		if holders[l.Name] = ""; l.Spec.HolderIdentity != nil {
			holders[l.Name] = *l.Spec.HolderIdentity
		}
	}
	return holders, nil
}

func podOf(incarnation string) string {
	pod, _, _ := strings.Cut(incarnation, "_")
	return pod
}

// shares says how many bases each replica owns.
func (s *show) shares(ctx context.Context) (string, error) {
	holders, err := s.leases(ctx)
	if err != nil {
		return "", err
	}
	count := map[string]int{}
	for _, h := range holders {
		count[podOf(h)]++
	}
	var parts []string
	for i := range replicas {
		name := fmt.Sprintf("module-controller-%d", i)
		parts = append(parts, fmt.Sprintf("%s %d", name, count[name]))
	}
	return strings.Join(parts, ", "), nil
}

// killOne kills a replica with -9 and shows its bases being taken over.
func (s *show) killOne(ctx context.Context) error {
	return s.unnoticed(ctx, func() error {
		if err := s.tellShares(ctx); err != nil {
			return err
		}
		s.say("killing module-controller-1 with -9")
		if err := s.replicas[1].Kill(); err != nil {
			return err
		}
		gone, err := s.memberOf(ctx, 1)
		if err != nil {
			return err
		}
		s.takenOver, err = s.watch(ctx, "bases", s.bases(), func(ctx context.Context) (int, error) { return s.ownedByOthers(ctx, gone) })
		if err != nil {
			return err
		}
		if err := s.tellShares(ctx); err != nil {
			return err
		}
		s.say("starting module-controller-1 again")
		return s.replicas[1].Start(ctx)
	})
}

// restartAll starts every replica again, one after the other.
func (s *show) restartAll(ctx context.Context) error {
	return s.unnoticed(ctx, func() error {
		for i := replicas - 1; i >= 0; i-- {
			s.say("restarting module-controller-%d", i)
			if err := s.replicas[i].Stop(stopTimeout); err != nil {
				return err
			}
			if err := s.tellShares(ctx); err != nil {
				return err
			}
			if err := s.replicas[i].Start(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *show) tellShares(ctx context.Context) error {
	shares, err := s.shares(ctx)
	s.say("bases owned: %s", shares)
	return err
}

// memberOf gives who held a replica's membership Lease last, which says so even after the
// replica was killed, until others expire it.
func (s *show) memberOf(ctx context.Context, replica int) (string, error) {
	l, err := s.client.CoordinationV1().Leases(harness.Namespace).Get(ctx, fmt.Sprintf("module-controller-%d", replica), metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil {
		return "", err
	}
	return *l.Spec.HolderIdentity, nil
}

// ownedByOthers counts the bases that somebody owns who is not gone.
func (s *show) ownedByOthers(ctx context.Context, gone string) (n int, err error) {
	holders, err := s.leases(ctx)
	for _, h := range holders {
		if h != "" && h != gone {
			n++
		}
	}
	return n, err
}

// unnoticed does something that no Node and no module may notice, and says when one
// did.
func (s *show) unnoticed(ctx context.Context, do func() error) error {
	before, err := s.fleet.Counts()
	if err != nil {
		return err
	}
	watcher, err := s.client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + env})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	noticed := make(chan []string)
	go func() {
		var names []string
		for e := range watcher.ResultChan() {
			if n, ok := e.Object.(*corev1.Node); ok && (e.Type == watch.Deleted || !conditionTrue(n.Status.Conditions, corev1.NodeReady)) {
				names = append(names, n.Name)
			}
		}
		noticed <- names
	}()
	err = do()
	watcher.Stop()
	if names := <-noticed; err == nil && len(names) > 0 {
		err = fmt.Errorf("nodes turned NotReady: %v", names)
	}
	after, countErr := s.fleet.Counts()
	if err == nil && countErr == nil && (after.Installs != before.Installs || after.Uninstalls != before.Uninstalls) {
		err = fmt.Errorf("modules were touched: %+v before, %+v after", before, after)
	}
	if err == nil {
		s.say("no Node turned NotReady, no module was installed or removed")
	}
	return err
}
