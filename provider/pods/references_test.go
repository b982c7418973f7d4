package pods

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// counting is an API server in memory that counts how often Secrets are read.
func counting(objects ...runtime.Object) (*fake.Clientset, *atomic.Int64) {
	client, reads := fake.NewClientset(objects...), new(atomic.Int64)
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		reads.Add(1)
		return false, nil, nil
	})
	return client, reads
}

func secretNamed(name, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string][]byte{"k": []byte(value)}}
}

func refTo(name string) reference { return reference{kindSecret, "default", name} }

// One read serves all pods that were known before it was sent, for a while, and none that
// came after it: what was changed before a pod was made is what the pod gets.
func TestAReadServesThePodsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, reads := counting(secretNamed("s", "old"))
		r := newReader(client, 4)
		gets := func(since time.Time, want string, after int64) {
			t.Helper()
			got, again := r.get(t.Context(), refTo("s"), since)
			if again > 0 || got.values["k"] != want || reads.Load() != after {
				t.Errorf("got %v after %d reads, again in %s, want %q after %d", got, reads.Load(), again, want, after)
			}
		}
		start := time.Now()
		gets(start, "old", 1)
		gets(start, "old", 1)
		<-time.After(time.Second)
		_, err := client.CoreV1().Secrets("default").Update(t.Context(), secretNamed("s", "new"), metav1.UpdateOptions{})
		must(t, err)
		gets(start, "old", 1)
		gets(time.Now(), "new", 2)
		gets(start, "new", 2)
		<-time.After(valuesKept)
		gets(start, "new", 3)
		<-time.After(2 * valuesKept)
		gets(time.Now(), "new", 4)
		r.get(t.Context(), refTo("other"), time.Now())
		<-time.After(2 * valuesKept)
		gets(time.Now(), "new", 6)
		if len(r.readings) != 1 {
			t.Errorf("%d readings are kept", len(r.readings))
		}
	})
}

// What is missing is asked for once a second, however many pods wait for it.
func TestWhatIsMissingIsAskedForNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, reads := counting()
		r := newReader(client, 4)
		start := time.Now()
		for range 100 {
			if got, _ := r.get(t.Context(), refTo("s"), start); got.err == nil {
				t.Errorf("got %v", got)
			}
		}
		if reads.Load() != 1 {
			t.Errorf("%d reads", reads.Load())
		}
		<-time.After(errorsKept)
		if r.get(t.Context(), refTo("s"), start); reads.Load() != 2 {
			t.Errorf("%d reads a second later", reads.Load())
		}
	})
}

// A replica that takes thousands of pods over reads what they refer to at a rate, and each
// pod comes back once, when it is its turn.
func TestReadsHaveARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pods = 1000
		client, reads := counting()
		r := newReader(client, 4)
		start := time.Now()
		asked := 0
		var last time.Duration
		waits := map[int]time.Duration{}
		for i := range pods {
			waits[i] = 0
		}
		for len(waits) > 0 {
			soonest := time.Hour
			for i, at := range waits {
				if at > time.Since(start) {
					soonest = min(soonest, at)
					continue
				}
				asked++
				_, again := r.gather(t.Context(), []reference{refTo(fmt.Sprint(i)), refTo(fmt.Sprint("x", i))}, start)
				if again == 0 {
					last = time.Since(start)
					delete(waits, i)
					continue
				}
				waits[i] = time.Since(start) + again
				soonest = min(soonest, waits[i])
			}
			<-time.After(max(soonest-time.Since(start), 0))
		}
		least := time.Duration(2*pods-readRate) * time.Second / readRate
		if last < least || last > least+time.Second || reads.Load() != 2*pods || asked > 2*pods {
			t.Errorf("read %d in %s, want at least %s; asked %d times", reads.Load(), last, least, asked)
		}
	})
}

// A read that hangs is waited for by nobody else, is given up, and leaves room for others.
func TestAReadThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		client := hooked{fake.NewClientset(secretNamed("s", "v")), func(_ context.Context, name string) {
			if name != "s" {
				<-hangs
			}
		}}
		r := newReader(client, 4) // two reads at once
		start := time.Now()
		go r.get(t.Context(), refTo("hangs"), start)
		synctest.Wait()
		if _, again := r.get(t.Context(), refTo("hangs"), start); again != readPause {
			t.Errorf("for what is being read: again in %s", again)
		}
		if got, again := r.get(t.Context(), refTo("s"), start); again > 0 || got.values["k"] != "v" {
			t.Errorf("for another: %v, again in %s", got, again)
		}
		go r.get(t.Context(), refTo("hangs too"), start)
		synctest.Wait()
		if _, again := r.get(t.Context(), refTo("third"), start); again != readPause {
			t.Errorf("while no more may be read: again in %s", again)
		}
		<-time.After(3 * time.Second)
		if _, again := r.get(t.Context(), refTo("hangs"), start); again != 3*time.Second {
			t.Errorf("for what takes long: again in %s", again)
		}
		close(hangs)
		synctest.Wait()
	})
}

// A read has a timeout.
func TestAReadHasATimeout(t *testing.T) {
	before, count := within(t, readTimeout)
	r := newReader(hooked{fake.NewClientset(), before}, 1)
	for _, kind := range []string{kindSecret, kindConfigMap} {
		if s := r.fetch(t.Context(), reference{kind, "default", "x"}); s.err == nil {
			t.Errorf("%s: %v", kind, s)
		}
	}
	if *count != 2 {
		t.Errorf("%d reads", *count)
	}
}
