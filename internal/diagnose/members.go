package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/election"
	"module-controller/internal/fleet"
)

// memberRule finds what is wrong with the members of the installation, each for itself or
// together. About is what it is about.
type memberRule struct {
	name, doc string
	// holds is what is so where the rule finds nothing.
	holds string
	find  func(s *fleet.Snapshot) []told
}

// told is a finding about an object.
type told struct {
	about Object
	found
}

var memberRules = []memberRule{
	{"image-not-pulled", docReplica, "the controller's image is pulled", imagesNotPulled},
	{"replica-crashes", docReplica, "no replica crashes", crashes},
	{"no-member", docReplica, "replicas are members", nobody},
	{"member-silent", docReplica, "each member renews its membership", silent},
	{"member-expired", docReplica, "no member was expired", expired},
	{"tunnel-down", docReplica, "each member's tunnels are up", unlinked},
	{"watch-stalled", docReplica, "each member's watch is live", blind},
	{"api-slow", docInstallation, "the API server answers renewals in time", slowAPI},
	{"member-cordoned", docInstallation, "no member is cordoned", cordonedMembers},
	{"requests-wait", docInstallation, "requests are obeyed", requestsWait},
	{"versions-differ", docInstallation, "all members are of one version", versions},
	{"two-installations", docInstallation, "no other installation serves the same environment", twoInstallations},
	{"unbalanced", docInstallation, "members own equally many bases", unbalanced},
}

// Members gives what is wrong with the installation itself.
func Members(s *fleet.Snapshot) (all []Finding) {
	for _, rule := range memberRules {
		for _, t := range rule.find(s) {
			all = append(all, t.finding(rule.name, rule.doc, t.about))
		}
	}
	return rank(all)
}

func memberObject(m fleet.Member) Object {
	return Object{Kind: "Member", Namespace: m.Installation, Name: m.Name}
}

func podObject(p *corev1.Pod) Object {
	return Object{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
}

func installationObject(s *fleet.Snapshot) Object {
	return Object{Kind: "Namespace", Name: s.Namespace}
}

func nobody(s *fleet.Snapshot) []told {
	if len(s.Live()) > 0 || unreadable(s, "members") {
		return nil
	}
	evidence := []string{"no membership Lease in namespace " + s.Namespace + " has a holder"}
	for _, m := range s.Others {
		if m.Holder != "" {
			evidence = append(evidence, "namespace "+m.Installation+" has the member "+m.Name)
		}
	}
	return []told{{installationObject(s), found{
		cause:    "no replica of this controller is a member in namespace " + s.Namespace,
		remedy:   "start it, or name its namespace: --controller-namespace",
		evidence: evidence,
	}}}
}

// unreadable says that something could not be read, so that its absence says nothing.
func unreadable(s *fleet.Snapshot, what string) bool {
	return slices.ContainsFunc(s.Unread, func(u fleet.Unread) bool { return u.What == what })
}

// margin is how much later than it is due something may be seen.
const margin = 5 * time.Second

// failsAfter is after how long the others expire a member.
func failsAfter(m fleet.Member) time.Duration { return cmp.Or(m.FailureTimeout, 11*time.Second) }

func silent(s *fleet.Snapshot) (all []told) {
	for _, m := range s.Live() {
		silence := s.Silence(m)
		if silence < failsAfter(m)+margin {
			continue
		}
		f := found{
			cause:    "this replica has not renewed its membership for " + age(silence) + ", and nobody has expired it: no replica reaches the API server, or none runs",
			remedy:   "see whether its pod runs, and whether it reaches the API server (network policy, proxy, DNS, certificates)",
			evidence: []string{fmt.Sprintf("Lease %s/%s: renewed %s, held by %s", m.Installation, m.Name, m.Renewed.UTC().Format(time.TimeOnly), m.Holder)},
		}
		f.evidence = append(f.evidence, replicaOf(s, m.Name)...)
		all = append(all, told{memberObject(m), f})
	}
	return all
}

// expired tells of a member that others expired. Where its pod runs it was cut off.
func expired(s *fleet.Snapshot) (all []told) {
	for _, m := range s.Members {
		if m.Holder != "" || m.State != election.StateExpired {
			continue
		}
		f := found{
			cause:    "this replica stopped renewing its membership and was expired by " + cmp.Or(m.ExpiredBy, "another") + "; others have its bases",
			remedy:   "if it was not ended on purpose, see why it ended: kubectl describe pod, kubectl logs -p",
			evidence: append([]string{fmt.Sprintf("Lease %s/%s: state %s, by %s", m.Installation, m.Name, m.State, m.ExpiredBy)}, replicaOf(s, m.Name)...),
		}
		if runs(s, m.Name) {
			f.cause = "this replica runs and is cut off from the API server: it stopped renewing its membership and was expired by " + cmp.Or(m.ExpiredBy, "another")
			f.remedy = "see why it does not reach the API server: network policy, proxy, DNS, certificates, a machine that is frozen; it joins again by itself"
			all = append(all, told{memberObject(m), f})
			continue
		}
		all = append(all, told{memberObject(m), *f.mild(Warning)})
	}
	return all
}

// brokerCauses tell what a tunnel's own words mean, by what stands in them.
var brokerCauses = []struct {
	words         []string
	cause, remedy string
}{
	{[]string{"x509", "certificate", "tls:"}, "does not trust the broker's certificate, or the broker not its own", "give MQTT_CA_PATH the CA that signed the broker's certificate, MQTT_BROKER the name that stands in it, and a client certificate where the broker asks for one"},
	{[]string{"not Authorized", "not authorized", "bad user name or password", "identifier rejected", "subscription"}, "is refused by the broker", "give the broker's user of this controller its password (MQTT_USERNAME, MQTT_PASSWORD_FILE) and its topics (manifests/broker)"},
	{[]string{"connection refused", "no such host", "no route", "timeout", "no answer", "EOF", "reset", "unreachable", "connection lost"}, "does not reach the broker", "see whether the broker runs at MQTT_BROKER and MQTT_PORT, and whether a network policy is between them"},
}

func unlinked(s *fleet.Snapshot) (all []told) {
	for _, m := range s.Live() {
		if m.Linked || m.Draining {
			continue
		}
		is, remedy := "has a tunnel that is down", "its log says why: kubectl logs -n "+m.Installation+" "+m.Name+" | grep 'broker connection ended'"
		for _, c := range brokerCauses {
			if mentions(m.Trouble, c.words...) {
				is, remedy = c.cause, c.remedy
				break
			}
		}
		evidence := []string{fmt.Sprintf("Lease %s/%s: tunnels are down", m.Installation, m.Name)}
		if m.Trouble != "" {
			evidence = append(evidence, quote("it says", m.Trouble))
		}
		all = append(all, told{memberObject(m), found{cause: "this replica " + is + "; while no replica is connected no module is installed", remedy: remedy, evidence: evidence}})
	}
	return all
}

func blind(s *fleet.Snapshot) (all []told) {
	for _, m := range s.Live() {
		if m.Blind {
			all = append(all, told{memberObject(m), *found{
				cause:    "this replica's watch of Leases shows nothing of what changes; it is given no bases",
				remedy:   "see the API server, or a proxy before it that holds watches back; the replica lists meanwhile",
				evidence: []string{fmt.Sprintf("Lease %s/%s: watch is stalled", m.Installation, m.Name)},
			}.mild(Warning)})
		}
	}
	return all
}

// usualDeadline is RENEW_DEADLINE where nothing says otherwise.
const usualDeadline = 3500 * time.Millisecond

// slowAPI tells of members that announce to act for longer than they are set to: they do so
// where renewals are answered late.
func slowAPI(s *fleet.Snapshot) (all []told) {
	usual := usualDeadline
	if set, told := s.Setting("RENEW_DEADLINE"); told {
		if d, err := time.ParseDuration(set); err == nil {
			usual = d
		}
	}
	for _, m := range s.Live() {
		if m.RenewDeadline <= usual {
			continue
		}
		all = append(all, told{memberObject(m), *found{
			cause:    fmt.Sprintf("the API server takes seconds to answer this replica's renewals: each lets it act for %s instead of %s, and a failover takes longer", m.RenewDeadline, usual),
			remedy:   "apply the FlowSchema of manifests/availability.yaml, so that Leases are not starved by other requests; if it is there, give the API server or etcd more CPU and a faster disk",
			evidence: []string{fmt.Sprintf("Lease %s/%s: it may act for %s", m.Installation, m.Name, m.RenewDeadline)},
		}.mild(Warning)})
	}
	return all
}

func versions(s *fleet.Snapshot) []told {
	var seen []string
	for _, m := range s.Live() {
		seen = append(seen, cmp.Or(m.Version, "unknown"))
	}
	slices.Sort(seen)
	if seen = slices.Compact(seen); len(seen) < 2 {
		return nil
	}
	return []told{{installationObject(s), *found{
		cause:  "replicas of different versions run: " + strings.Join(seen, ", "),
		remedy: "let the rollout finish; do not stay in the middle of one",
	}.mild(Note)}}
}

// twoInstallations tells of live members of another namespace that serve what ours serve.
func twoInstallations(s *fleet.Snapshot) (all []told) {
	shared := map[string][]string{}
	for _, o := range s.Others {
		if o.Holder == "" || s.Silence(o) > failsAfter(o)+margin {
			continue
		}
		for _, m := range s.Live() {
			if env, both := sharedEnv(o, m); both {
				shared[o.Installation] = append(shared[o.Installation], env)
			}
		}
	}
	for namespace, envs := range shared {
		slices.Sort(envs)
		all = append(all, told{Object{Kind: "Namespace", Name: namespace}, found{
			cause:    fmt.Sprintf("two installations serve one environment (%s): namespaces %s and %s", strings.Join(slices.Compact(envs), ", "), s.Namespace, namespace),
			remedy:   "stop one of the two, or give them different environments (ENV); each base stays with the one that had it first",
			evidence: []string{"live members are in both namespaces: kubectl get lease -A -l " + election.MemberSelector},
		}})
	}
	return all
}

// sharedEnv is an environment that two members serve.
func sharedEnv(a, b fleet.Member) (env string, both bool) {
	switch {
	case a.Serves == nil && b.Serves == nil:
		return "all", true
	case a.Serves == nil:
		return b.Serves[0], true // one at least
	case b.Serves == nil:
		return a.Serves[0], true
	}
	for _, env := range a.Serves {
		if slices.Contains(b.Serves, env) {
			return env, true
		}
	}
	return "", false
}

// unbalanced tells of members that own much more than the others.
func unbalanced(s *fleet.Snapshot) []told {
	b, moves := s.Balance(), s.Moves()
	owned := 0
	for _, m := range moves {
		if m.From != "" {
			owned++
		}
	}
	if owned == 0 || b.Most <= b.Fair+max(b.Fair/5, 1) {
		return nil
	}
	return []told{{installationObject(s), *found{
		cause:    fmt.Sprintf("members own %d to %d bases, and %s should move", b.Least, b.Most, count(owned, "base", "bases")),
		remedy:   "wait: bases move once the members are the same for SETTLE_TIME (10 s); if they stay, see kubectl modules rebalance --dry-run and the members' tunnels",
		evidence: []string{fmt.Sprintf("each would own %d", b.Fair)},
	}.mild(Note)}}
}
