package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/zapr"
	vklog "github.com/virtual-kubelet/virtual-kubelet/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
)

// newLog makes the logger, and has the libraries log through it.
func newLog(level, format string) (*zap.Logger, error) {
	at, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, fmt.Errorf("create logger: %w", err)
	}
	cfg := zap.NewProductionConfig()
	cfg.Level, cfg.Encoding, cfg.Sampling = at, format, nil
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.DisableStacktrace = true
	log, err := cfg.Build()
	if err != nil {
		return nil, fmt.Errorf("create logger: %w", err)
	}
	klog.SetLogger(zapr.NewLogger(log.Named("client-go").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return unlessCanceled{c} }))))
	vklog.L = vkLog{log.Named("virtual-kubelet").Sugar()}
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

// vkLog is virtual-kubelet's log, one level lower: what it finds worth an
// information is one line a pod, and what it calls an error it tries again.
type vkLog struct{ log *zap.SugaredLogger }

func (l vkLog) Debug(args ...any)            { l.log.Debug(args...) }
func (l vkLog) Debugf(f string, args ...any) { l.log.Debugf(f, args...) }
func (l vkLog) Info(args ...any)             { l.log.Debug(args...) }
func (l vkLog) Infof(f string, args ...any)  { l.log.Debugf(f, args...) }
func (l vkLog) Warn(args ...any)             { l.log.Info(args...) }
func (l vkLog) Warnf(f string, args ...any)  { l.log.Infof(f, args...) }
func (l vkLog) Error(args ...any)            { l.log.Warn(args...) }
func (l vkLog) Errorf(f string, args ...any) { l.log.Warnf(f, args...) }
func (l vkLog) Fatal(args ...any)            { l.log.Fatal(args...) }
func (l vkLog) Fatalf(f string, args ...any) { l.log.Fatalf(f, args...) }

func (l vkLog) WithField(k string, v any) vklog.Logger { return vkLog{l.log.With(k, v)} }
func (l vkLog) WithError(err error) vklog.Logger       { return vkLog{l.log.With(zap.Error(err))} }

func (l vkLog) WithFields(fields vklog.Fields) vklog.Logger {
	args := make([]any, 0, len(fields)) // zap.Field values
	for k, v := range fields {
		args = append(args, zap.Any(k, v))
	}
	return vkLog{l.log.With(args...)}
}
