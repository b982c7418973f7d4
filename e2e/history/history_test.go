package history

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// good is a base that was claimed, got a module for a pod, was taken over from a
// killed replica, and lost the module with the pod.
func good() *History {
	return &History{
		Began: at(0), Ended: at(100),
		Claims: []Claim{{at(0), "b", "a_1", 1}, {at(24), "b", "a_2", 2}},
		Pods:   []Pod{{UID: "p-1", Base: "b", Modules: []string{"m:1"}, Created: at(1), Ready: at(2), Deleted: at(30), Gone: at(31)}},
		Faults: []Fault{{Begun: at(20), Ended: at(20), Name: "kill", Killed: "a_1"}},
		Effects: map[string]Effects{"b": {
			Commands: []Command{
				{at(1.5), "install", "m:1", "1-p-1-1"},
				{at(30.5), "uninstall", "m:1", "2-p-1-1"},
			},
			Installs: map[string]int{"m:1": 1}, Uninstalls: map[string]int{"m:1": 1},
			Served: []Serving{{At: at(0)}, {at(1.9), []string{"m:1"}}, {At: at(30.6)}},
		}},
	}
}

func TestAGoodHistory(t *testing.T) {
	bad, r := good().Check()
	if len(bad) > 0 {
		t.Errorf("violations: %v", bad)
	}
	want := Report{Faults: 1, Claims: 2, Commands: 2, Pods: 1, Takeover: 4 * time.Second, Kills: 1, ToReady: time.Second, ToGone: time.Second}
	if r != want {
		t.Errorf("report %+v, want %+v", r, want)
	}
}

func TestEachViolationIsFound(t *testing.T) {
	effects := func(change func(*Effects)) func(*History) {
		return func(h *History) { e := h.Effects["b"]; change(&e); h.Effects["b"] = e }
	}
	for name, c := range map[string]struct {
		change func(*History)
		want   string
	}{
		"two holders of an epoch": {func(h *History) { h.Claims = append(h.Claims, Claim{at(25), "b", "a_3", 2}) }, "I1: epoch 2 of b has two holders"},
		"an epoch that fell":      {func(h *History) { h.Claims = append(h.Claims, Claim{at(25), "b", "a_1", 1}) }, "I2: the epoch of b fell"},
		"a command of nobody":     {effects(func(e *Effects) { e.Commands[1].Request = "7-p-1-1" }), "I1: b got uninstall m:1 of epoch 7, which nobody had"},
		"a command too late": {effects(func(e *Effects) { e.Commands[1].Request = "1-p-1-2" }),
			"I1: b got uninstall m:1 of epoch 1 at 12:00:30.500, after a_2 had it"},
		"commands out of order": {effects(func(e *Effects) {
			e.Commands = append(e.Commands, Command{at(23), "install", "m:1", "1-p-1-3"})
		}), "I2: b got install m:1 of epoch 1"},
		"a command of who was cut off": {func(h *History) {
			h.Faults = []Fault{{Begun: at(25), Ended: at(40), Name: "api cut", Silenced: []string{"a_2"}}}
		}, "I1: b got uninstall m:1 at 12:00:30.500 from a_2, which could not renew since 12:00:25.000 (api cut)"},
		"a command that is given again": {effects(func(e *Effects) {
			e.Commands = append(e.Commands, Command{at(30.7), "uninstall", "m:1", "2-p-1-2"})
		}), "I5: b got uninstall m:1 for pod p-1 again at 12:00:30.700 (2-p-1-2)"},
		"a command without a request":    {effects(func(e *Effects) { e.Commands[0].Request = "" }), "I5: b got install m:1 with the request"},
		"a command for another's pod":    {effects(func(e *Effects) { e.Commands[0].Request = "1-p-2-1" }), "I5: b got install m:1 for pod p-2"},
		"a module installed twice":       {effects(func(e *Effects) { e.Installs["m:1"] = 2 }), "I5: m:1 was installed 2 times on b, want 1"},
		"a module that nobody asked for": {effects(func(e *Effects) { e.Installs["x:1"] = 1 }), "I5: x:1 was installed 1 times on b, and no pod asked"},
		"a module left behind":           {effects(func(e *Effects) { e.Uninstalls = nil }), "I5: m:1 was uninstalled 0 times on b, want 1"},
		"a pod that goes before its module": {func(h *History) { h.Pods[0].Gone = at(30.1) },
			"I4: the pod of m:1 on b was gone at 12:00:30.100, and its module served on"},
		"a module that serves in the end": {effects(func(e *Effects) { e.Served = append(e.Served, Serving{at(90), []string{"m:1"}}) }),
			`I5: in the end b serves ["m:1"], and pods ask for m:1: false`},
		"a module that does not serve in the end": {func(h *History) { h.Pods[0].Gone = time.Time{} }, `I5: in the end b serves [], and pods ask for m:1: true`},
		"a module of a pod's second container":    {func(h *History) { h.Pods[0].Modules = append(h.Pods[0].Modules, "n:1") }, "I5: n:1 was installed 0 times on b, want 1"},
		"a pod that had long enough to be Ready":  {func(h *History) { h.Pods[0].Ready, h.Faults = time.Time{}, nil }, "I4: the pod of m:1 on b was Ready 19s after"},
		"a pod that was deleted while it was installed, and lost its module twice": {func(h *History) {
			h.Pods[0].Ready = time.Time{}
			h.Effects["b"].Uninstalls["m:1"] = 2
		}, "I5: m:1 was uninstalled 2 times on b, want 0 to 1"},
		"a Node written by who lost it": {func(h *History) { h.Writes = []Write{{at(24.1), "b", "a_1", "the Node"}} },
			"I1: the Node was written at 12:00:24.100 by a_1: a_2 owned b"},
		"a pod written by who has not claimed yet": {func(h *History) { h.Writes = []Write{{at(22), "b", "a_2", "pod p"}} },
			"I1: pod p was written at 12:00:22.000 by a_2: a_1 owned b"},
		"a Node written by nobody's owner": {func(h *History) { h.Writes = []Write{{at(3), "c", "a_1", "the Node"}} }, "by a_1: nobody owned c"},
		"a Node that was not Ready":        {func(h *History) { h.Observations = []Observation{{at(3), "b", "not Ready"}} }, "I3: the Node of b was not Ready"},
		"a pod that is Ready too late":     {func(h *History) { h.Pods[0].Ready = at(12); h.Faults = nil }, "I4: the pod of m:1 on b was Ready 1s after it should have been"},
		"a pod that is never Ready":        {func(h *History) { h.Pods[0].Ready, h.Pods[0].Deleted = time.Time{}, time.Time{} }, "I4: the pod of m:1 on b never was Ready"},
		"a pod that stays after a fault":   {func(h *History) { h.Pods[0].Gone = at(95) }, "I4: the pod of m:1 on b was gone 5s after"},
		"a takeover that is late":          {func(h *History) { h.Claims[1].At = at(33) }, "I6: b of a_1 was owned again 13s"},
		"a takeover that never comes":      {func(h *History) { h.Claims = h.Claims[:1]; h.Effects = nil }, "I6: b of a_1 was never owned again"},
	} {
		t.Run(name, func(t *testing.T) {
			h := good()
			c.change(h)
			bad, _ := h.Check()
			if !strings.Contains(strings.Join(bad, "\n"), c.want) {
				t.Errorf("violations %q, want %q", bad, c.want)
			}
		})
	}
}

// An owner writes, a new one before its claim was seen too, and what was held back on
// its way arrives.
func TestWritesOfOwners(t *testing.T) {
	h := good()
	h.Faults = append(h.Faults, Fault{Begun: at(40), Ended: at(60), Name: "api blackhole", Silenced: []string{"a_1"}})
	h.Writes = []Write{
		{at(1), "b", "a_1", "the Node"}, {at(23.5), "b", "a_2", "the Node"}, {at(30), "b", "a_2", "pod p"},
		{at(60.1), "b", "a_1", "the Node"},
	}
	bad, r := h.Check()
	if len(bad) > 0 || r.Writes != 4 {
		t.Errorf("%d writes, violations: %v", r.Writes, bad)
	}
}

func TestAModuleFromBefore(t *testing.T) {
	h := good()
	h.Pods[0].Before = true
	h.Effects["b"] = Effects{Commands: h.Effects["b"].Commands[1:], Uninstalls: map[string]int{"m:1": 1}}
	if bad, _ := h.Check(); len(bad) > 0 {
		t.Errorf("violations: %v", bad)
	}
}

// A base that did not do what it was told is told again, until it does. What it did is
// counted all the same.
func TestABaseThatLiesIsToldAgain(t *testing.T) {
	h := good()
	e := h.Effects["b"]
	e.Commands = append(e.Commands, Command{at(34), "uninstall", "m:1", "2-p-1-2"}, Command{at(44), "uninstall", "m:1", "2-p-1-3"})
	e.Served[2].At, h.Pods[0].Gone = at(44.1), at(44.2)
	h.Effects["b"] = e
	h.Faults = append(h.Faults, Fault{Begun: at(27), Ended: at(43), Name: "bases lie", Faulty: []string{"b"}})
	if bad, _ := h.Check(); len(bad) > 0 {
		t.Errorf("violations: %v", bad)
	}
	h.Effects["b"] = Effects{Commands: append(e.Commands, Command{at(45), "uninstall", "m:1", "2-p-1-4"}), Installs: e.Installs, Uninstalls: map[string]int{"m:1": 2}}
	want := []string{
		"I5: b got uninstall m:1 for pod p-1 again at 12:00:45.000 (2-p-1-4)",
		"I5: m:1 was uninstalled 2 times on b, want 1",
	}
	if bad, _ := h.Check(); !slices.Equal(bad, want) {
		t.Errorf("violations: %v, want %v", bad, want)
	}
}

// Two revisions on one base are installed as often as it takes; a pod that is deleted
// before it is Ready may have got its module.
func TestARollout(t *testing.T) {
	h := good()
	e := h.Effects["b"]
	h.Pods[0].Meets = true
	h.Pods = append(h.Pods, Pod{UID: "p-2", Base: "b", Modules: []string{"m:2"}, Meets: true, Created: at(27), Ready: at(28)},
		Pod{UID: "p-3", Base: "b", Modules: []string{"n:1"}, Created: at(50), Deleted: at(51), Gone: at(52)})
	e.Commands = append(e.Commands, Command{at(50.1), "install", "n:1", "2-p-3-1"}, Command{at(51.1), "uninstall", "n:1", "2-p-3-2"})
	e.Commands = slices.Insert(e.Commands, 1, Command{at(27.1), "install", "m:2", "2-p-2-1"}, Command{at(27.5), "install", "m:2", "2-p-2-2"})
	e.Installs, e.Uninstalls = map[string]int{"m:1": 1, "m:2": 2, "n:1": 1}, map[string]int{"n:1": 1}
	e.Served = append(e.Served[:2], Serving{at(28), []string{"m:2"}})
	h.Effects["b"] = e
	if bad, _ := h.Check(); len(bad) > 0 {
		t.Errorf("violations: %v", bad)
	}
}

// Who is cut off may send until its renew deadline, and again when the fault is over.
func TestWhoIsCutOffSendsUntilItsDeadline(t *testing.T) {
	for name, f := range map[string]Fault{
		"it began just now":     {Begun: at(27), Ended: at(40)},
		"it is over":            {Begun: at(20), Ended: at(30)},
		"somebody else was cut": {Begun: at(20), Ended: at(40), Silenced: []string{"a_1"}},
	} {
		h := good()
		if f.Silenced == nil {
			f.Silenced = []string{"a_2"}
		}
		h.Faults = append(h.Faults, f)
		if bad, _ := h.Check(); len(bad) > 0 {
			t.Errorf("%s: %v", name, bad)
		}
	}
}

// A takeover in the time of another fault is not judged.
func TestATakeoverBesideAnotherFault(t *testing.T) {
	h := good()
	h.Claims[1].At = at(33)
	h.Faults = append(h.Faults, Fault{Begun: at(22), Ended: at(26), Name: "api cut"})
	for _, v := range func() []string { bad, _ := h.Check(); return bad }() {
		if strings.HasPrefix(v, "I6") {
			t.Error(v)
		}
	}
}
