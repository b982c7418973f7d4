package lifecycle

import (
	"fmt"
	"testing"
	"time"

	"module-controller/shard"
	"module-controller/tunnel"
)

func TestPhasesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for p := Unknown; p <= Gone; p++ {
		name := p.String()
		if name == "" || seen[name] {
			t.Errorf("phase %d is named %q, as another one or not at all", int(p), name)
		}
		seen[name] = true
	}
	for _, p := range []Phase{Unknown - 1, Gone + 1} {
		if name := p.String(); name != fmt.Sprintf("phase(%d)", int(p)) {
			t.Errorf("what is no phase is named %q", name)
		}
	}
}

func TestServedPhases(t *testing.T) {
	served := map[Phase]bool{Suspended: true, Serving: true, Draining: true, Drained: true}
	for p := Unknown - 1; p <= Gone+1; p++ {
		if p.served() != served[p] {
			t.Errorf("%s: served %v", p, p.served())
		}
	}
}

// inPhase is a base that came to a phase as bases do, under a claim of epoch 1.
func inPhase(t *testing.T, p Phase) *Base {
	t.Helper()
	h := tunnel.Heartbeat{Base: id, Tunnel: "mqtt", Name: "shop", Received: noon}
	b := New(Config{}.Complete(), id, nodeName, h, nil, noon)
	if p == Unknown {
		return b
	}
	for _, in := range map[Phase][]Facts{
		Foreign:   {{}},
		Suspended: {valid(1, shard.Owned), {Lease: Lease{Right: Held}}},
		Serving:   {valid(1, shard.Owned)},
		Draining:  {valid(1, shard.Owned), writing(valid(1, shard.Forced))},
		Drained:   {valid(1, shard.Owned), valid(1, shard.Forced)},
	}[p] {
		in.Now = noon
		b.Turn(in)
	}
	if b.Phase() != p {
		t.Fatalf("it is %s, want %s", b.Phase(), p)
	}
	return b
}

func valid(epoch int32, p shard.Phase) Facts {
	return Facts{Lease: Lease{Right: Valid, Claim: shard.Claim{Epoch: epoch, Phase: p, Deadline: noon.Add(time.Hour)}}}
}

func writing(in Facts) Facts {
	in.Writing = true
	return in
}

// Every phase meets everything that can be said of its claim. Nothing is in flight, so a
// base that drains is drained at once; one that is only now served begins as Serving.
func TestEveryPhaseMeetsEveryClaim(t *testing.T) {
	claims := []struct {
		name string
		Facts
	}{
		{"not ours", Facts{}},
		{"suspended", Facts{Lease: Lease{Right: Held}}},
		{"owned", valid(1, shard.Owned)},
		{"draining", valid(1, shard.Draining)},
		{"forced", valid(1, shard.Forced)},
		{"forced, writing", writing(valid(1, shard.Forced))},
		{"draining, writing", writing(valid(1, shard.Draining))},
		{"won again", valid(2, shard.Owned)},
		{"won again, draining", valid(2, shard.Draining)},
	}
	want := map[Phase][]Phase{
		// not ours, suspended, owned, draining, forced, forced and writing, draining and writing, won again (2)
		Unknown:   {Foreign, Foreign, Serving, Serving, Serving, Serving, Serving, Serving, Serving},
		Foreign:   {Foreign, Foreign, Serving, Serving, Serving, Serving, Serving, Serving, Serving},
		Suspended: {Foreign, Suspended, Serving, Drained, Drained, Draining, Draining, Serving, Serving},
		Serving:   {Foreign, Suspended, Serving, Drained, Drained, Draining, Draining, Serving, Serving},
		Draining:  {Foreign, Suspended, Serving, Drained, Drained, Draining, Draining, Serving, Serving},
		Drained:   {Foreign, Drained, Serving, Drained, Drained, Drained, Drained, Serving, Serving},
	}
	for from, to := range want {
		for i, claim := range claims {
			t.Run(from.String()+", "+claim.name, func(t *testing.T) {
				b := inPhase(t, from)
				in := claim.Facts
				in.Now = noon
				do := b.Turn(in)
				if b.Phase() != to[i] {
					t.Errorf("it becomes %s, want %s", b.Phase(), to[i])
				}
				if lost := from.served() && (claim.Right == NotHeld || claim.Claim.Epoch == 2); do.LetGo != lost {
					t.Errorf("its pods are let go: %v, want %v", do.LetGo, lost)
				}
				if begins := claim.Right == Valid && (!from.served() || claim.Claim.Epoch == 2); do.Begin != begins {
					t.Errorf("it begins: %v, want %v", do.Begin, begins)
				}
				if drained := to[i] == Drained && claim.Right == Valid; do.Drained != drained {
					t.Errorf("it may be another's: %v, want %v", do.Drained, drained)
				}
				if do.Next.Before(in.Now) {
					t.Errorf("it is reconciled again at %s, before now", do.Next)
				}
			})
		}
	}
}

// A base is gone once its Node is deleted, and its tunnel forgets it.
func TestARetiredBaseIsGone(t *testing.T) {
	b := inPhase(t, Serving)
	in := valid(1, shard.Owned)
	in.Now = noon
	b.Turn(in)
	if unfollow := b.Retired(); unfollow != "mqtt" || b.Phase() != Gone || b.Tunnel() != "" {
		t.Errorf("it is %s, unfollowed over %q, followed over %q", b.Phase(), unfollow, b.Tunnel())
	}
}
