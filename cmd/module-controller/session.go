package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"

	"module-controller/election"
	"module-controller/internal/events"
	"module-controller/provider"
	"module-controller/provider/kubelet"
	"module-controller/provider/scaler"
	"module-controller/provider/webhooks"
	"module-controller/provider/workloads"
	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// session has the parts of one session of this replica: from joining the members until
// it has left them or was expired by them. It is what the owner tells of the others.
type session struct {
	cfg     *config
	log     *zap.Logger
	metrics *metrics
	owner   *election.Replica
	api     *clients
	events  *events.Recorder
	key     *httptunnel.Key // what it proves itself with to members
	tunnels []tunnel.Tunnel
	mqtt    *mqtttunnel.Tunnel // one of tunnels; nil without MQTT
	// workloads are the Pods in which bases may run; nil where no heartbeat needs one.
	workloads *workloads.Pods
	provider  *provider.Provider
	tracing   *tracing         // nil where no spans are made
	scaler    *scaler.Scaler   // nil where peer Deployments are let alone
	webhooks  *webhooks.Sender // nil where nobody is told of failed installs
	// ports are where the kubelet's API of Nodes is served, and kubelets what serves it; nil
	// where it is not served.
	ports    *kubelet.Ports
	kubelets *kubelet.Server
}

// runSession runs a session until ctx ends and all bases were handed over, or one part
// fails. It returns when all that it started has ended.
func runSession(ctx context.Context, cfg *config, log *zap.Logger) error {
	s, err := newSession(ctx, cfg, log)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// newSession makes the parts of a session, in the order in which they need each other;
// it starts nothing.
func newSession(ctx context.Context, cfg *config, log *zap.Logger) (*session, error) {
	s := &session{cfg: cfg, log: log, metrics: newMetrics()}
	var err error
	if s.key, err = httptunnel.NewKey(); err != nil {
		return nil, err
	}
	membership := cfg.election
	membership.PeerKey = s.key.Fingerprint
	if s.owner, err = election.New(membership, s.metrics, log.Named("election")); err != nil {
		return nil, err
	}
	if s.api, err = newClients(cfg, s.owner, log.Named("api")); err != nil {
		return nil, err
	}
	s.events = events.New(events.Config{
		Source: corev1.EventSource{Component: "module-controller", Host: cfg.podName},
		Sink:   events.API{Client: s.api.events.CoreV1()}, Meter: s.metrics, Log: log.Named("events"),
	})
	if err = s.makeTunnels(); err != nil {
		return nil, err
	}
	if s.tracing, err = newTracing(ctx, cfg); err != nil {
		return nil, err
	}
	if err = s.makeWebhooks(); err != nil {
		return nil, err
	}
	deps := provider.Deps{
		Client: s.api.work, Metadata: s.api.metadata, Owner: s.owner, Tunnels: s.tunnels, Meter: s.metrics, Log: log.Named("provider"), Envs: cfg.envs,
		Recorder: s.events, Limits: s.cfg.limits, Network: provider.Network{Dial: dialerOf(s.cfg.towardsBases(s.owner.MemberAt))}, Observers: provider.Observers{Traces: s.tracing.tracer()},
	}
	if s.webhooks != nil {
		deps.StatusWritten = s.webhooks.Wrote
	}
	if s.workloads != nil {
		deps.Workloads = s.workloads
	}
	if err = s.makePorts(); err != nil {
		return nil, err
	}
	if s.ports != nil {
		deps.Kubelets = s.ports
	}
	if s.provider, err = provider.New(cfg.provider, deps); err != nil {
		return nil, err
	}
	if err = s.makeScaler(); err != nil {
		return nil, err
	}
	s.makeKubelets()
	s.metrics.watch(s.provider.Census, s.owner.Census, s.owner.Health)
	s.metrics.follow(cfg.live)
	s.metrics.warnOf(cfg.risks())
	return s, nil
}

// makeScaler makes who scales peer Deployments, where that is wanted: else nobody watches
// them.
func (s *session) makeScaler() (err error) {
	if !s.cfg.scalesPeers {
		return nil
	}
	s.scaler, err = scaler.New(s.cfg.scaling, scaler.Deps{
		Client: s.api.work, VNodes: provider.VNodesOf(s.provider), Leads: s.owner.Leads, Recorder: s.events, Meter: s.metrics, Log: s.log.Named("scaler"),
	})
	return err
}

// makeWebhooks makes who tells of failed installs, where that is wanted.
func (s *session) makeWebhooks() (err error) {
	if len(s.cfg.webhooks.URLs) == 0 {
		return nil
	}
	s.webhooks, err = webhooks.New(s.cfg.webhooks, webhooks.Deps{UserAgent: "module-controller/" + version, Meter: s.metrics, Log: s.log.Named("webhooks")})
	return err
}

func (s *session) makeTunnels() error {
	var errs []error
	if s.cfg.useMQTT {
		c := s.cfg.mqtt
		c.Down, c.Login = s.owner.Trouble, s.cfg.login
		c.Gate, c.Will, c.Gone, c.ClientID = s.owner, s.owner.Will, s.owner.Disconnected, s.cfg.clientID(s.cfg.election.Incarnation)
		var err error
		s.mqtt, err = mqtttunnel.New(c, s.log.Named("mqtt"), s.metrics)
		s.tunnels, errs = append(s.tunnels, s.mqtt), append(errs, err)
	}
	if s.cfg.useHTTP {
		t, err := s.makeHTTP()
		s.tunnels, errs = append(s.tunnels, t), append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *session) makeHTTP() (tunnel.Tunnel, error) {
	c := s.cfg.towardsBases(s.owner.MemberAt)
	c.Gate, c.Peers, c.Key, c.Limits = s.owner, peers{s.owner}, s.key, s.cfg.identities
	if c.Auth == httptunnel.AuthPod || c.Auth == httptunnel.AuthToken {
		var err error
		s.workloads, err = workloads.New(s.cfg.workloads, workloads.Deps{
			Client: s.api.work, Reviews: s.api.review.AuthenticationV1().TokenReviews(), Recorder: s.events, Log: s.log.Named("workloads"),
		})
		if err != nil {
			return nil, err
		}
		c.Workloads, c.Refused = s.workloads, s.workloads.RefusedAt
		if s.cfg.workloads.Find {
			c.Quiet = s.workloads.Quiet
		}
	}
	return httptunnel.New(c, s.log.Named("http"), s.metrics)
}

// run runs the parts. The owner leads: the others serve until it has handed over all
// bases.
func (s *session) run(ctx context.Context) error {
	links := newLinkWatch(s.provider, len(s.tunnels), s.owner.Linked)
	parts := []func(context.Context) error{
		s.provider.Run,
		s.events.Run,
		func(ctx context.Context) error { return links.run(ctx, s.ready()...) },
		func(ctx context.Context) error {
			return serve(ctx, s.cfg.probeAddress, nil, healthHandler(s.liveness(), s.readiness(links), s.notes))
		},
		func(ctx context.Context) error {
			return serve(ctx, s.cfg.metricsAddress, s.cfg.metricsTLS.tls(), s.pages())
		},
	}
	if s.workloads != nil {
		parts = append(parts, s.workloads.Run)
	}
	if s.kubelets != nil {
		parts = append(parts, s.kubelets.Run)
	}
	if s.tracing != nil {
		parts = append(parts, s.tracing.run)
	}
	if s.webhooks != nil {
		parts = append(parts, s.webhooks.Run)
	}
	if s.scaler != nil {
		parts = append(parts, s.scaler.Run)
	}
	for _, t := range s.tunnels {
		parts = append(parts, func(ctx context.Context) error { return t.Run(ctx, links) })
	}
	deps := election.Deps{Members: s.api.member.CoordinationV1(), Bases: s.api.work.CoordinationV1(), Nodes: s.provider, Hooks: s}
	return together(ctx, func(ctx context.Context) error { return s.owner.Run(ctx, deps) }, parts)
}

// ready are closed once this session is of use to bases. Who does not know yet which Pods
// may be bases takes one for alive whose Pod is gone, and would send to its address.
func (s *session) ready() []<-chan struct{} {
	if s.workloads == nil {
		return []<-chan struct{}{s.provider.Ready()}
	}
	return []<-chan struct{}{s.provider.Ready(), s.workloads.Known()}
}

// readiness has what must be true once before this session is of use. Who does not know
// yet which Pods may be bases refuses their heartbeats.
func (s *session) readiness(links *linkWatch) []check {
	checks := readiness(s.provider, s.tunnels, links, s.owner.Announced)
	if s.workloads == nil {
		return checks
	}
	return append(checks, check{"base-pods-synced", func() error {
		if !s.workloads.Synced() {
			return errors.New("not synced yet")
		}
		return nil
	}})
}

// liveness has what no live session is without.
func (s *session) liveness() []check { return []check{{"election-loops", s.owner.Stuck}} }

// Changed implements election.Hooks.
func (s *session) Changed(id tunnel.BaseID) { s.provider.Changed(id) }

// Evict implements election.Hooks: the broker disconnects the incarnation.
func (s *session) Evict(ctx context.Context, incarnation string) error {
	switch {
	case s.mqtt == nil:
		return nil
	case s.cfg.mqtt.ClientID != "":
		return errors.New("client IDs of other replicas are not known when CLIENT_ID is set")
	}
	return s.mqtt.Evict(ctx, s.cfg.clientID(incarnation))
}

// notes tell who asks whether this replica is ready what is not as it should be, but fails
// nothing.
func (s *session) notes() []string {
	notes := append(s.cfg.notes(), s.cfg.live.notes()...)
	if unread := s.provider.Census().Unread; unread != "" {
		notes = append(notes, unread)
	}
	if why := s.owner.Apart(); why != nil {
		notes = append(notes, "not a member: "+why.Error())
	}
	if n, by := s.owner.Foreign(); n > 0 {
		notes = append(notes, fmt.Sprintf("standing by: %d bases are held by %s", n, strings.Join(by, ", ")))
	}
	h := s.owner.Health()
	if h.Stalled {
		notes = append(notes, "the watch of base Leases shows nothing of what changes: they are listed instead")
	}
	if h.NewWait {
		notes = append(notes, "new bases wait: renewals of Leases are behind, see the log")
	}
	if h.Refused {
		notes = append(notes, "the API server refuses all requests for base Leases: see the log")
	}
	if normal := s.cfg.election.RenewDeadline; h.RenewDeadline > normal {
		notes = append(notes, fmt.Sprintf("the API server is slow: a renewal lets this replica act for %s instead of %s", h.RenewDeadline, normal))
	}
	return notes
}
