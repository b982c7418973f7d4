package provider

import (
	"context"
	"time"

	"module-controller/provider/lifecycle"
	"module-controller/provider/traces"
)

// trace tells of a Turn, where that is traced. It began when the facts were read.
func (o observation) trace(ctx context.Context, to *traces.Tracer, do lifecycle.Actions) {
	if to == nil || o.facts.Right < lifecycle.Valid {
		return
	}
	to.Turned(ctx, &o.story, traces.Turn{
		Base: o.id, Tunnel: o.base.Tunnel(), Epoch: o.facts.Claim.Epoch, Claimed: o.facts.Claim.Since, Began: o.facts.Now, Ended: time.Now(),
		Pods: o.facts.Pods, Current: o.facts.Current, List: o.facts.Mail.List, Send: do.Talk.Send, Ends: do.Ended, Write: do.Write.Pods,
	})
}
