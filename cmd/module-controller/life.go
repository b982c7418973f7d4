package main

import (
	"context"
	"errors"
	"time"

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

// gate passes the questions of the exits on to the owner, which is made after them.
type gate struct{ owner *election.Replica }

func (g *gate) Valid() bool { return g.owner.Valid() }

func (g *gate) Until() time.Time { return g.owner.Until() }

func (g *gate) Fresh(ctx context.Context, since time.Time) error { return g.owner.Fresh(ctx, since) }

// live wires the parts of one life and runs them until ctx ends, all bases were
// handed over, or one part fails.
func live(ctx context.Context, cfg *config, log *zap.Logger) error {
	g := &gate{}
	api, err := newClients(cfg, g, log.Named("api"))
	if err != nil {
		return err
	}
	m := newMetrics()
	var p *provider.Provider
	var mqtt *mqtttunnel.Tunnel
	cfg.election.Exists = func(id tunnel.BaseID) bool { return p.HasNode(id) }
	cfg.election.Labels = func(id tunnel.BaseID) map[string]string { return p.LeaseLabels(id) }
	owner, err := election.New(api.member.CoordinationV1(), api.work.CoordinationV1(), cfg.election, election.Hooks{
		Changed: func(id tunnel.BaseID) { p.Changed(id) },
		Evict: func(ctx context.Context, incarnation string) error {
			if mqtt == nil {
				return nil
			}
			if cfg.mqtt.ClientID != "" {
				return errors.New("with CLIENT_ID set, others' client ids are not known")
			}
			return mqtt.Evict(ctx, cfg.clientID(incarnation))
		},
		Wrote: func(err error) { m.Wrote("lease", err) }, Moved: m.Moved, Killed: m.Killed,
	}, log.Named("election"))
	if err != nil {
		return err
	}
	g.owner = owner
	tunnels, mqtt, err := newTunnels(cfg, log, m, g, newPeers(owner, api), owner.Hint)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(context.WithoutCancel(ctx)))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: api.work.CoreV1().Events("")})
	cfg.provider.Node.Version = version
	p, err = provider.New(cfg.provider, provider.Deps{
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
		func(ctx context.Context) error { return links.run(ctx, p.Ready()) },
	}
	for _, t := range tunnels {
		parts = append(parts, func(ctx context.Context) error { return t.Run(ctx, links) })
	}
	return together(ctx, owner.Run, parts)
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
