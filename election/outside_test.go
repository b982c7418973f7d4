package election

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/shard"
)

// Whoever looks from outside reads of a membership Lease what its member wrote.
func TestAMembershipLeaseIsReadFromOutside(t *testing.T) {
	cfg := whole()
	cfg.Version = "v1"
	empty := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "mc-0", ResourceVersion: "7"}}
	lease := joined(empty, cfg, announcement{trouble: "not Authorized", owned: 3, assigned: 4, window: 4 * time.Second}, noon)
	want := MemberLease{
		Member: shard.Member{Name: "mc-0", Holder: cfg.Incarnation, Revision: 7, RenewDeadline: 4 * time.Second, FailureTimeout: 11 * time.Second, Renewed: noon, Serves: []string{"dev"}, Requests: shard.Requests{Obeys: true}},
		State:  StateServing, Installation: "ns", Version: "v1", Owned: 3, Assigned: 4, Trouble: "not Authorized",
	}
	if d := cmp.Diff(want, ReadMember(lease)); d != "" {
		t.Errorf("it reads (-want +got):\n%s", d)
	}
	if well := ReadMember(joined(lease, cfg, announcement{linked: true}, noon)); well.Trouble != "" || !well.Linked {
		t.Errorf("once it is linked it reads %+v", well)
	}
	gone := ReadMember(vacated(lease, "mc-1_00000001"))
	if gone.State != StateExpired || gone.ExpiredBy != "mc-1_00000001" || gone.Holder != "" {
		t.Errorf("once it is expired it reads %+v", gone)
	}
	if left := ReadMember(vacated(lease, "")); left.State != StateReleased {
		t.Errorf("once it left it reads %+v", left)
	}
	if draining := ReadMember(joined(lease, cfg, announcement{state: memberDraining}, noon)); draining.State != StateDraining {
		t.Errorf("while it drains it reads %+v", draining)
	}
}

// A base's Lease tells its owner's pod, also once it is released.
func TestABasesLeaseIsReadFromOutside(t *testing.T) {
	owned := stepped(heldBy("other", noon), shard.Step{Kind: shard.ClaimBase, Epoch: 8}, nil, nil, whole(), noon.Add(time.Minute))
	if is := ReadBase(owned); is.Holder != "mc-0_0123abcd" || is.Epoch != 8 || is.Installation != "ns" {
		t.Errorf("it reads %+v", is)
	}
	if pod := LastOwner(owned); pod != "mc-0" {
		t.Errorf("its owner is %q", pod)
	}
	if pod := LastOwner(heldBy("other", noon)); pod != "" {
		t.Errorf("another controller's Lease names the owner %q", pod)
	}
}

// What a tunnel says of itself is told without what it may keep secret, and is bounded.
func TestTroubleIsRedactedAndBounded(t *testing.T) {
	r := &Replica{}
	r.Trouble("dial tcp://user:s3cret@broker:1883: refused")
	if told := r.self.trouble; !strings.Contains(told, "refused") || strings.Contains(told, "s3cret") {
		t.Errorf("it tells %q", r.self.trouble)
	}
	r.Trouble(string(make([]byte, 10_000)))
	if len(r.self.trouble) > maxTrouble {
		t.Errorf("it tells %d bytes", len(r.self.trouble))
	}
	if r.Trouble(""); r.self.trouble != "" {
		t.Errorf("it tells %q where there is none", r.self.trouble)
	}
}
