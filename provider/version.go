package provider

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
)

const (
	// versionEvery is how often the API server's version is read: it changes when the
	// cluster is upgraded.
	versionEvery = 10 * time.Minute
	// versionTimeout bounds one reading.
	versionTimeout = 5 * time.Second
)

// serverVersion follows the version of the API server, which Nodes show. One that cannot be
// read keeps nothing from being served.
type serverVersion struct {
	from discovery.ServerVersionInterfaceWithContext
	log  *zap.Logger
	last atomic.Pointer[string]
}

func newServerVersion(from discovery.ServerVersionInterface, log *zap.Logger) *serverVersion {
	return &serverVersion{from: discovery.ToServerVersionInterfaceWithContext(from), log: log}
}

// get gives the version that was read last; empty for none. It returns at once.
func (v *serverVersion) get() string {
	if last := v.last.Load(); last != nil {
		return *last
	}
	return ""
}

// read reads it once.
func (v *serverVersion) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	info, err := v.from.ServerVersionWithContext(ctx)
	if err != nil {
		v.log.Info("version of the API server not read", zap.Error(err))
		return
	}
	if was := v.get(); was != info.GitVersion {
		v.log.Info("API server has another version", zap.String("version", info.GitVersion), zap.String("was", was))
		v.last.Store(&info.GitVersion)
	}
}

// follow reads it again and again until ctx ends.
func (v *serverVersion) follow(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(versionEvery):
		wait.UntilWithContext(ctx, v.read, versionEvery)
	}
}
