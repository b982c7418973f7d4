package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/internal/transcript"
	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// noon is when stories begin, and when times in tests are counted from.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// story plays a transcript: one fact or question a line, after it, indented, what follows
// from it. It is a shell without I/O: what a Turn writes is there at once.
type story struct {
	t       *testing.T
	now     time.Time
	base    *Base
	mailbox Mailbox
	facts   Facts // but for Mail and Now
	pods    map[podID]*plan.Pod
	version int
	// deaf: the tunnel does not hear the base yet. slow: status writes end when told.
	// broken: the Node cannot be written.
	deaf, slow, broken bool
}

func TestStories(t *testing.T) {
	transcript.Run(t, func(t *testing.T) func([]string) ([]string, error) {
		t.Helper()
		s := newStory(t)
		return func(words []string) ([]string, error) { return s.do(strings.Join(words, " ")), nil }
	})
}

// do plays one line: a time, a verb and words. Words with = are options.
func (s *story) do(line string) []string {
	words := strings.Fields(line)
	at, err := time.ParseDuration(words[0])
	if err != nil {
		s.t.Fatalf("%q: %v", line, err)
	}
	s.now = noon.Add(at)
	args, opts := transcript.Options(words[2:])
	switch verb := words[1]; verb {
	case "turn":
		return s.turn()
	case "vanished":
		in := s.facts
		in.Now = s.now
		return []string{fmt.Sprint(s.base.Vanished(in))}
	case "heartbeat", "list", "health", "features", "answer", "baseline":
		s.reports(verb, args, opts)
	case "link", "claim", "suspend", "lost", "workload":
		s.rights(verb, args, opts)
	case "pod", "terminate", "nopod", "node", "lease", "nodelost", "taint":
		s.objects(verb, args, opts)
	case "cache":
		s.facts.Current = args[0] == "current"
	case "budget": // has room at a time, else now
		s.facts.Room = time.Time{}
		if len(args) > 0 {
			at, err := time.ParseDuration(args[0])
			if err != nil {
				s.t.Fatal(err)
			}
			s.facts.Room = noon.Add(at)
		}
	case "renewals":
		s.facts.NewWait = args[0] == "behind"
	case "tunnel":
		s.deaf = args[0] == "deaf"
	case "writes":
		s.slow = args[0] == "slow"
		s.facts.Writing = s.facts.Writing && s.slow
	case "api":
		s.broken = args[0] == "away"
	default:
		s.t.Fatalf("%q: unknown verb", line)
	}
	return nil
}

// reports plays what the base says.
func (s *story) reports(verb string, args []string, opts map[string]string) {
	tunnelName := withDefault(opts["tunnel"], "mqtt")
	r := tunnel.Report{Base: id, Tunnel: tunnelName, Received: s.now}
	switch verb {
	case "heartbeat":
		h := s.beat(tunnelName, args[0], opts)
		if s.base == nil {
			s.makes(h, nil)
		}
		s.mailbox.Heartbeat(h)
		return
	case "list":
		r.Listed, r.Partial = true, opts["partial"] == "yes"
		for _, arg := range args {
			key, state, _ := strings.Cut(arg, "/")
			r.Modules = append(r.Modules, tunnel.Module{ModuleKey: keyOf(key), State: tunnel.State(withDefault(state, "activated"))})
		}
	case "health":
		uptime, err := time.ParseDuration(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		r.Health = &tunnel.Health{Uptime: uptime, MaxMemory: 256 << 20, UsedMemory: 56 << 20}
	case "baseline":
		r.Baseline = true
	case "features":
		r.Features = &tunnel.Features{Switch: slices.Contains(args, "switch")}
	case "answer":
		r.Answer = &tunnel.Answer{Verb: tunnel.Verb(args[0]), Module: keyOf(args[1]), Outcome: tunnel.Outcome(args[2]), Message: opts["message"]}
	}
	s.mailbox.Report(r)
}

// beat is a heartbeat in the words of a story.
func (s *story) beat(tunnelName, name string, opts map[string]string) tunnel.Heartbeat {
	port, err := strconv.Atoi(withDefault(opts["port"], "0"))
	if err != nil {
		s.t.Fatal(err)
	}
	return tunnel.Heartbeat{
		Base: id, Tunnel: tunnelName, Name: name, Version: withDefault(opts["version"], "1"), Cluster: withDefault(opts["cluster"], "c"),
		IP: withDefault(opts["ip"], "192.0.2.1"), Port: port, Hostname: opts["host"], Restarted: opts["restarted"] == "yes", Received: s.now,
		Sender: tunnel.Sender{Bound: opts["workload"] != "" || opts["bound"] == "yes", Workload: opts["workload"]},
	}
}

// makes makes the record of the base, as the shell does.
func (s *story) makes(h tunnel.Heartbeat, installed map[tunnel.ModuleKey]bool) {
	cfg := Config{}.Complete()
	s.base = New(cfg, id, nodeName, h, installed, s.now)
	s.binds()
}

func (s *story) binds() { s.mailbox.Bind(s.base.Incumbent(), s.base.cfg.StaleAfter) }

// rights plays what the owner and the tunnels say of us.
func (s *story) rights(verb string, args []string, opts map[string]string) {
	switch verb {
	case "link":
		name := withDefault(opts["tunnel"], "mqtt")
		s.facts.Links[name] = tunnel.Link{Tunnel: name, Up: args[0] == "up", Since: s.now}
	case "claim":
		var epoch int32
		_, err := fmt.Sscan(args[0], &epoch)
		if err != nil {
			s.t.Fatal(err)
		}
		c := shard.Claim{Epoch: epoch, Deadline: s.now.Add(time.Hour), Since: s.facts.Claim.Since, Phase: shard.Owned}
		switch {
		case slices.Contains(args, "draining"):
			c.Phase = shard.Draining
		case slices.Contains(args, "forced"):
			c.Phase = shard.Forced
		case s.facts.Right == Held:
			c.Since = s.now
		}
		if opts["ends"] == "now" {
			c.Deadline = s.now
		}
		s.facts.Right, s.facts.Claim = Valid, c
	case "suspend":
		s.facts.Right = Held
	case "lost":
		s.facts.Right = NotHeld
	case "workload":
		s.facts.Place.Workload = map[string]plan.Workload{
			"runs": plan.WorkloadRuns, "unseen": plan.WorkloadUnseen, "ends": plan.WorkloadEnds, "gone": plan.WorkloadEnded,
		}[args[0]]
	}
}

// objects plays what is in the cluster.
func (s *story) objects(verb string, args []string, opts map[string]string) {
	switch verb {
	case "pod":
		key := keyOf(args[1])
		s.pods[types.UID(args[0])] = &plan.Pod{Pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: args[0], Namespace: "default", UID: types.UID(args[0]), CreationTimestamp: metav1.NewTime(s.now)},
			Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{
				Name: key.Name, Image: "file:///" + key.Name + ".jar", Env: []corev1.EnvVar{{Name: plan.EnvVersion, Value: key.Version}}}}},
		}}
		if kind := opts["of"]; kind != "" {
			s.pods[types.UID(args[0])].OwnerReferences = []metav1.OwnerReference{{Kind: kind, Controller: new(true)}}
		}
	case "terminate":
		pod := s.pods[types.UID(args[0])].DeepCopy()
		at := metav1.NewTime(s.now)
		pod.DeletionTimestamp = &at
		s.pods[pod.UID].Pod = pod
	case "nopod": // it is gone from the API, but not from the base
		s.pods[types.UID(args[0])].Gone = true
	case "node": // somebody else's, as the cache has it
		h := s.beat(withDefault(opts["tunnel"], "mqtt"), args[0], opts)
		h.Received = time.Time{}
		in := plan.NodeInput{Now: s.now, Name: nodeName, Heartbeat: h, NotReady: opts["notready"], Config: plan.NodeConfig{}.Complete()}
		node := plan.Node(in, nil)
		if on := opts["installed"]; on != "" { // as an earlier version tells it
			maps.Copy(node.Annotations, plan.LeaseNotes(keysOf(on)))
		}
		s.facts.Node = s.stored(node)
		if s.base == nil {
			s.makes(h, keysOf(opts["installed"]))
		}
	case "lease": // as whoever owned the base before left it
		s.facts.Noted = keysOf(opts["installed"])
	case "taint": // Kubernetes gives it to a Node that is not ready
		node := s.stored(s.facts.Node)
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
		s.facts.Node = node
	case "nodelost": // somebody deleted it
		s.mailbox.NodeDeleted(s.facts.Node.UID)
		s.facts.Node = nil
	}
}

// keysOf reads modules that are separated by commas.
func keysOf(list string) map[tunnel.ModuleKey]bool {
	keys := map[tunnel.ModuleKey]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			keys[keyOf(name)] = true
		}
	}
	return keys
}

// textOf lists modules, sorted.
func textOf(keys map[tunnel.ModuleKey]bool) string {
	return fmt.Sprint(slices.SortedFunc(maps.Keys(keys), func(a, b tunnel.ModuleKey) int { return strings.Compare(a.String(), b.String()) }))
}

// stored gives an object as the API server has it after a write.
func (s *story) stored(n *corev1.Node) *corev1.Node {
	s.version++
	n = n.DeepCopy()
	n.ResourceVersion = fmt.Sprint(s.version)
	if n.UID == "" {
		n.UID = types.UID(fmt.Sprint("node-", s.version))
	}
	return n
}

// turn asks what the base needs, does it, and tells.
func (s *story) turn() []string {
	was, unready := s.base.Phase(), s.base.unready.reason
	do := s.base.Turn(s.observe())
	s.binds()
	told := s.perform(do)
	if is := s.base.unready.reason; is != unready {
		told = append(told, "its pods are not ready: "+withDefault(is, "they may be"))
	}
	phase := s.base.Phase().String()
	if s.base.Phase() != was {
		phase = was.String() + " -> " + phase
	}
	return append([]string{phase + wait(do.due().Sub(s.now))}, told...)
}

func (s *story) observe() Facts {
	in := s.facts
	in.Now, in.Mail = s.now, s.mailbox.Take()
	for _, uid := range slices.Sorted(maps.Keys(s.pods)) {
		in.Pods = append(in.Pods, *s.pods[uid])
	}
	return in
}

func wait(d time.Duration) string {
	if d <= 0 {
		return ", requeue"
	}
	return ", requeue after " + d.Round(time.Millisecond).String()
}

// perform does what a Turn said, as the shell does.
func (s *story) perform(do Actions) (told []string) {
	say := func(yes bool, format string, args ...any) {
		if yes {
			told = append(told, fmt.Sprintf(format, args...))
		}
	}
	say(do.LetGo, "let go of its pods")
	say(do.Begin, "begin to take its pods")
	say(do.Talk.Unfollow != "", "unfollow over %s", do.Talk.Unfollow)
	if f := do.Talk.Follow; f != nil {
		at := f.IP
		if dialed(*f) {
			at = f.Endpoint().String()
		}
		say(true, "follow %s at %s over %s", f.Name, at, f.Tunnel)
	}
	if c := do.Contested; c != nil {
		say(true, "contested by %s over %s", nameOf(*c), c.Tunnel)
	}
	if m := do.Moved; m != nil {
		say(true, "moved to %s over %s", nameOf(*m), m.Tunnel)
		s.facts.Place = plan.Place{}
	}
	if c := do.Changed; c != nil {
		say(true, "readiness: %s, was %s", withDefault(c.Is, "Ready"), withDefault(c.Was, "Ready"))
	}
	if r := do.Retire; r != nil {
		return append(told, s.retire(*r))
	}
	told = append(told, s.write(do)...)
	var asked []string
	for _, v := range do.Talk.Ask {
		var err error
		if s.deaf {
			err = tunnel.ErrNotFollowed
		}
		asked = append(asked, string(v))
		if v == tunnel.ListModules {
			s.mailbox.Asked(s.now)
		}
		if again := s.base.Asked(v, s.now, err); !again.IsZero() {
			s.mailbox.ForgetRequests()
			asked = append(asked, "not heard yet"+wait(again.Sub(s.now)))
			break
		}
	}
	say(len(asked) > 0, "ask: %s", strings.Join(asked, ", "))
	questions := len(slices.DeleteFunc(slices.Clone(do.Talk.Ask), func(v tunnel.Verb) bool { return v == tunnel.AnswerBaseline }))
	say(do.Talk.Spend > questions, "book a place in the budget")
	say(do.Talk.Spend < questions, "by the place that was booked")
	say(do.NeedCurrent, "the cache of pods must catch up")
	say(do.Drained, "it may be another's")
	say(do.Settled, "settled")
	if do.Settled {
		s.mailbox.Settle(s.base.Modules())
	}
	return told
}

func (s *story) retire(r Retirement) string {
	text := "retire: " + r.Why
	if r.Node != nil {
		text += "; delete the Node"
	}
	if s.broken {
		return text + ", which fails"
	}
	s.facts.Node = nil
	if unfollow := s.base.Retired(); unfollow != "" {
		text += "; unfollow over " + unfollow
	}
	if r.Evict {
		text += "; evict its pods"
	}
	if r.Successor != nil {
		text += "; " + r.Successor.Name + " is a base of its own"
	}
	return text
}

func (s *story) write(do Actions) (told []string) {
	if node := do.Write.Node; node != nil {
		told = append(told, s.writeNode(node, do.Write.Was == nil))
	}
	if do.Remember.Installed != nil && !maps.Equal(do.Remember.Installed, s.facts.Noted) { // the Lease is written at once
		told = append(told, "the Lease tells: installed "+textOf(do.Remember.Installed))
		s.facts.Noted = do.Remember.Installed
	}
	if there := do.Write.Was != nil || do.Write.Node == nil || !s.broken; there && s.base.MaySend(s.facts.Right, s.facts.Claim) {
		for _, c := range do.Talk.Send {
			told = append(told, fmt.Sprintf("send %s %s, request %s", c.Verb, c.Module, c.RequestID))
			s.base.Sent(c, s.now)
		}
	}
	for _, p := range do.Write.Finish {
		told = append(told, "delete pod "+p.Pod.Name)
		delete(s.pods, p.Pod.UID)
	}
	for _, p := range do.Write.Pods {
		told = append(told, "pod "+p.Pod.Name+": "+stateOf(p.Status))
		pod := p.Pod.DeepCopy()
		pod.Status = p.Status
		s.pods[pod.UID].Pod = pod
		s.facts.Writing = s.slow
	}
	for _, p := range do.Write.Displace {
		told = append(told, "displace pod "+p.Name)
		pod, grace := p.DeepCopy(), int64(30)
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = new(metav1.NewTime(s.now.Add(30*time.Second))), &grace
		s.pods[pod.UID].Pod = pod
	}
	for _, e := range do.Write.Events {
		on := withDefault(string(e.Pod), "the Node")
		told = append(told, fmt.Sprintf("event on %s: %s: %s", on, e.Reason, e.Message))
	}
	return told
}

func (s *story) writeNode(node *corev1.Node, create bool) string {
	text := "write the Node: "
	if create {
		text = "create the Node: "
	}
	text += withDefault(plan.NotReadyOf(node), "Ready")
	if _, installed, err := plan.Adopt(node); err == nil && len(installed) > 0 {
		text += ", installed " + textOf(installed)
	}
	if to := node.Annotations[plan.AnnotationBoundTo]; to != "" {
		text += ", bound to " + to
	}
	if s.broken {
		return text + ", which fails"
	}
	s.facts.Node = s.stored(node)
	s.base.NodeWritten(s.facts.Node, true, s.now)
	return text
}

func stateOf(status corev1.PodStatus) string {
	text := string(status.Phase)
	for _, c := range status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			text += " " + w.Reason
		}
		if c.Ready {
			text += " ready"
		}
	}
	return text
}

type podID = types.UID

var id = tunnel.BaseID{Env: "dev", Identity: "b"}

const nodeName = "vnode.b.dev"

func keyOf(text string) tunnel.ModuleKey {
	name, version, _ := strings.Cut(text, ":")
	return tunnel.ModuleKey{Name: name, Version: version}
}

func withDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
