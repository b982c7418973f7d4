package lifecycle

import (
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

func TestAgeOf(t *testing.T) {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	base := AgeInput{Link: tunnel.Link{Up: true, Since: at(-1000)}, LastSeen: at(0), Config: Config{}.Complete()}
	for _, c := range []struct {
		name   string
		now    int
		change func(*AgeInput)
		want   string
		gone   bool
	}{
		{"fresh", 39, nil, "", false},
		{"stale", 40, nil, plan.ReasonBaseSilent, false},
		{"gone", 600, nil, plan.ReasonBaseSilent, true},
		{"our link is down: nobody ages", 9999, func(in *AgeInput) { in.Link.Up = false }, "", false},
		{"our link is down: who was stale stays so", 1, func(in *AgeInput) { in.Link.Up, in.Was = false, plan.ReasonBaseSilent }, plan.ReasonBaseSilent, false},
		{"link back: 150 s to come back", 189, func(in *AgeInput) { in.Link.Since = at(0) }, "", false},
		{"link back: then it is stale", 190, func(in *AgeInput) { in.Link.Since = at(0) }, plan.ReasonBaseSilent, false},
		{"taken over: silence counts from then", 39, func(in *AgeInput) { in.LastSeen, in.ServedSince = at(-30), at(0) }, "", false},
		{"taken over: then it is stale", 40, func(in *AgeInput) { in.LastSeen, in.ServedSince = time.Time{}, at(0) }, plan.ReasonBaseSilent, false},
		{"taken over: who was stale stays so", 11, func(in *AgeInput) { in.LastSeen, in.ServedSince, in.Was = at(-30), at(0), plan.ReasonBaseSilent }, plan.ReasonBaseSilent, false},
		{"taken over, never heard here: who was stale stays so", 1, func(in *AgeInput) { in.LastSeen, in.ServedSince, in.Was = time.Time{}, at(0), plan.ReasonBaseSilent }, plan.ReasonBaseSilent, false},
		{"taken over after the link was back: 150 s to come back", 184, func(in *AgeInput) { in.Link.Since, in.LastSeen, in.ServedSince = at(-5), time.Time{}, at(0) }, "", false},
		{"taken over after the link was back: then it is stale", 185, func(in *AgeInput) { in.Link.Since, in.LastSeen, in.ServedSince = at(-5), time.Time{}, at(0) }, plan.ReasonBaseSilent, false},
		{"link back: who was stale stays so", 10, func(in *AgeInput) { in.Link.Since, in.Was = at(0), plan.ReasonBaseSilent }, plan.ReasonBaseSilent, false},
		{"heard again", 10, func(in *AgeInput) { in.Link.Since, in.Was, in.LastSeen = at(0), plan.ReasonBaseSilent, at(9) }, "", false},
		{"heard, not answering", 90, func(in *AgeInput) { in.Unanswered, in.LastSeen = at(0), at(89) }, plan.ReasonBaseNotAnswering, false},
		{"heard, not answering yet", 89, func(in *AgeInput) { in.Unanswered, in.LastSeen = at(0), at(88) }, "", false},
		{"silent before a suspension: it ends no sooner for it", 1, func(in *AgeInput) { in.LastSeen, in.ServedSince, in.Was = at(-5000), at(0), plan.ReasonBaseSilent }, plan.ReasonBaseSilent, false},
		{"silent before a suspension: it ends in the rest of its time", 559, func(in *AgeInput) { in.LastSeen, in.ServedSince, in.Was = at(-900), at(0), plan.ReasonBaseSilent }, plan.ReasonBaseSilent, false},
		{"silent before a suspension, then gone", 560, func(in *AgeInput) { in.LastSeen, in.ServedSince, in.Was = at(-900), at(0), plan.ReasonBaseSilent }, plan.ReasonBaseSilent, true},
		{"its Pod is being deleted", 1, func(in *AgeInput) { in.Workload = plan.WorkloadEnds }, plan.ReasonBasePodDeleted, false},
		{"its Pod is being deleted: silent", 599, func(in *AgeInput) { in.Workload = plan.WorkloadEnds }, plan.ReasonBasePodDeleted, false},
		{"its Pod is being deleted: silent for too long", 600, func(in *AgeInput) { in.Workload = plan.WorkloadEnds }, plan.ReasonBasePodDeleted, true},
		{"its Pod is gone", 39, func(in *AgeInput) { in.Workload = plan.WorkloadEnded }, plan.ReasonBasePodDeleted, false},
		{"its Pod is gone, and so is it", 40, func(in *AgeInput) { in.Workload = plan.WorkloadEnded }, plan.ReasonBasePodDeleted, true},
		{"its Pod is gone, and something answers", 60, func(in *AgeInput) { in.Workload, in.Heard = plan.WorkloadEnded, at(21) }, plan.ReasonBasePodDeleted, false},
		{"its Pod is gone, and something answers for too long", 600, func(in *AgeInput) { in.Workload, in.Heard = plan.WorkloadEnded, at(599) }, plan.ReasonBasePodDeleted, true},
		{"its Pod is gone: taken over", 39, func(in *AgeInput) {
			in.Workload, in.LastSeen, in.Heard, in.ServedSince, in.Was = plan.WorkloadEnded, time.Time{}, time.Time{}, at(0), plan.ReasonBasePodDeleted
		}, plan.ReasonBasePodDeleted, false},
		{"its Pod is gone: taken over, and silent", 40, func(in *AgeInput) {
			in.Workload, in.LastSeen, in.Heard, in.ServedSince, in.Was = plan.WorkloadEnded, time.Time{}, time.Time{}, at(0), plan.ReasonBasePodDeleted
		}, plan.ReasonBasePodDeleted, true},
		{"its Pod is gone, our link is down", 9999, func(in *AgeInput) { in.Workload, in.Link.Up = plan.WorkloadEnded, false }, plan.ReasonBasePodDeleted, false},
		{"its Pod was gone, and is not known yet", 1, func(in *AgeInput) {
			in.LastSeen, in.ServedSince, in.Was = time.Time{}, at(0), plan.ReasonBasePodDeleted
		}, plan.ReasonBaseSilent, false},
		{"its Pod was gone, and it is heard", 1, func(in *AgeInput) { in.LastSeen, in.ServedSince, in.Was = at(1), at(0), plan.ReasonBasePodDeleted }, "", false},
		{"two of them", 1, func(in *AgeInput) { in.Conflict = "two" }, plan.ReasonIdentityConflict, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := base
			in.Now = at(c.now)
			if c.change != nil {
				c.change(&in)
			}
			in.Heard = later(in.Heard, in.LastSeen)
			got := AgeOf(in)
			if got.NotReady != c.want || (got.Stage == Expired) != c.gone {
				t.Errorf("AgeOf = %q gone %v, want %q gone %v", got.NotReady, got.Stage == Expired, c.want, c.gone)
			}
			if next := earliest(got.Next, got.Silent); !next.IsZero() && !next.After(in.Now) {
				t.Errorf("the next change %s is not after now", next.Sub(in.Now))
			}
		})
	}
}
