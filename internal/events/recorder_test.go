package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	_ "module-controller/internal/oneproc" // tests in bubbles
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeTime is how long one write takes.
const writeTime = 5 * time.Millisecond

// world is a recorder, and the API server that it writes to.
type world struct {
	*Recorder

	mu sync.Mutex
	// mu guards what follows
	written []*corev1.Event // in the order in which they arrived
	patched int             // how many changed an Event
	dropped map[string]int  // by reason
	// fails gives why a write to a namespace fails; it may wait. Nil: none does.
	fails func(namespace string) error
}

func (w *world) EventsDropped(reason string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped[reason] += n
}

func newWorld() *world {
	w := &world{dropped: map[string]int{}}
	w.Recorder = New(Config{Source: corev1.EventSource{Component: "c", Host: "h"}, Sink: w, Meter: w, Log: zap.NewNop()})
	return w
}

// recording makes a recorder and runs it until the test ends. It must be called in a
// bubble.
func recording(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	ctx, end := context.WithCancel(t.Context())
	var run sync.WaitGroup
	t.Cleanup(func() {
		end()
		run.Wait()
	})
	run.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return w
}

// Create implements Sink.
func (w *world) Create(_ context.Context, e *corev1.Event) (*corev1.Event, error) {
	if err := w.take(e); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = append(w.written, e)
	return e, nil
}

// Patch implements Sink.
func (w *world) Patch(_ context.Context, e *corev1.Event, _ []byte) (*corev1.Event, error) {
	if err := w.take(e); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.patched++
	return e, nil
}

// take has a write arrive.
func (w *world) take(e *corev1.Event) error {
	<-time.After(writeTime)
	w.mu.Lock()
	fails := w.fails
	w.mu.Unlock()
	if fails == nil {
		return nil
	}
	return fails(e.Namespace)
}

func (w *world) failing(why func(namespace string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = why
}

// arrived gives the messages that arrived, in their order.
func (w *world) arrived() (messages []string) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.written {
		messages = append(messages, e.Message)
	}
	return messages
}

func (w *world) lost(reason string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped[reason]
}

// podOn is a pod on a Node.
func podOn(node, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "of-" + node, Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: node}}
}

// floods has n pods of a Node tell something.
func (w *world) floods(node string, n int) {
	for i := range n {
		w.Event(podOn(node, fmt.Sprint("flood-", i)), corev1.EventTypeWarning, "InstallFailed", "flood")
	}
}

// installs has n pods of a Node told of.
func (w *world) installs(node string, n int) {
	for i := range n {
		w.Eventf(podOn(node, fmt.Sprintf("%s-%d", node, i)), corev1.EventTypeNormal, "Installed", "%s %04d", node, i)
	}
}

// count counts the messages that begin so.
func count(messages []string, begin string) (n int) {
	for _, m := range messages {
		if len(m) >= len(begin) && m[:len(begin)] == begin {
			n++
		}
	}
	return n
}

// Each of a thousand pods is told of, on one Node or on many, also beside Nodes that tell
// more than can be written.
func TestABurstIsWritten(t *testing.T) {
	for name, c := range map[string]struct{ nodes, each, floods int }{
		"one Node":                  {1, 1000, 0},
		"a hundred Nodes":           {100, 10, 0},
		"three thousand":            {100, 30, 0},
		"beside one that floods":    {100, 10, 1},
		"beside many that flood":    {100, 10, 3},
		"a Node beside many floods": {1, 700, 9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := recording(t)
				for i := range c.floods {
					w.floods(fmt.Sprint("noisy-", i), 3000)
				}
				for i := range c.nodes {
					w.installs(fmt.Sprint("node-", i), c.each)
				}
				<-time.After(time.Minute)
				all := w.arrived()
				if n := count(all, "node-"); n != c.nodes*c.each {
					t.Errorf("%d of %d arrived", n, c.nodes*c.each)
				}
				total := c.nodes*c.each + c.floods*3000
				if lost := w.lost(droppedFull); len(all)+lost != total {
					t.Errorf("%d arrived and %d were dropped of %d", len(all), lost, total)
				}
			})
		})
	}
}

// A Node that floods delays no other: theirs are written in turn.
func TestAFloodDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		w.floods("noisy", 2000)
		w.installs("node", 1)
		<-time.After(3 * writeTime)
		if n := count(w.arrived(), "node"); n != 1 {
			t.Errorf("%d arrived, want 1", n)
		}
	})
}

// Those of one Node keep their order.
func TestTheOrderIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		w.installs("node", 100)
		<-time.After(time.Minute)
		if all := w.arrived(); len(all) != 100 || !slices.IsSorted(all) {
			t.Errorf("arrived: %q", all)
		}
	})
}

// What was told before Run is written too.
func TestWhatWasToldBeforeIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installs("node", 3)
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if all := w.arrived(); len(all) != 3 {
			t.Errorf("arrived: %q", all)
		}
	})
}

// An outage of the API server loses none that fits; one that lasts loses them one by one,
// and counts them.
func TestAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		for name, away := range map[string]error{
			"not there": errors.New("dial: refused"), "overloaded": apierrors.NewTooManyRequests("later", 1), "broken": apierrors.NewInternalError(errors.New("etcd")),
		} {
			w.failing(func(string) error { return away })
			w.installs(name, 10)
			<-time.After(time.Minute)
			if n := count(w.arrived(), name); n != 0 {
				t.Fatalf("%s: %d arrived", name, n)
			}
			w.failing(nil)
			<-time.After(time.Minute)
			if n := count(w.arrived(), name); n != 10 {
				t.Errorf("%s: %d of 10 arrived", name, n)
			}
		}
		w.failing(func(string) error { return errors.New("dial: refused") })
		w.installs("lost", 1)
		<-time.After(5 * time.Minute)
		if n := w.lost(droppedUnsent); n != 1 {
			t.Errorf("%d were counted as lost, want 1", n)
		}
	})
}

// One that the API server refuses is not sent again.
func TestARefusedEventIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		tries := 0
		w.failing(func(string) error {
			tries++
			return apierrors.NewForbidden(corev1.Resource("events"), "", errors.New("the namespace ends"))
		})
		w.installs("node", 1)
		<-time.After(time.Minute)
		if tries != 1 || w.lost(droppedRefused) != 1 {
			t.Errorf("it was tried %d times, counted %d times", tries, w.lost(droppedRefused))
		}
	})
}

// A namespace whose writes hang holds up the Nodes with its pods only.
func TestWritesThatHangHoldUpOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		w.failing(func(namespace string) error {
			if namespace != "of-slow" {
				return nil
			}
			<-time.After(writeTimeout)
			return context.DeadlineExceeded
		})
		w.installs("slow", 100)
		w.installs("node", 100)
		<-time.After(2 * time.Second)
		if n := count(w.arrived(), "node"); n != 100 {
			t.Errorf("%d of 100 arrived", n)
		}
	})
}

// Who tells the same again changes its Event, and is not heard where it does so all the
// time.
func TestTheSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		for range 100 {
			w.Event(&corev1.ObjectReference{Kind: "Node", Name: "node", UID: "node"}, corev1.EventTypeWarning, "BaseSilent", "no heartbeat")
		}
		<-time.After(time.Minute)
		if all := w.arrived(); len(all) != 1 || w.patched != 24 || w.lost(droppedRepeated) != 75 {
			t.Errorf("%d were made, %d changed, %d counted as dropped", len(all), w.patched, w.lost(droppedRepeated))
		}
	})
}

// An Event says what it is about and who tells it, and stands in the object's namespace.
func TestWhatAnEventSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := recording(t)
		w.AnnotatedEventf(podOn("node", "p"), map[string]string{"k": "v"}, corev1.EventTypeNormal, "Installed", "orders:%d", 1)
		w.Event(&corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: "node", UID: "node"}, corev1.EventTypeWarning, "BaseSilent", "no heartbeat")
		w.Event(&metav1.PartialObjectMetadata{}, corev1.EventTypeWarning, "Nothing", "about nothing")
		<-time.After(time.Minute)
		w.arrived()
		wants := map[string]string{"of-node": "Pod p Normal Installed orders:1 v", "default": "Node node Warning BaseSilent no heartbeat "}
		if len(w.written) != len(wants) {
			t.Fatalf("%d are written, want %d", len(w.written), len(wants))
		}
		for _, e := range w.written {
			if got := fmt.Sprint(e.InvolvedObject.Kind, " ", e.InvolvedObject.Name, " ", e.Type, " ", e.Reason, " ", e.Message, " ", e.Annotations["k"]); got != wants[e.Namespace] {
				t.Errorf("it says %q, want %q", got, wants[e.Namespace])
			}
			if e.Source.Component != "c" || e.ReportingController != "c" || e.ReportingInstance != "h" || e.Count != 1 || e.FirstTimestamp.IsZero() {
				t.Errorf("told by %+v", e)
			}
		}
	})
}
