package lifecycle

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// randomAge gives anything that can be known of a base, by times that are apart by less
// than, about, and more than the limits.
func randomAge(r *rand.Rand) AgeInput {
	past := func() time.Time {
		limits := []time.Duration{time.Second, 40 * time.Second, 90 * time.Second, 150 * time.Second, 10 * time.Minute, time.Hour}
		d := limits[r.IntN(len(limits))] + time.Duration(r.IntN(5)-2)*time.Second
		return noon.Add(-max(d, 0))
	}
	maybe := func() time.Time {
		if r.IntN(3) == 0 {
			return time.Time{}
		}
		return past()
	}
	in := AgeInput{
		Now: noon, LastSeen: maybe(), Heard: maybe(), Workload: plan.Workload(r.IntN(4)), ServedSince: past(), Unanswered: maybe(),
		Link:   tunnel.Link{Up: r.IntN(4) > 0, Since: past()},
		Was:    []string{"", plan.ReasonBaseSilent, plan.ReasonBaseNotAnswering, plan.ReasonIdentityConflict, plan.ReasonBasePodDeleted}[r.IntN(5)],
		Config: Config{}.Complete(),
	}
	if r.IntN(3) > 0 {
		in.Workload = plan.WorkloadRuns
	}
	in.Heard = later(in.Heard, in.LastSeen)
	if r.IntN(8) == 0 {
		in.Conflict = "two"
	}
	return in
}

const ages = 50_000

// What holds of each age by itself.
func TestWhateverIsKnownAnAgeIsWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	stages := map[Stage]int{}
	for range ages {
		in := randomAge(r)
		age := AgeOf(in)
		stages[age.Stage]++
		bad := ""
		switch {
		case age.Stage == Expired && !in.Link.Up:
			bad = "it expires while nobody can be heard"
		case age.Stage == Expired && in.Conflict != "":
			bad = "it expires, and two are heard"
		case age.Abandoned && (in.Workload != plan.WorkloadEnded || in.Now.Sub(in.Heard) < in.Config.StaleAfter || in.Now.Sub(in.ServedSince) < in.Config.StaleAfter):
			bad = "it is given up although it may live"
		case in.Workload >= plan.WorkloadEnds && in.Conflict == "" && age.NotReady != plan.ReasonBasePodDeleted:
			bad = "its Pod is deleted, and its Node does not say so"
		case age.Stage > Fresh && age.NotReady != plan.ReasonBaseSilent && in.Workload < plan.WorkloadEnds:
			bad = "it is silent for another reason"
		case age.NotReady == plan.ReasonBaseNotAnswering && in.Link.Up && in.Unanswered.IsZero():
			bad = "it owes no answer"
		case !age.Next.IsZero() && !age.Next.After(in.Now), !age.Silent.IsZero() && !age.Silent.After(in.Now):
			bad = "it changes before now"
		case age.Stage < Expired && earliest(age.Next, age.Silent).IsZero() && in.Link.Up && in.Conflict == "":
			bad = "its silence has no end"
		case age.NotReady == "" && in.Link.Up && !in.Unanswered.IsZero() && (age.Next.IsZero() || age.Next.After(in.answerDue())):
			bad = "whatever is heard of it, what it owes has no end"
		case age.Message == "":
			bad = "nothing explains it"
		}
		if bad != "" {
			t.Fatalf("%s:\n%+v\n%+v", bad, in, age)
		}
	}
	if len(stages) < 3 {
		t.Errorf("some stages were never met: %v", stages)
	}
}

// The longer nothing is heard, the older it is. What is foretold of a base that was
// heard since it is served comes about then and not before.
func TestALongerSilenceIsNeverFresher(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range ages {
		in := randomAge(r)
		age := AgeOf(in)
		later := in
		later.Now, later.Was = in.Now.Add(time.Duration(r.IntN(900))*time.Second), age.NotReady
		if got := AgeOf(later); got.Stage < age.Stage {
			t.Fatalf("%s later it is fresher:\n%+v\n%+v\n%+v", later.Now.Sub(in.Now), in, age, got)
		}
		next := earliest(age.Next, age.Silent)
		if next.IsZero() || !in.LastSeen.After(in.ServedSince) {
			continue
		}
		later.Now = next.Add(-1)
		if got := AgeOf(later); got.Stage != age.Stage || got.NotReady != age.NotReady {
			t.Fatalf("it changes before it was to:\n%+v\n%+v\n%+v", in, age, got)
		}
		later.Now = next
		if got := AgeOf(later); got.Stage == age.Stage && got.NotReady == age.NotReady {
			t.Fatalf("it does not change when it was to:\n%+v\n%+v\n%+v", in, age, got)
		}
	}
}

// A message that is heard over our link makes it fresh; an answer, ready too.
func TestAMessageMakesItFresh(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range ages {
		in := randomAge(r)
		in.Conflict, in.Link.Up, in.Workload = "", true, plan.WorkloadRuns
		in.LastSeen = in.Now
		if !in.Link.Since.Before(in.Now) {
			continue
		}
		age := AgeOf(in)
		if age.Stage != Fresh || !slices.Contains([]string{"", plan.ReasonBaseNotAnswering}, age.NotReady) {
			t.Fatalf("it was heard now:\n%+v\n%+v", in, age)
		}
		in.Unanswered = time.Time{}
		if age := AgeOf(in); age.NotReady != "" {
			t.Fatalf("it answered now:\n%+v\n%+v", in, age)
		}
	}
}
