package suite

import (
	"fmt"
	"testing"
	"time"

	"module-controller/e2e/history"
	"module-controller/e2e/scenario"
	"module-controller/e2e/world"
)

func TestAKilledReplicasBasesAreTakenOver(t *testing.T) {
	const bases = 60
	w := cluster.NewFleet(t, 3, bases)
	check := w.Undisturbed(bases)
	if n := len(w.Shares()); n != 3 {
		t.Fatalf("%d replicas own bases: %v", n, w.Shares())
	}
	victim := w.Incarnation(1)
	w.Recorder.Fault("kill", victim)()
	w.Must(w.Replicas[1].Kill())
	took := w.AwaitOwned(12*time.Second, bases, victim)
	t.Logf("all bases of %s were claimed %s after it was killed", victim, took.Round(time.Millisecond))
	check()
	w.Must(w.Replicas[1].Start(t.Context()))
	w.CreatePod("after", "base-0007", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("after")
}

func TestARollingRestartIsNotNoticed(t *testing.T) {
	const bases = 60
	w := cluster.NewFleet(t, 3, bases)
	check := w.Undisturbed(bases)
	before := w.Owners()
	for i := 2; i >= 0; i-- {
		gone := w.Incarnation(i)
		w.Stop(i)
		w.AwaitOwned(time.Second, bases, gone)
		w.Must(w.Replicas[i].Start(t.Context()))
	}
	w.AwaitBalanced(3, bases)
	w.CheckMoves(2, before)
	check()
}

func TestHTTPBasesAmongReplicas(t *testing.T) { scenario.HTTPFailover(t, &cluster, 60) }

func TestScalingSharesTheBases(t *testing.T) { scenario.Scaling(t, &cluster, 100) }

// A killed replica that is back after it was expired, and before others have claimed its
// bases, owns them again as soon as others would have.
func TestAReplicaThatIsBackOnceItWasExpired(t *testing.T) {
	t.Parallel()
	const bases = 30
	w := cluster.NewFleet(t, 3, bases)
	r := w.Record()
	victim := w.Incarnation(0)
	r.Fault("kill", victim)()
	w.Must(w.Replicas[0].Kill())
	w.Eventually(history.Takeover, func() error {
		if w.LogLines(1, `"member expired"`, victim)+w.LogLines(2, `"member expired"`, victim) == 0 {
			return fmt.Errorf("%s was not expired", victim)
		}
		return nil
	})
	w.Must(w.Replicas[0].Start(t.Context()))
	w.AwaitOwned(20*time.Second, bases, victim)
	w.AwaitListed()
	w.Log(r.KeptRules())
}
