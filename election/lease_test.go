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
		"claimed":     {shard.ClaimBase, "", "mc-0_0123abcd", "owned"},
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
				want["a"] = "person"
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
		Linked: true, RenewDeadline: 3500 * time.Millisecond, Renewed: lease.Spec.RenewTime.Time,
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

// The slack is checked for the bases of one replica and the grace of the cluster.
func TestTheSlackOfTheCluster(t *testing.T) {
	for _, c := range []struct {
		bases int
		grace time.Duration
		ok    bool
	}{{1000, 50 * time.Second, true}, {1000, 40 * time.Second, false}, {400, 40 * time.Second, true}, {1500, 50 * time.Second, false}} {
		cfg := whole()
		cfg.Bases, cfg.Grace = c.bases, c.grace
		if err := cfg.Validate(); (err == nil) != c.ok {
			t.Errorf("%d bases, grace %s: %v", c.bases, c.grace, err)
		}
	}
}
