package pods

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	vklog "github.com/virtual-kubelet/virtual-kubelet/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// virtual-kubelet's lines are lower than it thinks.
func TestVirtualKubeletIsQuiet(t *testing.T) {
	was := vklog.L
	defer func() { vklog.L = was }()
	core, lines := observer.New(zapcore.DebugLevel)
	SetLog(zap.New(core))
	l := vklog.L.WithField("pod", "default/one").WithError(errors.New("no")).WithFields(vklog.Fields{"node": "a"})
	l.Debug("debug")
	l.Debugf("%s", "debugf")
	l.Info("info")
	l.Infof("%s", "infof")
	l.Warn("warn")
	l.Warnf("%s", "warnf")
	l.Error("error")
	l.Errorf("%s", "errorf")
	got := map[string]string{}
	for _, line := range lines.All() {
		got[line.Message] = line.Level.String()
		if fields := line.ContextMap(); fields["pod"] != "default/one" || fields["node"] != "a" || fields["error"] != "no" {
			t.Errorf("%s has the fields %v", line.Message, fields)
		}
	}
	want := map[string]string{
		"debug": "debug", "debugf": "debug", "info": "debug", "infof": "debug",
		"warn": "debug", "warnf": "debug", "error": "warn", "errorf": "warn",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
}
