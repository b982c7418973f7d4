package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"

	"module-controller/provider/pods"
)

// newLog makes the logger, and has the libraries log through it.
func newLog(level zap.AtomicLevel, format string) (*zap.Logger, error) {
	cfg := zap.NewProductionConfig()
	cfg.Level, cfg.Encoding, cfg.Sampling = level, format, nil
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.DisableStacktrace = true
	log, err := cfg.Build()
	if err != nil {
		return nil, fmt.Errorf("create logger: %w", err)
	}
	klog.SetLogger(zapr.NewLogger(log.Named("client-go").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return unlessCanceled{c} }))))
	pods.SetLog(log.Named("virtual-kubelet"))
	return log, nil
}

// unlessCanceled drops what client-go says of requests that ended because this
// process ends.
type unlessCanceled struct{ zapcore.Core }

func (c unlessCanceled) With(fields []zapcore.Field) zapcore.Core {
	return unlessCanceled{c.Core.With(fields)}
}

func (c unlessCanceled) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c unlessCanceled) Write(e zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && errors.Is(err, context.Canceled) {
			return nil
		}
	}
	return c.Core.Write(e, fields)
}
