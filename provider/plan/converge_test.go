package plan

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"module-controller/tunnel"
)

var minutes = flag.Int("minutes", 0, "how long TestEverythingConverges goes on")

// Whatever happens, no pod that serves loses its place to one that cannot start, and once
// it stops happening the base and the pods agree, no command overlapped another for its
// module, and nothing is done any more.
func TestEverythingConverges(t *testing.T) {
	for end := time.Now().Add(time.Duration(*minutes) * time.Minute); ; {
		rapid.Check(t, func(t *rapid.T) {
			w := newWalk(t)
			for range rapid.IntRange(1, 12).Draw(t, "events") {
				w.event(t)
				w.rounds(t, rapid.IntRange(0, 6).Draw(t, "rounds"))
			}
			w.calm()
			w.rounds(t, 400)
			if w.overlaps > 0 {
				t.Fatalf("%d commands overlapped: %v", w.overlaps, w.log)
			}
			w.converged(t)
		})
		if t.Failed() || time.Now().After(end) {
			return
		}
	}
}

// walk is a sim to which things happen.
type walk struct {
	*sim
	made      int
	revisions map[string]int          // the last number of each workload
	shaken    time.Time               // when the base was restarted, or a workload rolled back, last
	changed   map[types.UID]bool      // whose image was
	left      map[types.UID]time.Time // when pods began to leave
	lists     [][]tunnel.Module       // the last ones: a command may have left by any of them
	toggled   map[types.UID]time.Time // when it changed whether they can be read
}

func newWalk(t *rapid.T) *walk {
	w := &walk{sim: newSim(rapid.SampledFrom([]tunnel.Features{overHTTP, overMQTT}).Draw(t, "features")), revisions: map[string]int{}, changed: map[types.UID]bool{}, left: map[types.UID]time.Time{}, toggled: map[types.UID]time.Time{}}
	w.bare = true
	w.plain, w.keepsFailed, w.lateLists = rapid.Bool().Draw(t, "plain"), rapid.Bool().Draw(t, "keepsFailed"), rapid.Bool().Draw(t, "lateLists")
	return w
}

// anyPod draws a pod; nil where there is none.
func (w *walk) anyPod(t *rapid.T) *corev1.Pod {
	if len(w.pods) == 0 {
		return nil
	}
	return w.pods[rapid.IntRange(0, len(w.pods)-1).Draw(t, "pod")]
}

func (w *walk) event(t *rapid.T) {
	what := rapid.IntRange(0, 15).Draw(t, "event")
	pod := w.anyPod(t)
	switch {
	case what <= 3, pod == nil:
		w.create(t)
	case what == 4:
		w.delete(pod.Name)
		w.left[pod.UID] = w.now
	case what == 5:
		w.gone[pod.UID] = true
		w.left[pod.UID] = w.now
	case what == 6:
		w.restart()
		w.shaken = w.now
	case what == 7:
		w.loseAnswers = !w.loseAnswers
	case what == 8:
		w.loseCommands = !w.loseCommands
	case what == 9: // an image is changed in place
		url := pod.Spec.Containers[0].Image + "?again"
		w.jars[url] = w.jars[pod.Spec.Containers[0].Image]
		pod.Spec.Containers[0].Image = url
		w.changed[pod.UID] = true
	case what == 10:
		w.keepsAll = rapid.SampledFrom([]string{"", "-", "files are held"}).Draw(t, "keeps")
	case what == 11: // a rollback
		if of := pod.Annotations["workload"]; of != "" {
			w.revisions[of]++
			w.shaken = w.now
			for _, p := range w.pods {
				if p.OwnerReferences != nil && p.OwnerReferences[0].UID == pod.OwnerReferences[0].UID {
					own(p, of, w.revisions[of])
				}
			}
		}
	case what == 12:
		at := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "slow")
		url := urlOf(at, fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "version")))
		w.slow[url], w.hangs[url] = time.Duration(rapid.IntRange(0, 300).Draw(t, "takes"))*time.Second, rapid.IntRange(0, 3).Draw(t, "hangs") == 0
	case what == 13: // it starts, and does not serve; or it does again
		key := module(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "of") + ":" + fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "version")))
		w.unservable[key] = rapid.SampledFrom([]string{"", "port is taken"}).Draw(t, "unservable")
	case what == 14:
		w.unresolved[pod.UID], w.toggled[pod.UID] = !w.unresolved[pod.UID], w.now
	case what == 15:
		w.unready[pod.UID] = !w.unready[pod.UID]
	}
}

// create makes a pod of one to three modules, perhaps the next revision of a workload.
func (w *walk) create(t *rapid.T) {
	w.made++
	names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "modules")]
	from := rapid.IntRange(0, 2).Draw(t, "first")
	var pod *corev1.Pod
	for i := range names {
		name, version := []string{"a", "b", "c"}[(i+from)%3], fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "version"))
		url := urlOf(name, version)
		switch rapid.IntRange(0, 9).Draw(t, "jar") {
		case 0:
			url = urlOf(name, "x")
			w.jar(url, name, "x", "")
		case 1:
			url += "?broken"
			w.jar(url, name, version, "no stock today")
		}
		if pod == nil {
			pod = w.pod(fmt.Sprintf("p%d", w.made), name, version, url)
			continue
		}
		w.with(pod, name, version)
		pod.Spec.Containers[i].Image = url
	}
	if rapid.IntRange(0, 3).Draw(t, "probed") == 0 {
		pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{}
	}
	of := rapid.SampledFrom([]string{"", "v", "w"}).Draw(t, "workload")
	if of == "" { // the bare pods of a namespace are one workload
		pod.Namespace = pod.Name
		return
	}
	w.revisions[of]++
	own(pod, of, w.revisions[of])
}

// calm ends all faults.
func (w *walk) calm() {
	w.loseAnswers, w.loseCommands, w.lateLists, w.keepsAll = false, false, false, ""
	clear(w.slow)
	clear(w.hangs)
	clear(w.unservable)
	clear(w.unresolved)
	clear(w.unready)
	w.restart()
	w.shaken = w.now
}

// rounds plans n times, and sees that whoever turns unready was replaced by a whole pod.
func (w *walk) rounds(t *rapid.T, n int) {
	for range n {
		before := map[types.UID]bool{}
		for _, p := range w.pods {
			before[p.UID] = w.isReady(p.Name)
		}
		w.lists = append(w.lists[max(0, len(w.lists)-4):], w.in.Seen.Modules)
		pods := slices.Clone(w.pods)
		w.round()
		w.aloneInTheirNames(t)
		for _, p := range w.pods {
			if before[p.UID] && !w.isReady(p.Name) && !w.excused(p, pods) {
				t.Fatalf("%s turned unready; commands %v\n%s\nlisted %v", p.Name, w.log, w.tell(), w.lists)
			}
		}
	}
}

// aloneInTheirNames sees that no two pods show that they run a module of one name.
func (w *walk) aloneInTheirNames(t *rapid.T) {
	shown := map[string]string{}
	for _, p := range w.pods {
		if p.DeletionTimestamp != nil || w.gone[p.UID] {
			continue
		}
		for _, c := range p.Status.ContainerStatuses {
			if other, twice := shown[c.Name]; twice && runs(c) {
				t.Fatalf("%s and %s show both that they run %s; commands %v\n%s", other, p.Name, c.Name, w.log, w.tell())
			}
			if runs(c) {
				shown[c.Name] = p.Name
			}
		}
	}
}

// excused says of a pod that turned unready that it terminates, or that something was done
// to it or the base, or that its successor takes over.
func (w *walk) excused(p *corev1.Pod, pods []*corev1.Pod) bool {
	switch {
	case p.DeletionTimestamp != nil, w.gone[p.UID], w.changed[p.UID], w.unready[p.UID], w.justNow(w.shaken):
		return true
	}
	return slices.ContainsFunc(pods, func(q *corev1.Pod) bool {
		return w.succeeds(q, p) && slices.ContainsFunc(w.lists, func(l []tunnel.Module) bool { return startedAll(q, l) })
	})
}

// hasLeft says of a pod that it was deleted, so long ago that nothing is done for it any more.
func (w *walk) hasLeft(p *corev1.Pod) bool {
	at, left := w.left[p.UID]
	return left && !w.justNow(at)
}

// justNow says of a time that what was sent before may still show.
func (w *walk) justNow(at time.Time) bool { return w.now.Sub(at) < 10*time.Second }

// succeeds says of a pod whether it may take the place of another one: it is of a later
// revision of the same workload, nothing keeps it from being installed, and each of its
// names is its own.
func (w *walk) succeeds(q, p *corev1.Pod) bool {
	if !later(q, p) || !share(p, q) || w.hasLeft(q) || w.unresolved[q.UID] && !w.justNow(w.toggled[q.UID]) {
		return false
	}
	return !slices.ContainsFunc(w.pods, func(r *corev1.Pod) bool {
		_, leaves := w.left[r.UID]
		return r != q && !leaves && !w.justNow(r.CreationTimestamp.Time) && (later(r, q) && share(r, q) && !w.unresolved[r.UID] || stranger(r, q) && has(r, q))
	})
}

// later says whether a pod is of a later revision of another one's workload.
func later(q, p *corev1.Pod) bool { return !stranger(q, p) && number(q) > number(p) }

// stranger says whether a pod is of another workload.
func stranger(q, p *corev1.Pod) bool {
	of := q.Annotations["workload"]
	return of == "" || of != p.Annotations["workload"]
}

// has says whether a pod shows that it runs a module whose name another one wants too.
func has(r, q *corev1.Pod) bool {
	return slices.ContainsFunc(q.Spec.Containers, func(c corev1.Container) bool { return running(statusOf(r, c.Name)) })
}

// startedAll says whether all modules of a pod have started.
func startedAll(q *corev1.Pod, listed []tunnel.Module) bool {
	return !slices.ContainsFunc(Wanted(q), func(key tunnel.ModuleKey) bool {
		return !slices.ContainsFunc(listed, func(m tunnel.Module) bool { return m.ModuleKey == key && presenceOf(m.State).started() })
	})
}

// share says whether two pods want a module name both.
func share(p, q *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(q.Spec.Containers, func(d corev1.Container) bool { return c.Name == d.Name })
	})
}

// starts says whether all jars of a pod are what it asks for, and start.
func (w *walk) starts(p *corev1.Pod) bool {
	for i, c := range p.Spec.Containers {
		if jar := w.jars[c.Image]; jar.key != Wanted(p)[i] || jar.fail != "" {
			return false
		}
	}
	return true
}

func (w *walk) converged(t *rapid.T) {
	done := len(w.log)
	w.rounds(t, 20)
	// Back-offs of what cannot start may end in these rounds; nothing else may happen.
	if extra := len(w.log) - done; extra > 8 {
		t.Fatalf("%d commands after everything stopped: %v\n%s", extra, w.log[done:], w.tell())
	}
	serves := strings.Fields(w.serving())
	for _, p := range w.pods {
		if p.DeletionTimestamp != nil || w.gone[p.UID] {
			t.Fatalf("pod %s is terminating and not gone; commands %v", p.Name, w.log)
		}
		for i, c := range p.Status.ContainerStatuses {
			if key := Wanted(p)[i].String(); c.Ready && !slices.Contains(serves, key) {
				t.Fatalf("pod %s shows that %s serves, and %v do", p.Name, key, serves)
			}
		}
		if w.alone(p) && w.starts(p) && !w.isReady(p.Name) {
			t.Fatalf("nothing is in the way of %s, and it shows %v; commands %v", p.Name, p.Status.ContainerStatuses, w.log)
		}
	}
	for _, m := range w.modules {
		if !w.wanted(m.ModuleKey) && w.in.Memory.Installed[m.ModuleKey] {
			t.Fatalf("%s is installed, ours and wanted by nobody; commands %v", m.ModuleKey, w.log)
		}
	}
}

// tell tells the pods in words: whose they are, what they want and what they show.
func (w *walk) tell() string {
	var lines []string
	for _, p := range w.pods {
		line := fmt.Sprintf("%s of %s/%d:", p.Name, p.Annotations["workload"], number(p))
		for i, c := range p.Spec.Containers {
			shows := "nothing"
			if len(p.Status.ContainerStatuses) > i {
				shows = waitsFor(&p.Status.ContainerStatuses[i])
			}
			line += fmt.Sprintf(" %s:%s from %s shows %q", c.Name, envOf(c, EnvVersion), c.Image, shows)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (w *walk) wanted(key tunnel.ModuleKey) bool {
	return slices.ContainsFunc(w.pods, func(p *corev1.Pod) bool { return slices.Contains(Wanted(p), key) })
}

// alone says of a pod that no other workload wants one of its names, and that it is the
// newest of its own.
func (w *walk) alone(p *corev1.Pod) bool {
	return !slices.ContainsFunc(w.pods, func(q *corev1.Pod) bool {
		if q == p || !share(p, q) {
			return false
		}
		if q.Annotations["workload"] != p.Annotations["workload"] || p.Annotations["workload"] == "" {
			return true
		}
		return number(q) >= number(p)
	})
}
