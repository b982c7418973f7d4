package diagnose

import (
	"testing"

	"module-controller/internal/fleet"
)

// Whatever goes wrong together, what is found is whole, and a fault that is there is found.
func TestTwoFaultsAtOnce(t *testing.T) {
	for i, one := range drill {
		for _, other := range drill[i+1:] {
			w := sound()
			one.plant(w)
			other.plant(w)
			s := w.snapshot()
			all := Findings(Check(s, w.cluster))
			all = append(all, Fleet(s)...)
			all = append(all, Findings(PreCheck(s, w.cluster))...)
			for _, b := range s.Bases {
				all = append(all, WhyBase(s, b.Name).Findings...)
			}
			for i := range s.Modules {
				all = append(all, WhyPod(s, &s.Modules[i]).Findings...)
			}
			for i := range s.Strangers {
				all = append(all, WhyPod(s, &s.Strangers[i]).Findings...)
			}
			for _, f := range all {
				if f.Rule == "" || f.Cause == "" || f.Remedy == "" || f.Doc == "" || f.Object.Name == "" || f.Severity < Note || f.Severity > Fault {
					t.Errorf("%s and %s: %+v", one.fault, other.fault, f)
				}
			}
			if found := append(one.ask(w), other.ask(w)...); len(found) == 0 {
				t.Errorf("%s and %s: nothing was found", one.fault, other.fault)
			}
		}
	}
}

// Of a cluster in which nothing is, or of which nothing may be read, nothing is invented but
// that no replica is a member.
func TestAnEmptyCluster(t *testing.T) {
	s := fleet.Build(fleet.Objects{At: noon, Namespace: ns})
	if all := Fleet(s); len(all) != 1 || all[0].Rule != "no-member" {
		t.Errorf("of nothing was found %+v", all)
	}
	unread := fleet.Build(fleet.Objects{At: noon, Namespace: ns, Unread: []fleet.Unread{{What: "members", Why: "forbidden"}, {What: "Nodes", Why: "forbidden"}}})
	for _, f := range Fleet(unread) {
		if f.Rule != "not-readable" {
			t.Errorf("where nothing may be read was found %+v", f)
		}
	}
	p := spec("p")
	p.Spec.NodeName = nodeName("base-1")
	if c := WhyPod(unread, p); len(c.Findings) != 0 {
		t.Errorf("of a pod whose Node may not be read was found %+v", c.Findings)
	}
	if c := WhyPod(s, p); len(c.Findings) != 1 || c.Findings[0].Rule != "node-missing" {
		t.Errorf("of a pod whose Node is not there was found %+v", c.Findings)
	}
}
