package fleetpage

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/election"
	"module-controller/internal/fleet"
	_ "module-controller/internal/oneproc" // tests in bubbles
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const (
	ns     = "module-controller"
	prefix = "virtual-kubelet.koupleless.io/"
)

// seen is what a member sees, in the making.
type seen struct {
	fleet.Objects
	Sight
}

func session(pod string) *string { holder := pod + "_0123abcd"; return &holder }

func (s *seen) member(name string) {
	s.MemberLeases = append(s.MemberLeases, coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{prefix + "state": "serving", prefix + "tunnels": "up", prefix + "environments": "default", prefix + "version": "v1"}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: session(name), RenewTime: &metav1.MicroTime{Time: noon}},
	})
}

// base makes a base's Node and Lease.
func (s *seen) base(identity, owner, app string, silent bool) string {
	beat := tunnel.Heartbeat{Base: tunnel.BaseID{Env: "default", Identity: identity}, Tunnel: "mqtt_tunnel_provider", Name: app, Version: "1.0.0", IP: "10.0.0.7"}
	name, err := plan.NodeName(beat.Base)
	if err != nil {
		panic(err)
	}
	in := plan.NodeInput{Now: noon.Add(-time.Hour), Name: name, Heartbeat: beat, Message: "The base sends messages"}
	if silent {
		in.NotReady, in.Message = plan.ReasonBaseSilent, "Nothing was heard of the base for 40s"
	}
	s.Nodes = append(s.Nodes, *plan.Node(in, nil))
	l := coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{prefix + "installation": ns}}}
	if owner != "" {
		l.Spec.HolderIdentity = session(owner)
	}
	s.BaseLeases = append(s.BaseLeases, l)
	return name
}

func (s *seen) pod(name, base, reason, message string, since time.Time) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.PodSpec{NodeName: base}}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(since)}
	if reason != "" {
		ready.Status = corev1.ConditionFalse
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	}
	p.Status.Conditions = []corev1.PodCondition{ready}
	s.Pods = append(s.Pods, p)
}

func (s *seen) sight() Sight {
	o := s.Objects
	o.At, o.Namespace = noon, ns
	sight := s.Sight
	sight.Fleet, sight.Envs, sight.Self, sight.Version = fleet.Build(o), []string{"default"}, "mc-0", "v1"
	return sight
}

// shown is the page that a query gets.
func shown(t testing.TB, s Sight, query string) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(func() Sight { return s }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path+query, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return w.Body.String()
}

func mustShow(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("the page does not show %q", word)
		}
	}
}

// large is a fleet of so many bases of five members, with two module pods a base; one base in
// a hundred is silent, and one pod in fifty waits.
func large(bases int) *seen {
	s := &seen{}
	for m := range 5 {
		s.member(fmt.Sprintf("mc-%d", m))
	}
	for i := range bases {
		node := s.base(fmt.Sprintf("base-%05d", i), fmt.Sprintf("mc-%d", i%5), "orders", i%100 == 99)
		for p := range 2 {
			reason := ""
			if (2*i+p)%50 == 49 {
				reason = plan.ReasonInstallBackOff
			}
			s.pod(fmt.Sprintf("pod-%05d-%d", i, p), node, reason, strings.Repeat("it failed and failed ", 100), noon.Add(-time.Duration(i)*time.Second))
		}
		s.Moves = append(s.Moves, election.Move{At: noon, Base: node, How: election.MoveClaimed, Epoch: 1, Why: "the base is new"})
	}
	return s
}

// Each base is on one page of the list, and none of the pages grows with the fleet.
func TestAPageIsBounded(t *testing.T) {
	const bases = 10_000
	s := large(bases).sight()
	h := Handler(func() Sight { return s })
	listed := map[string]int{}
	for n := 1; n <= bases/basesAPage; n++ {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, fmt.Sprintf("%s?page=%d", Path, n), nil))
		if size := w.Body.Len(); size > 100_000 {
			t.Fatalf("page %d has %d bytes", n, size)
		}
		_, list, _ := strings.Cut(w.Body.String(), `id="bases"`)
		for _, m := range regexp.MustCompile(`<th scope="row">([^<]+)</th>`).FindAllStringSubmatch(list, -1) {
			listed[m[1]]++
		}
	}
	for name, n := range listed {
		if n != 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
	if len(listed) != bases {
		t.Errorf("%d bases are listed, want %d", len(listed), bases)
	}
}

// The page tells what is wrong by counts and by what is worst.
func TestWhatIsWrong(t *testing.T) {
	s := large(1000)
	orphan := s.base("orphan", "", "billing", false)
	text := shown(t, s.sight(), "")
	mustShow(t, text,
		"991 of 1001", "1960 of 2000", "Bases in trouble: 11", "Pods that wait: 40", "vnode.base-00099.default", plan.ReasonBaseSilent, "Nothing was heard of the base for 40s",
		plan.ReasonInstallBackOff, orphan, "nobody", "200 to 200", "20 more are not shown", "page 1 of 21",
		`<td data-is="Of">pods</td><td data-is="How many" class="n">40</td>`, `<td data-is="Of">bases</td><td data-is="How many" class="n">10</td>`)
	_, waiting, _ := strings.Cut(text, `id="waiting"`)
	if first, second := strings.Index(waiting, "shop/pod-00999-1"), strings.Index(waiting, "shop/pod-00974-1"); first < 0 || second < first {
		t.Errorf("those that wait longest are not first: at %d and %d", first, second)
	}
}

// One thing is told of as one.
func TestWhatIsAlone(t *testing.T) {
	mustShow(t, shown(t, large(100).sight(), ""), "<title>1 base, 4 pods in trouble", "✗ 1 base and 4 pods are not")
}

// A search finds bases by their names and applications, and can be narrowed.
func TestBasesAreFound(t *testing.T) {
	s := large(300)
	s.base("pay-1", "mc-1", "Billing", false)
	s.base("pay-2", "mc-2", "Billing", true)
	for query, want := range map[string]string{
		"": "Bases: 302", "?q=pay": "Bases: 2 of 302", "?q=bILL": "Bases: 2 of 302", "?q=pay&show=trouble": "Bases: 1 of 302",
		"?member=mc-1": "Bases: 61 of 302", "?q=pay&member=mc-1": "Bases: 1 of 302", "?q=nothing": "There are none.",
		"?page=9999999": "page 7 of 7", "?page=-1": "page 1 of 7", "?page=x": "page 1 of 7", "?q=base&page=2": "?page=3&amp;q=base#bases",
	} {
		mustShow(t, shown(t, s.sight(), query), want)
	}
}

// What people asked of members is shown: who is cordoned, and where a base was moved to.
func TestWhatWasAskedIsShown(t *testing.T) {
	s := large(3)
	s.MemberLeases[1].Annotations[election.CordonedNote] = "true"
	s.MemberLeases[2].Annotations[election.PinsNote] = s.Nodes[0].Name + "=2026-11-29T13:30:00Z"
	text := shown(t, s.sight(), "")
	mustShow(t, text, "pinned to mc-2 until 2026-11-29 13:30")
	if n := strings.Count(text, "cordoned"); n != 1 {
		t.Errorf("%d members are cordoned", n)
	}
}

func TestAnEmptyFleet(t *testing.T) {
	mustShow(t, shown(t, (&seen{}).sight(), ""), "No member is known", "0 of 0", "There are none.", "took part in none")
}

// Bases of other environments are counted only: their Leases are not known.
func TestOtherEnvironments(t *testing.T) {
	s := large(3).sight()
	s.Envs = []string{"prod"}
	mustShow(t, shown(t, s, ""), "0 of 0", "3 bases of environments that this member does not serve")
}

// What bases, pods and whoever asks say stays text.
func TestHostileWordsStayText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	s := large(1)
	s.member(evil)
	s.base("base-evil", "mc-0", evil, false)
	s.Nodes[0].Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: evil, Message: evil}}
	s.pod(evil, evil, evil, evil, noon)
	s.Moves, s.Notes = []election.Move{{Base: evil, How: evil, Other: evil, Why: evil}}, []string{evil}
	for _, query := range []string{"", "?q=" + url.QueryEscape(evil), "?member=" + url.QueryEscape(evil) + "&show=trouble"} {
		text := shown(t, s.sight(), query)
		if scripts, images := strings.Count(text, "<script"), strings.Count(text, "<img"); scripts != 1 || images != 0 {
			t.Errorf("%q: %d scripts, %d images", query, scripts, images)
		}
		if !strings.Contains(text, "&lt;script&gt;alert(1)") {
			t.Errorf("%q: the words are not shown", query)
		}
	}
}

// The page loads nothing from elsewhere, and its own script and style are those that its
// policy permits.
func TestThePolicyOfThePage(t *testing.T) {
	w := httptest.NewRecorder()
	h := Handler(func() Sight { return large(10).sight() })
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil))
	text, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, element := range []string{"script", "style"} {
		m := regexp.MustCompile(`(?s)<` + element + `>(.*?)</` + element + `>`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s", element)
		}
		sum := sha256.Sum256([]byte(m[1]))
		if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("policy %q does not have %q", policy, want)
		}
	}
	mustShow(t, policy, "default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'")
	if elsewhere := regexp.MustCompile(`(?i)https?://|(?:src|href)="(?:[^/]|//)|style=|\son\w+=`).FindAllString(text, -1); elsewhere != nil {
		t.Errorf("the page refers to elsewhere, or has what its policy forbids: %q", elsewhere)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %d", w.Code)
	}
}

// However many look, the fleet is looked at every two seconds.
func TestTheFleetIsNotLookedAtForEachWhoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, s := 0, large(3).sight()
		h := Handler(func() Sight { looks++; return s })
		for second := range 6 {
			for range 10 {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, Path, nil))
			}
			if want := second/2 + 1; looks != want {
				t.Errorf("after %d s: looked %d times, want %d", second, looks, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// BenchmarkPage makes the page of 10,000 bases with 20,000 module pods: of what is in memory,
// and again within two seconds.
func BenchmarkPage(b *testing.B) {
	of := large(10_000)
	ask := func(b *testing.B, h http.Handler) {
		b.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path+"?q=base-05", nil))
		b.SetBytes(int64(w.Body.Len()))
	}
	b.Run("seen=anew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, Handler(of.sight))
		}
	})
	b.Run("seen=before", func(b *testing.B) {
		s := of.sight()
		h := &handler{seen: sumUp(s), at: time.Now().Add(time.Hour)}
		b.ReportAllocs()
		for b.Loop() {
			ask(b, h)
		}
	})
}
