//go:build scale

package scale

import (
	"fmt"
	"testing"
	"time"

	"module-controller/e2e/scenario"
)

// TestScaleFailover measures how long it takes until all bases of a replica that was
// killed are owned by others, with the dead replica's last will and without it.
func TestScaleFailover(t *testing.T) {
	bases := scaleOf(t, 300)
	for suspected, within := range map[bool]time.Duration{true: 4 * time.Second, false: 12 * time.Second} {
		t.Run(fmt.Sprintf("suspected=%v", suspected), func(t *testing.T) {
			w := cluster.NewFleet(t, 3, bases)
			check := w.Undisturbed(bases)
			victim := w.Incarnation(1)
			owned := w.Shares()["module-controller-1"]
			ended := func() {}
			if !suspected {
				ended = w.Recorder.Fault("broker dead", "")
				w.Must(w.Broker.Kill()) // there is no last will then
			}
			w.Recorder.Fault("kill", victim)()
			w.Must(w.Replicas[1].Kill())
			took := w.AwaitOwned(30*time.Second, bases, victim)
			t.Logf("%d of %d bases: all owned by others %s after kill -9", owned, bases, took.Round(time.Millisecond))
			if took > within {
				t.Errorf("that is later than %s", within)
			}
			if !suspected {
				w.StartBroker()
			}
			ended()
			check()
		})
	}
}

// TestScaleReplicas is what it takes to scale, with 300 bases.
func TestScaleReplicas(t *testing.T) { scenario.Scaling(t, &cluster, scaleOf(t, 300)) }

// TestScaleHTTP has 200 bases whose heartbeats reach any replica, and kills one.
func TestScaleHTTP(t *testing.T) { scenario.HTTPFailover(t, &cluster, scaleOf(t, 200)) }

// TestScaleOutage has the API away for a minute, longer than a Node may be silent.
func TestScaleOutage(t *testing.T) { scenario.APIOutage(t, &cluster, time.Minute) }
