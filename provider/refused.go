package provider

import (
	"go.uber.org/zap"

	"module-controller/internal/refusals"
	"module-controller/tunnel"
)

// refusing tells what is refused of bases that are heard for the first time: it is counted,
// logged, and shown where the base runs, if that is known.
type refusing struct {
	log       *refusals.Log
	meter     Meter
	workloads Workloads
}

// maxWhy is how many bytes of a reason are shown.
const maxWhy = 512

// refuse counts and tells that a base is refused; detail explains this very one, nil for
// nothing more than its kind. Each base is told of; of those that come by the hundred thousand,
// as many as fit. What passes by itself is not shown where the base runs.
func (r refusing) refuse(h tunnel.Heartbeat, why *refusal, detail error) {
	r.meter.Dropped(h.Tunnel, why.kind)
	if detail == nil {
		detail = why
	}
	r.log.Tell("base refused", why.kind, h.Base.String(),
		zap.String("env", h.Base.Env), zap.String("identity", h.Base.Identity), zap.String("tunnel", h.Tunnel), zap.Error(detail))
	if h.Sender.Workload != "" && !why.passes {
		r.workloads.Refused(h.Sender.Workload, why.kind, tunnel.Say(detail.Error(), maxWhy))
	}
}
