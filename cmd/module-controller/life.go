package main

import (
	"context"
	"errors"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"module-controller/election"
	"module-controller/provider"
	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// hooks are what the owner tells the provider and has the broker do.
type hooks struct {
	*provider.Provider
	mqtt *mqtttunnel.Tunnel // nil where there is no broker
	cfg  *config
}

// Evict implements election.Hooks.
func (h hooks) Evict(ctx context.Context, incarnation string) error {
	switch {
	case h.mqtt == nil:
		return nil
	case h.cfg.mqtt.ClientID != "":
		return errors.New("with CLIENT_ID set, others' client ids are not known")
	}
	return h.mqtt.Evict(ctx, h.cfg.clientID(incarnation))
}

// live wires the parts of one life and runs them until ctx ends, all bases were
// handed over, or one part fails.
func live(ctx context.Context, cfg *config, log *zap.Logger) error {
	m := newMetrics()
	owner, err := election.New(cfg.election, m, log.Named("election"))
	if err != nil {
		return err
	}
	api, err := newClients(cfg, owner, log.Named("api"))
	if err != nil {
		return err
	}
	tunnels, mqtt, err := newTunnels(cfg, log, m, owner, newPeers(owner, api), owner.Suspect)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(context.WithoutCancel(ctx)))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: api.work.CoreV1().Events("")})
	cfg.provider.Node.Version = version
	p, err := provider.New(cfg.provider, provider.Deps{
		Client: api.work, Owner: owner, Tunnels: tunnels, Meter: m, Log: log.Named("provider"), Envs: cfg.envs,
		Recorder: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "module-controller", Host: cfg.podName}),
		Retired:  owner.Retire,
	})
	if err != nil {
		return err
	}
	m.watch(p.Census, owner.Census)
	links := newLinkWatch(p, len(tunnels), owner.Linked)
	parts := []func(context.Context) error{
		p.Run,
		func(ctx context.Context) error {
			return serve(ctx, cfg.probeAddress, healthHandler(readiness(p, tunnels, links, owner.Announced)))
		},
		func(ctx context.Context) error { return serve(ctx, cfg.metricsAddress, m.handler()) },
		func(ctx context.Context) error { return links.serveWhen(ctx, p.Ready()) },
	}
	for _, t := range tunnels {
		parts = append(parts, func(ctx context.Context) error { return t.Run(ctx, links) })
	}
	return together(ctx, func(ctx context.Context) error {
		return owner.Run(ctx, election.Deps{
			Members: api.member.CoordinationV1(), Bases: api.work.CoordinationV1(), Nodes: p, Hooks: hooks{p, mqtt, cfg},
		})
	}, parts)
}

func newTunnels(cfg *config, log *zap.Logger, m tunnel.Meter, g tunnel.Gate, peers httptunnel.Peers, hint func(incarnation string)) ([]tunnel.Tunnel, *mqtttunnel.Tunnel, error) {
	var tunnels []tunnel.Tunnel
	var errs []error
	var mqtt *mqtttunnel.Tunnel
	if cfg.useMQTT {
		c := cfg.mqtt
		c.Gate, c.ClientID = g, cfg.clientID(cfg.election.Incarnation)
		c.Gone = func(clientID string) {
			if incarnation, ok := cfg.incarnationOf(clientID); ok {
				hint(incarnation)
			}
		}
		var err error
		mqtt, err = mqtttunnel.New(c, log.Named("mqtt"), m)
		tunnels, errs = append(tunnels, mqtt), append(errs, err)
	}
	if cfg.useHTTP {
		c := cfg.http
		c.Gate, c.Peers = g, peers
		t, err := httptunnel.New(c, log.Named("http"), m)
		tunnels, errs = append(tunnels, t), append(errs, err)
	}
	return tunnels, mqtt, errors.Join(errs...)
}
