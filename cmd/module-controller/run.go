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

// incarnation makes the name of a life of a replica.
func incarnation(pod string) string {
	life := make([]byte, 4)
	_, _ = rand.Read(life) // it never fails
	return pod + "_" + hex.EncodeToString(life)
}

// run lives until ctx ends. A life that others ended is followed by a new one, as
// somebody new: nothing of the old one is kept.
func run(ctx context.Context, cfg *config) error {
	log, err := newLog(cfg.logLevel, cfg.logFormat)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error cannot be synced everywhere
	warn(log, cfg)
	for {
		cfg.begin(incarnation(cfg.podName))
		log.Info("session starting", zap.String("version", version), zap.String("incarnation", cfg.election.Incarnation), zap.Strings("environments", cfg.envs))
		err := live(ctx, cfg, log)
		log.Info("session ended", zap.Error(err))
		if !errors.Is(err, election.ErrReplaced) || ctx.Err() != nil {
			return err
		}
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
