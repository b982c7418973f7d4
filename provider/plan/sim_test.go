package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// sim is a base, its pods and the shell around the planner, with a clock that
// moves when it is told to.
type sim struct {
	in  Input
	now time.Time
	// true state of the base
	modules  []tunnel.Module
	pods     []*corev1.Pod
	gone     map[types.UID]bool // deleted by force
	unsynced map[string]bool    // not yet synced, by name
	// unresolved: their ConfigMap is gone, by UID; secrets: they refer to Secrets, by name
	unresolved map[types.UID]bool
	secrets    map[string]bool
	bare       bool               // pods that nobody owns are of no workload
	jars       map[string]jarOf   // by URL
	probed     map[string]Probed  // of each pod; nil where they say what unready tells
	unready    map[types.UID]bool // their readiness probes fail
	// what happened
	log                  []string
	installs, uninstalls map[tunnel.ModuleKey]int
	overlaps             int
	// faults
	loseAnswers, loseCommands bool
	plain                     bool                        // takes no install strategy
	keepsFailed               bool                        // lists what did not start
	unservable                map[tunnel.ModuleKey]string // why what starts beside another does not serve
	keepsAll                  string                      // why it uninstalls nothing, "-" for none that it tells
	slow                      map[string]time.Duration    // how long it fetches, by URL
	slowStops, slowSwitches   time.Duration               // how long an uninstall or a switch takes
	hangs                     map[string]bool             // whose main never ends, by URL
	working                   map[string]job              // by name
	lateLists, behind         bool                        // every second list does not come
	most                      int                         // how many commands may be in flight
	atWork                    int                         // the most installs that the base worked on at once
}

// job is a command that the base works on.
type job struct {
	tunnel.Command
	until time.Time
}

type jarOf struct {
	key  tunnel.ModuleKey
	fail string
}

func newSim(features tunnel.Features) *sim {
	return &sim{
		now: noon, in: Input{BaseID: tunnel.BaseID{Env: "dev", Identity: "b"}, IP: "192.0.2.9", Live: true, Seen: Seen{Features: features}},
		unready: map[types.UID]bool{}, gone: map[types.UID]bool{}, unresolved: map[types.UID]bool{}, jars: map[string]jarOf{},
		installs: map[tunnel.ModuleKey]int{}, uninstalls: map[tunnel.ModuleKey]int{},
		unservable: map[tunnel.ModuleKey]string{}, slow: map[string]time.Duration{}, hangs: map[string]bool{}, working: map[string]job{}, most: 3,
	}
}

func urlOf(name, version string) string { return "file:///" + name + "-" + version + ".jar" }

// jar makes a URL hold a module.
func (s *sim) jar(url, name, version, fail string) {
	s.jars[url] = jarOf{tunnel.ModuleKey{Name: name, Version: version}, fail}
}

// own makes a pod one of a workload's revision.
func own(p *corev1.Pod, workload string, revision int) *corev1.Pod {
	if p.OwnerReferences == nil { // a rollback numbers the same ReplicaSet anew
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", UID: types.UID(fmt.Sprint(workload, revision)), Controller: &yes}}
	}
	p.Annotations = map[string]string{"workload": workload, "revision": fmt.Sprint(revision)}
	return p
}

func number(p *corev1.Pod) int64 {
	n, _ := strconv.ParseInt(p.Annotations["revision"], 10, 64)
	return n
}

func (s *sim) pod(name, module, version, url string) *corev1.Pod {
	if _, ok := s.jars[url]; !ok {
		s.jar(url, module, version, "")
	}
	s.now = s.now.Add(time.Second)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(s.now.Truncate(time.Second))},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: module, Image: url,
			Env: []corev1.EnvVar{{Name: EnvVersion, Value: version}}}}},
	}
	s.pods = append(s.pods, p)
	return p
}

// with adds a module to a pod.
func (s *sim) with(p *corev1.Pod, module, version string) *corev1.Pod {
	url := urlOf(module, version)
	if _, ok := s.jars[url]; !ok {
		s.jar(url, module, version, "")
	}
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: module, Image: url,
		Env: []corev1.EnvVar{{Name: EnvVersion, Value: version}}})
	return p
}

func (s *sim) delete(name string) {
	for _, p := range s.pods {
		if p.Name == name && p.DeletionTimestamp == nil {
			at := metav1.NewTime(s.now)
			p.DeletionTimestamp = &at
		}
	}
}

func (s *sim) find(key tunnel.ModuleKey) int {
	return slices.IndexFunc(s.modules, func(m tunnel.Module) bool { return m.ModuleKey == key })
}

// round plans once, does what was planned, and lets the base answer.
func (s *sim) round() Output {
	s.now = s.now.Add(time.Second)
	s.in.Now = s.now
	s.in.Pods = nil
	for _, p := range s.pods {
		pod := Pod{Pod: p, Gone: s.gone[p.UID], Unsynced: s.unsynced[p.Name], Secrets: s.secrets[p.Name],
			Probed: s.probedOf(p), Workload: types.UID(p.Annotations["workload"]), Revision: number(p)}
		if pod.Workload == "" && !s.bare {
			pod.Workload = "w" // one workload whose revisions are not known
		}
		if s.unresolved[p.UID] {
			pod.Unresolved = "configmap is missing"
		}
		s.in.Pods = append(s.in.Pods, pod)
	}
	s.in.Held = s.in.Memory.Full(s.most)
	before := maps.Clone(s.in.Memory.Attempts)
	out := Modules(s.in)
	s.in.Memory = out.Memory
	maps.DeleteFunc(before, func(name string, _ Attempt) bool { _, still := out.Memory.Attempts[name]; return still })
	if len(before) != len(out.Ended) {
		panic(fmt.Sprintf("%d commands ended, and %v are told", len(before), out.Ended))
	}
	s.keep(out)
	for _, c := range s.in.Memory.Affordable(out.Commands, s.most) {
		s.send(c)
	}
	s.atWork = max(s.atWork, len(s.working))
	s.now = s.now.Add(time.Second)
	s.work()
	if s.behind = s.lateLists && !s.behind; !s.behind {
		s.in.Seen.Modules, s.in.Seen.Listed = slices.Clone(s.modules), s.now
	}
	return out
}

// probedOf is what the probes of a pod say.
func (s *sim) probedOf(p *corev1.Pod) map[string]Probed {
	if s.probed != nil {
		return s.probed
	}
	probed := map[string]Probed{}
	for _, c := range p.Status.ContainerStatuses {
		if ran := c.State.Running; ran != nil {
			probed[c.Name] = Probed{Since: ran.StartedAt, Started: true, Ready: !s.unready[p.UID]}
		}
	}
	return probed
}

// keep writes the statuses and ends the finished pods.
func (s *sim) keep(out Output) {
	for _, st := range out.Statuses {
		for i, p := range s.pods {
			if p.UID != st.Pod.UID {
				continue
			}
			p.Status = st.Status
			if st.Finished || st.Status.Phase == corev1.PodFailed {
				s.pods = slices.Delete(s.pods, i, i+1)
				break
			}
		}
	}
}

func (s *sim) send(c Planned) {
	s.log = append(s.log, fmt.Sprintf("%s %s%s", c.Verb, c.Module, map[bool]string{true: " replacing"}[c.Replace]))
	if a, ok := s.in.Memory.Attempts[c.Module.Name]; ok && a.Answer == nil && s.now.Before(a.Sent.Add(15*time.Second)) {
		s.overlaps++
	}
	a := s.in.Memory.Attempts[c.Module.Name].Next(c, s.now, s.in.Seen.Modules)
	s.in.Memory.Installed = withKey(s.in.Memory.Installed, c)
	if !s.loseCommands {
		answer := s.obey(c.Command)
		if answer.Outcome != silence && !s.loseAnswers {
			s.now = s.now.Add(100 * time.Millisecond)
			a.Answer, a.Answered = &answer, s.now
		}
	}
	s.in.Memory.Attempts[c.Module.Name] = a
}

func withKey(installed map[tunnel.ModuleKey]bool, c Planned) map[tunnel.ModuleKey]bool {
	if c.Verb == tunnel.InstallModule {
		installed[c.Module] = true
	}
	return installed
}

// message is why a pod's first container waits.
func (s *sim) message(name string) string {
	for _, p := range s.pods {
		if p.Name == name && len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil {
			return p.Status.ContainerStatuses[0].State.Waiting.Message
		}
	}
	return ""
}

// during plans for that long, and counts events by reason.
func (s *sim) during(d time.Duration) map[string]int {
	told := map[string]int{}
	for end := s.now.Add(d); s.now.Before(end); {
		for _, e := range s.round().Events {
			told[e.Reason]++
		}
	}
	return told
}

// leaves is what is wrong with a terminating pod.
func (s *sim) leaves(name string) string {
	in := s.in
	in.Now = s.now
	p := newPlanner(in)
	p.watchStarts()
	for _, pod := range in.Pods {
		if pod.Name == name {
			return p.whyLeaving(pod)
		}
	}
	return "gone"
}

// isReady says whether a pod shows that all its modules serve.
func (s *sim) isReady(name string) bool {
	for _, p := range s.pods {
		if p.Name == name {
			return len(p.Status.ContainerStatuses) > 0 && !slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return !c.Ready })
		}
	}
	return false
}

// rounds plans n times.
func (s *sim) rounds(n int) {
	for range n {
		s.round()
	}
}

func (s *sim) serving() string {
	var keys []string
	for _, m := range s.modules {
		if m.State == tunnel.Activated {
			keys = append(keys, m.String())
		}
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// shows gives what a pod shows: Running, or why it waits, or gone.
func (s *sim) shows(name string) string {
	for _, p := range s.pods {
		if p.Name != name {
			continue
		}
		if len(p.Status.ContainerStatuses) == 0 {
			return "nothing"
		}
		c := p.Status.ContainerStatuses[0]
		if c.State.Running != nil && c.Ready {
			return "Running"
		}
		if c.State.Waiting != nil {
			return c.State.Waiting.Reason
		}
	}
	return "gone"
}

var (
	overHTTP = tunnel.Features{Switch: true, Settings: true}
	overMQTT = tunnel.Features{}
)

func (s *sim) want(t *testing.T, pods map[string]string, serving string) {
	t.Helper()
	for name, want := range pods {
		if got := s.shows(name); got != want {
			t.Errorf("pod %s shows %s, want %s", name, got, want)
		}
	}
	if got := s.serving(); got != serving {
		t.Errorf("the base serves %q, want %q", got, serving)
	}
	if t.Failed() {
		t.Logf("commands: %s", strings.Join(s.log, "; "))
	}
}

func (s *sim) wantLog(t *testing.T, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, s.log); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
}
