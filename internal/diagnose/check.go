package diagnose

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/election"
	"module-controller/internal/fleet"
)

// Tick is one thing that was checked.
type Tick struct {
	// Holds is what is so where there are no Findings.
	Holds string `json:"holds"`
	// Skipped is why it could not be checked; empty where it was.
	Skipped  string    `json:"skipped,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
}

// Group is what was checked of one subject.
type Group struct {
	Name  string `json:"name"`
	Ticks []Tick `json:"ticks"`
}

// Check checks a running installation.
func Check(s *fleet.Snapshot, c fleet.Cluster) []Group {
	return []Group{
		{"API server", []Tick{reached(s), readable(s), graceFits(s, c), flowSchemaThere(s, c)}},
		{"Rights of the controller", []Tick{rights(c.Rights, c.Account)}},
		{"Members", memberTicks(s)},
		{"Bases", baseTicks(s)},
		{"Modules", []Tick{strangers(s), orphans(s), modulesReady(s)}},
	}
}

// PreCheck checks a cluster before the controller is installed.
func PreCheck(s *fleet.Snapshot, c fleet.Cluster) []Group {
	var others []Tick
	for _, rule := range baseRules {
		if slices.Contains([]string{"foreign-lease", "leftover-lease"}, rule.name) {
			others = append(others, baseTick(s, rule))
		}
	}
	return []Group{
		{"API server", []Tick{reached(s), recentEnough(s), readable(s), graceFits(s, c)}},
		{"Your rights", []Tick{rights(c.Own, "you")}},
		{"Others", append([]Tick{noOthers(s)}, others...)},
	}
}

// Findings gives all findings of groups, the worst first.
func Findings(groups []Group) (all []Finding) {
	for _, g := range groups {
		for _, t := range g.Ticks {
			all = append(all, t.Findings...)
		}
	}
	return rank(all)
}

// Fleet gives all that is wrong with a running fleet, the worst first.
func Fleet(s *fleet.Snapshot) (all []Finding) {
	ticks := slices.Concat(memberTicks(s), baseTicks(s), []Tick{readable(s), strangers(s), orphans(s), modulesReady(s)})
	return Findings([]Group{{Ticks: ticks}})
}

func memberTicks(s *fleet.Snapshot) (all []Tick) {
	for _, rule := range memberRules {
		t := Tick{Holds: rule.holds}
		for _, found := range rule.find(s) {
			t.Findings = append(t.Findings, found.finding(rule.name, rule.doc, found.about))
		}
		all = append(all, t)
	}
	return all
}

func baseTicks(s *fleet.Snapshot) (all []Tick) {
	for _, rule := range baseRules {
		all = append(all, baseTick(s, rule))
	}
	return all
}

// mostNamed is how many findings of one rule are told one by one.
const mostNamed = 5

// baseTick asks a rule of all bases. Many findings are told as one: thousands of bases may
// have lost one owner.
func baseTick(s *fleet.Snapshot, rule baseRule) Tick {
	t := Tick{Holds: rule.holds}
	var names []string
	for _, b := range s.Bases {
		if s.Elsewhere(b) {
			continue
		}
		f := rule.find(s, b)
		if f == nil {
			continue
		}
		if names = append(names, b.ID.Identity); len(names) <= mostNamed {
			t.Findings = append(t.Findings, f.finding(rule.name, rule.doc, baseObject(b)))
		}
	}
	return t.bounded(names, "Node")
}

// bounded makes one finding of many.
func (t Tick) bounded(names []string, kind string) Tick {
	if len(names) <= mostNamed {
		return t
	}
	one := t.Findings[0]
	one.Object = Object{Kind: kind, Name: names[0] + " and " + number(len(names)-1) + " more"}
	one.Cause = number(len(names)) + " times: " + one.Cause
	one.Evidence = append([]string{some(names)}, one.Evidence...)
	t.Findings = []Finding{one}
	return t
}

// podTick asks of pods what is wrong with them.
func podTick(s *fleet.Snapshot, holds string, pods []corev1.Pod, of func(*corev1.Pod) []Finding) Tick {
	byRule := map[string][]Finding{}
	var rules []string
	for i := range pods {
		for _, f := range of(&pods[i]) {
			if byRule[f.Rule] == nil {
				rules = append(rules, f.Rule)
			}
			byRule[f.Rule] = append(byRule[f.Rule], f)
		}
	}
	all := Tick{Holds: holds}
	for _, rule := range rules {
		var names []string
		for _, f := range byRule[rule] {
			names = append(names, f.Object.Namespace+"/"+f.Object.Name)
		}
		all.Findings = append(all.Findings, Tick{Findings: byRule[rule]}.bounded(names, "Pod").Findings...)
	}
	return all
}

func strangers(s *fleet.Snapshot) Tick {
	return podTick(s, "no foreign pod is on a VNode", s.Strangers, func(p *corev1.Pod) []Finding {
		is := bound{s, p, s.Base(p.Spec.NodeName)}
		f := stranger(is)
		if f == nil {
			return nil
		}
		return []Finding{f.mild(Warning).finding("not-a-module", docPodEvents, podObject(p))}
	})
}

// orphans are pods whose Node does not exist.
func orphans(s *fleet.Snapshot) Tick {
	t := podTick(s, "each module pod's Node exists", s.Modules, func(p *corev1.Pod) []Finding {
		if p.Spec.NodeName == "" || ended(p) {
			return nil
		}
		f := nodeMissing(bound{s, p, s.Base(p.Spec.NodeName)})
		if f == nil {
			return nil
		}
		return []Finding{f.finding("node-missing", docLeave, podObject(p))}
	})
	if unreadable(s, "Nodes") {
		t.Skipped = "Nodes cannot be read"
	}
	return t
}

// youngFor is for how long a pod may be on its way without a word.
const youngFor = time.Minute

// modulesReady tells why modules are not ready, of those that should be by now. What is wrong
// with their bases is told of the bases.
func modulesReady(s *fleet.Snapshot) Tick {
	return podTick(s, "all module pods are ready ("+number(len(s.Modules))+")", s.Modules, func(p *corev1.Pod) []Finding {
		b := s.Base(p.Spec.NodeName)
		switch {
		case s.At.Sub(p.CreationTimestamp.Time) < youngFor, p.Status.Phase == corev1.PodFailed, b != nil && s.Elsewhere(b):
			return nil
		}
		return slices.DeleteFunc(Pod(s, p), func(f Finding) bool {
			return f.Object.Kind != "Pod" || f.Rule == "node-missing" || f.Severity == Note
		})
	})
}

// noOthers tells of installations that are there already.
func noOthers(s *fleet.Snapshot) Tick {
	t := Tick{Holds: "no other installation is there"}
	seen := map[string][]string{}
	for _, m := range slices.Concat(s.Members, s.Others) {
		if m.Holder != "" {
			seen[m.Installation] = append(seen[m.Installation], m.Name)
		}
	}
	for namespace, members := range seen {
		t.Findings = append(t.Findings, found{
			cause:    "an installation is there already, in namespace " + namespace,
			remedy:   "upgrade that one, or give the new one other environments (ENV)",
			evidence: []string{"members: " + strings.Join(members, ", "), "kubectl get lease -A -l " + election.MemberSelector},
		}.mild(Warning).finding("installed-already", docInstallation, Object{Kind: "Namespace", Name: namespace}))
	}
	t.Findings = rank(t.Findings)
	return t
}
