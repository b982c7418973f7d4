package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"

	"go.uber.org/zap"

	"module-controller/election"
)

// newIncarnation makes the ID of a session of a replica.
func newIncarnation(pod string) string {
	id := make([]byte, 4)
	_, _ = rand.Read(id) // it never fails
	return pod + "_" + hex.EncodeToString(id)
}

// run runs sessions until ctx ends. The log tells of all errors after the logger was made.
// What read gives later takes effect as far as it can: see follower.
func run(ctx context.Context, cfg *config, read func() (*config, error)) error {
	if err := setConnectionChecks(); err != nil {
		return err
	}
	ofClient.install()
	cfg.live = newLive(cfg)
	log, err := newLog(cfg.live.level, cfg.logFormat)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error cannot be synced everywhere
	warn(log, cfg)
	warnOfRisks(log, cfg)
	if cfg.tracing.endpoint != "" {
		tellTracing(log.Named("tracing"))
	}
	follow := newFollower(cfg, read, log.Named("config"))
	sessions := func(ctx context.Context) error {
		denyServices(ctx, cfg, log)
		return runSessions(ctx, cfg, log, runSession)
	}
	if err := together(ctx, sessions, []func(context.Context) error{follow.run}); err != nil {
		log.Error("ending because of a fault", zap.Error(err))
		return logged{err}
	}
	return nil
}

// runSessions runs one session after the other. One that the other members expired is
// followed by a new one with a new incarnation, which keeps nothing of the old one.
func runSessions(ctx context.Context, cfg *config, log *zap.Logger, runOne func(context.Context, *config, *zap.Logger) error) error {
	for {
		this := *cfg
		this.election.Incarnation = newIncarnation(cfg.podName)
		log.Info("session starting", zap.String("version", version), zap.String("incarnation", this.election.Incarnation), zap.Strings("environments", cfg.envs))
		err := runOne(ctx, &this, log)
		if !errors.Is(err, election.ErrReplaced) || ctx.Err() != nil {
			log.Info("session ended")
			return err
		}
		log.Info("session ended", zap.Error(err))
	}
}

// warn logs the settings that have no effect, and those that are to be renamed.
func warn(log *zap.Logger, cfg *config) {
	if len(cfg.ignored) > 0 {
		log.Warn("ignoring settings that have no effect in this version", zap.Strings("settings", cfg.ignored))
	}
	for _, d := range cfg.deprecated {
		log.Warn("deprecated setting: the next version will not accept it", zap.String("setting", d.old), zap.String("use", d.new))
	}
}

// together runs the parts while the one that leads runs. That one ends with ctx, or
// when a part fails; the parts go on until it has ended.
func together(ctx context.Context, lead func(context.Context) error, parts []func(context.Context) error) error {
	leading, stop := context.WithCancel(ctx)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer stop()
	errs := make([]error, len(parts)+1)
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			defer stop()
			if err := part(inner); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = err
			}
		})
	}
	errs[len(parts)] = lead(leading)
	cancel()
	wg.Wait()
	return errors.Join(errs...)
}
