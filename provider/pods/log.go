package pods

import (
	vklog "github.com/virtual-kubelet/virtual-kubelet/log"
	"go.uber.org/zap"
)

// SetLog has virtual-kubelet log through a logger, in the whole process. It is called
// once, before anything runs.
func SetLog(log *zap.Logger) { vklog.L = vkLog{log.Sugar()} }

// vkLog is virtual-kubelet's log, lower: what it finds worth an information is one line a
// pod, what it warns of one for each pod that waits for its turn, and what it calls an error
// it tries again.
type vkLog struct{ log *zap.SugaredLogger }

func (l vkLog) Debug(args ...any)            { l.log.Debug(args...) }
func (l vkLog) Debugf(f string, args ...any) { l.log.Debugf(f, args...) }
func (l vkLog) Info(args ...any)             { l.log.Debug(args...) }
func (l vkLog) Infof(f string, args ...any)  { l.log.Debugf(f, args...) }
func (l vkLog) Warn(args ...any)             { l.log.Debug(args...) }
func (l vkLog) Warnf(f string, args ...any)  { l.log.Debugf(f, args...) }
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
