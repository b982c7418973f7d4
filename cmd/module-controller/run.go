package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"

	"module-controller/election"
	"module-controller/provider"
	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// holder makes the name of this life of a replica.
func holder(pod string) string {
	life := make([]byte, 4)
	_, _ = rand.Read(life) // it never fails
	return pod + "_" + hex.EncodeToString(life)
}

// run wires the parts and runs them until ctx ends or one of them fails.
func run(ctx context.Context, cfg *config) error {
	log, err := newLog(cfg.logLevel, cfg.logFormat)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error cannot be synced everywhere
	log.Info("module-controller starts", zap.String("version", version), zap.String("holder", cfg.election.Holder), zap.Strings("environments", cfg.envs))
	if len(cfg.ignored) > 0 {
		log.Warn("settings accepted that have no effect in this version", zap.Strings("settings", cfg.ignored))
	}
	client, err := newClient(cfg)
	if err != nil {
		return err
	}
	m := newMetrics()
	tunnels, err := newTunnels(cfg, log, m)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.CoreV1().Events("")})

	var p *provider.Provider
	owner, err := election.NewSolo(client, cfg.election, log.Named("election"),
		func(id tunnel.BaseID) { p.Changed(id) }, func(err error) { m.Wrote("lease", err) })
	if err != nil {
		return err
	}
	cfg.provider.Node.Version = version
	p, err = provider.New(cfg.provider, provider.Deps{
		Client: client, Owner: owner, Tunnels: tunnels, Meter: m, Log: log.Named("provider"), Envs: cfg.envs,
		Recorder: broadcaster.NewRecorder(eventScheme(), corev1.EventSource{Component: "module-controller", Host: cfg.podName}),
		Retired:  owner.Retire,
	})
	if err != nil {
		return err
	}
	m.watch(p.Census)
	links := newLinkWatch(p)
	parts := []func(context.Context) error{
		owner.Run, p.Run,
		func(ctx context.Context) error {
			return serve(ctx, cfg.probeAddress, healthHandler(readiness(p, tunnels, links)))
		},
		func(ctx context.Context) error { return serve(ctx, cfg.metricsAddress, m.handler()) },
	}
	for _, t := range tunnels {
		parts = append(parts, func(ctx context.Context) error { return t.Run(ctx, links) })
	}
	err = together(ctx, parts)
	log.Info("module-controller ended", zap.Error(err))
	return err
}

func eventScheme() *runtime.Scheme { return scheme.Scheme }

// together runs all parts until ctx ends or one fails, and returns when all have
// ended.
func together(ctx context.Context, parts []func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			if err := part(ctx); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = err
			}
			cancel()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func newClient(cfg *config) (kubernetes.Interface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = cfg.kubeconfig
	var restConfig *rest.Config
	var err error
	if cfg.kubeconfig == "" {
		restConfig, err = rest.InClusterConfig()
	} else {
		restConfig, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w; set KUBECONFIG outside of a cluster", err)
	}
	restConfig.QPS, restConfig.Burst = float32(cfg.qps), cfg.burst
	restConfig.UserAgent = "module-controller/" + version
	restConfig.ContentType = runtime.ContentTypeProtobuf
	restConfig.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}

func newTunnels(cfg *config, log *zap.Logger, m tunnel.Meter) ([]tunnel.Tunnel, error) {
	var tunnels []tunnel.Tunnel
	if cfg.useMQTT {
		t, err := mqtttunnel.New(cfg.mqtt, log.Named("mqtt"), m)
		if err != nil {
			return nil, err
		}
		tunnels = append(tunnels, t)
	}
	if cfg.useHTTP {
		t, err := httptunnel.New(cfg.http, log.Named("http"), m)
		if err != nil {
			return nil, err
		}
		tunnels = append(tunnels, t)
	}
	return tunnels, nil
}
