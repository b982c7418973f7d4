package election

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/shard"
	"module-controller/tunnel"
)

var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	base = tunnel.BaseID{Env: "dev", Identity: "b"}
)

func whole() Config {
	return Config{
		Incarnation: "mc-0_0123abcd", Namespace: "ns", Envs: []string{"dev"},
		Name: func(b tunnel.BaseID) (string, error) { return b.Identity, nil },
		Base: func(name string) (tunnel.BaseID, bool) { return tunnel.BaseID{Env: "dev", Identity: name}, true },
	}.Complete()
}

// heldBy is a Lease as another controller may have left it.
func heldBy(holder string, at time.Time) *coordinationv1.Lease {
	when, seconds, preferred, epoch := metav1.NewMicroTime(at), int32(15), "nobody", int32(7)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "b", ResourceVersion: "42", Labels: map[string]string{"kept": "yes"}},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &when, RenewTime: &when,
			PreferredHolder: &preferred, LeaseTransitions: &epoch,
		},
	}
}

func TestALeaseSaysWhoOwnsABase(t *testing.T) {
	for name, c := range map[string]struct {
		kind              shard.Kind
		to, holder, state string
	}{
		"created":     {shard.CreateBase, "", "mc-0_0123abcd", "claimed"},
		"claimed":     {shard.ClaimBase, "", "mc-0_0123abcd", "claimed"},
		"renewed":     {shard.RenewBase, "", "mc-0_0123abcd", "owned"},
		"transferred": {shard.TransferBase, "mc-1_00000001", "mc-1_00000001", "handover"},
		"released":    {shard.ReleaseBase, "", "", "orphaned"},
	} {
		t.Run(name, func(t *testing.T) {
			was := heldBy("other", noon)
			step := shard.Step{Kind: c.kind, Epoch: 8, To: shard.Member{Holder: c.to}}
			put(&was.Annotations, "theirs", "1", "ours", "1")
			next := stepped(was, step, map[string]string{"vnode.koupleless.io/name": "shop", labelEnv: "dev"}, map[string]string{"ours": "2"}, whole(), noon.Add(time.Minute))
			if d := cmp.Diff(map[string]string{"theirs": "1", "ours": "2"}, next.Annotations); d != "" {
				t.Errorf("notes (-want +got):\n%s", d)
			}
			owner, _ := shard.PodOf(c.holder)
			want := map[string]string{
				"kept": "yes", "vnode.koupleless.io/name": "shop", labelComponent: "vnode-lease",
				labelEnv: "dev", labelOwner: owner, labelState: c.state, labelInstallation: "ns",
			}
			if d := cmp.Diff(want, next.Labels); d != "" {
				t.Errorf("labels (-want +got):\n%s", d)
			}
			s := next.Spec
			if *s.HolderIdentity != c.holder || *s.LeaseTransitions != 8 || *s.LeaseDurationSeconds != 40 || s.PreferredHolder != nil {
				t.Errorf("spec %+v", s)
			}
			if !s.AcquireTime.Equal(s.RenewTime) || !s.RenewTime.Time.Equal(noon.Add(time.Minute)) {
				t.Errorf("acquired %s, renewed %s", s.AcquireTime, s.RenewTime)
			}
			if *was.Spec.HolderIdentity != "other" || was.Labels[labelState] != "" {
				t.Error("the Lease that was seen was changed")
			}
			if got := parse(next); got.Holder != c.holder || got.Epoch != 8 || got.Revision != 42 || got.Transferred != (c.kind == shard.TransferBase) {
				t.Errorf("read back as %+v", got)
			}
		})
	}
}

// What people make of the labels by which a base's Lease is found is put right when it is
// renewed; their own labels stay.
func TestLabelsThatWereChangedByHandComeBack(t *testing.T) {
	// Without the component and the environment no watch shows it.
	stays := func(key string) bool { return key == "a" || key == labelComponent || key == labelEnv }
	change := func(labels map[string]string) {
		for key := range labels {
			if !stays(key) {
				labels[key] = "else"
			}
		}
	}
	remove := func(labels map[string]string) {
		maps.DeleteFunc(labels, func(key, _ string) bool { return !stays(key) })
	}
	for name, edit := range map[string]func(labels map[string]string){"changed": change, "removed": remove} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runAlone(t)
				want := r.store.snapshot(r.cfg.BaseNamespace)[0].Labels
				want["a"], want[labelState] = "person", stateOwned
				r.store.edit("kube-node-lease/b", func(l *coordinationv1.Lease) bool {
					l.Labels = maps.Clone(want)
					edit(l.Labels)
					return true
				})
				pause(t.Context(), r.cfg.Renew+time.Second)
				if d := cmp.Diff(want, r.store.snapshot(r.cfg.BaseNamespace)[0].Labels); d != "" {
					t.Errorf("labels (-want +got):\n%s", d)
				}
				r.end(t)
			})
		})
	}
}

// The node controller ignores renew times that do not grow.
func TestRenewTimesOnlyGrow(t *testing.T) {
	lease := heldBy("mc-0_0123abcd", noon)
	for _, now := range []time.Time{noon.Add(-5 * time.Minute), noon, noon.Add(time.Nanosecond), noon.Add(time.Second)} {
		next := renewed(lease, 40*time.Second, now)
		if !next.Spec.RenewTime.After(lease.Spec.RenewTime.Time) {
			t.Errorf("at %s it is renewed with %s after %s", now, next.Spec.RenewTime, lease.Spec.RenewTime)
		}
		lease = next
	}
	step := shard.Step{Kind: shard.RenewBase, Epoch: 7}
	if again := stepped(lease, step, nil, nil, whole(), noon.Add(time.Hour)); !again.Spec.AcquireTime.Time.Equal(noon) {
		t.Errorf("renewed, it was acquired %s", again.Spec.AcquireTime)
	}
}

func TestAMembershipLeaseTellsAll(t *testing.T) {
	cfg := whole()
	cfg.PodUID, cfg.Address, cfg.PeerKey, cfg.Version, cfg.Envs = "uid", "10.0.0.1:7777", "5f4d", "1.2.3", []string{"dev", "test"}
	lease := joined(heldBy("mc-0_00000000", noon), cfg, announcement{linked: true, will: "5e1f", owned: 3, assigned: 4}, noon.Add(time.Minute))
	if *lease.Spec.HolderIdentity != cfg.Incarnation || *lease.Spec.LeaseTransitions != 8 || *lease.Spec.LeaseDurationSeconds != 10 {
		t.Errorf("spec %+v", lease.Spec)
	}
	want := map[string]string{
		notePodUID: "uid", noteRenewDeadline: "3.5s", noteAddress: "10.0.0.1:7777", notePeerKey: "5f4d", noteVersion: "1.2.3", noteState: "serving",
		noteServes: "dev,test", noteLinks: "up", noteWill: "5e1f", noteWatch: "live", noteOwned: "3", noteAssigned: "4",
	}
	if d := cmp.Diff(want, lease.Annotations); d != "" {
		t.Errorf("annotations (-want +got):\n%s", d)
	}
	m := shard.Member{
		Name: "b", Holder: cfg.Incarnation, Revision: 42, Address: "10.0.0.1:7777", PeerKey: "5f4d", Will: "5e1f", Serves: []string{"dev", "test"},
		Linked: true, RenewDeadline: 3500 * time.Millisecond, FailureTimeout: 11 * time.Second, Renewed: lease.Spec.RenewTime.Time,
	}
	if d := cmp.Diff(m, parseMember(lease)); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
	leaving := joined(lease, cfg, announcement{state: memberDraining}, noon.Add(2*time.Minute))
	if m := parseMember(leaving); !m.Draining || m.Linked || *leaving.Spec.LeaseTransitions != 8 {
		t.Errorf("while it drains: %+v, %+v", m, leaving.Spec)
	}
	if m := parseMember(vacated(leaving, "")); m.Holder != "" || !m.Released || m.Last != cfg.Incarnation {
		t.Errorf("it left: %+v", m)
	}
	dead := vacated(leaving, "mc-1_00000001")
	if m := parseMember(dead); m.Holder != "" || m.Released || m.Last != cfg.Incarnation || !m.Renewed.Equal(leaving.Spec.RenewTime.Time) || dead.Annotations[noteExpiredBy] != "mc-1_00000001" {
		t.Errorf("it was expired: %+v, %v", m, dead.Annotations)
	}
	if back := joined(dead, cfg, announcement{}, noon.Add(time.Hour)); back.Annotations[noteExpiredBy]+back.Annotations[noteLast] != "" {
		t.Errorf("it is back, and says %v", back.Annotations)
	}
}

func TestEveryFaultOfAConfigurationIsNamed(t *testing.T) {
	if err := whole().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	bad := whole()
	bad.Incarnation, bad.Namespace = "mc-0", ""
	bad.Renew, bad.Workers = 40*time.Second, 0
	bad.MemberRenew, bad.FailureTimeout = 4*time.Second, 10*time.Second
	err := bad.Validate()
	if err == nil {
		t.Fatal("nothing is wrong with it")
	}
	for _, want := range []string{
		`incarnation "mc-0" is not`, "a namespace", "must be positive", "LEASE_RENEW_INTERVAL (40s) must be shorter",
		"MEMBER_RENEW_INTERVAL (4s)", "failure timeout (10s) must be longer", "nodes would turn NotReady in a failover",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in:\n%v", want, err)
		}
	}
}

// Leases are renewed as seldom as the bases of one replica and the grace of the cluster
// permit. What is set stays, and is refused where it does not fit.
func TestLeasesAreRenewedAsSeldomAsAFailoverPermits(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		grace, set, member, lease time.Duration
		bases                     int
		want                      time.Duration
		bound, refused            string
	}{
		"by default":                           {want: 29 * s, bound: "NODE_MONITOR_GRACE"},
		"few bases":                            {bases: 100, want: 30 * s, bound: "LEASE_DURATION"},
		"many bases":                           {bases: 1500, want: 19 * s, bound: "NODE_MONITOR_GRACE"},
		"an earlier Kubernetes":                {grace: 40 * s, want: 19 * s, bound: "NODE_MONITOR_GRACE"},
		"a patient cluster":                    {grace: 300 * s, want: 30 * s, bound: "LEASE_DURATION"},
		"long Leases in a patient cluster":     {grace: 300 * s, lease: 120 * s, want: 90 * s, bound: "LEASE_DURATION"},
		"failures that are known late":         {member: 25 * s, want: 14 * s, bound: "NODE_MONITOR_GRACE"},
		"set":                                  {set: 20 * s, want: 20 * s, bound: "LEASE_RENEW_INTERVAL"},
		"set to less than would be chosen":     {set: s, want: s, bound: "LEASE_RENEW_INTERVAL"},
		"set to more than fits":                {set: 30 * s, bases: 1000, want: 30 * s, bound: "LEASE_RENEW_INTERVAL", refused: "an interval of 24s fits"},
		"as many bases as fit":                 {bases: 3200, want: 2 * s, bound: "NODE_MONITOR_GRACE"},
		"more bases than fit":                  {bases: 3201, want: 2 * s, bound: "NODE_MONITOR_GRACE", refused: "no interval of 2s or more fits"},
		"failures that are known far too late": {member: 50 * s, want: 2 * s, bound: "NODE_MONITOR_GRACE", refused: "no interval of 2s or more fits"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Incarnation: "mc-0_0123abcd", Namespace: "ns", Envs: []string{"dev"}, Name: whole().Name, Base: whole().Base}
			cfg.Grace, cfg.Renew, cfg.MemberDuration, cfg.Duration, cfg.Bases = c.grace, c.set, c.member, c.lease, c.bases
			cfg = cfg.Complete()
			if cfg.Renew != c.want || cfg.boundBy() != c.bound {
				t.Errorf("every %s, bound by %s; want %s, %s", cfg.Renew, cfg.boundBy(), c.want, c.bound)
			}
			switch err := cfg.Validate(); {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v, want %q", err, c.refused)
			}
		})
	}
}
