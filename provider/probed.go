package provider

import (
	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
)

// probe has the modules of a base probed as its pods say, and gives the pods with what is
// known of them.
//
// While our own link is down nothing is asked, for what is found then may tell more of us
// than of the base; what is known stays.
func (s *seenPods) probe(r *entry, in *lifecycle.Facts) []plan.Pod {
	at := r.base.Incumbent()
	if in.Links[at.Tunnel].Up {
		s.probes.Set(r.node, at.Endpoint.IP, in.Pods)
	} else {
		s.probes.Pause(r.node)
	}
	known := s.probes.Results(r.node)
	for i := range in.Pods {
		in.Pods[i].Probed = known[in.Pods[i].UID]
	}
	return in.Pods
}
