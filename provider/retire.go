package provider

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/lifecycle"
)

// retire ends a base here: its Node is deleted, what was installed on it is remembered in
// case it comes back, and its claim is given up. Until that succeeds it is served.
func (p *Provider) retire(ctx context.Context, r *entry, why lifecycle.Retirement) error {
	if why.Successor != nil {
		if err := p.evict(ctx, r.node); err != nil {
			return err
		}
	}
	if why.Node != nil {
		if err := p.nodes.delete(ctx, why.Node); err != nil {
			return err
		}
	}
	p.tunnels.unfollow(r.base.Retired(), r.id)
	p.pods.Forget(r.node)
	p.log.Info("base retired", zap.Stringer("base", r.id), zap.String("node", r.node), zap.String("why", why.Why))
	if len(why.Installed) > 0 {
		p.history.installed.Add(r.id, why.Installed)
	}
	p.bases.remove(r)
	p.deps.Retired(r.id)
	p.succeed(r, why)
	return nil
}

// succeed makes the application that reuses a base's address a base of its own.
func (p *Provider) succeed(r *entry, why lifecycle.Retirement) {
	if why.Successor == nil {
		return
	}
	if next := p.discover(*why.Successor); next != nil {
		next.inbox.inherit(r.inbox.take().Origins) // or two that alternate would never be seen to do so
	}
	p.Heartbeat(*why.Successor)
}

// evict deletes the pods on a Node, so that their modules are placed anew.
func (p *Provider) evict(ctx context.Context, node string) error {
	for _, pod := range p.pods.InCluster(node) {
		opts := metav1.NewDeleteOptions(0)
		opts.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
		err := p.deps.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *opts)
		switch {
		case err == nil, apierrors.IsNotFound(err):
		case apierrors.IsConflict(err): // another pod of the name
		default:
			return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}
