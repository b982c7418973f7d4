package tunneltest

import (
	"context"
	"slices"
	"sync"

	"module-controller/tunnel"
)

// Replicas is how many replicas there are in each case of the suite.
const Replicas = 3

// Team is what the replicas of a case know of each other, as members know it by Leases. The
// replicas have the numbers from 0 on.
type Team struct {
	gates [Replicas]*Gate

	mu    sync.Mutex
	owner map[tunnel.BaseID]int // mu guards it
}

func newTeam() *Team {
	t := &Team{owner: map[tunnel.BaseID]int{}}
	for n := range t.gates {
		t.gates[n] = NewGate()
	}
	return t
}

// Gate is that of a replica.
func (t *Team) Gate(n int) tunnel.Gate { return t.gates[n] }

// Owner gives the replica that follows a base; ok is false if none does.
func (t *Team) Owner(b tunnel.BaseID) (n int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok = t.owner[b]
	return n, ok
}

func (t *Team) follows(b tunnel.BaseID, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owner[b] = n
}

// unfollows takes in that a replica lets a base go, unless it is another's already.
func (t *Team) unfollows(b tunnel.BaseID, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.owner[b] == n {
		delete(t.owner, b)
	}
}

// replica is one of the team, and all that it was told.
type replica struct {
	number int
	Tunnel *noted
	gate   *Gate
	sink   *RecordingSink
	stop   context.CancelFunc // ends Run; nil where it does not run
	ended  chan error         // what Run returned
}

func newReplica(n int, t tunnel.Tunnel, team *Team) *replica {
	sink := &RecordingSink{}
	return &replica{number: n, gate: team.gates[n], sink: sink, Tunnel: &noted{
		Tunnel: t, number: n, team: team, sink: sink, followed: map[tunnel.BaseID][]span{}, sent: map[sending]int{},
	}}
}

func (r *replica) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.Tunnel.Run(ctx, r.sink) }()
}

// noted is a tunnel of which is noted what it is asked for.
type noted struct {
	tunnel.Tunnel
	number int
	team   *Team
	sink   *RecordingSink

	mu sync.Mutex
	// mu guards what follows
	followed map[tunnel.BaseID][]span
	sent     map[sending]int
}

// span is the reports that came while a base was followed: from is the first one, to the first
// one behind; endless while it is followed.
type span struct{ from, to int }

const endless = int(^uint(0) >> 1)

// sending is the commands for one module of a base that change something.
type sending struct {
	base   tunnel.BaseID
	module tunnel.ModuleKey
}

// Follow implements tunnel.Tunnel.
func (n *noted) Follow(h tunnel.Heartbeat) {
	n.mu.Lock()
	if spans := n.followed[h.Base]; len(spans) == 0 || spans[len(spans)-1].to != endless {
		n.followed[h.Base] = append(spans, span{n.sink.now().reports, endless})
	}
	n.mu.Unlock()
	n.team.follows(h.Base, n.number)
	n.Tunnel.Follow(h)
}

// Unfollow implements tunnel.Tunnel.
func (n *noted) Unfollow(b tunnel.BaseID) {
	n.Tunnel.Unfollow(b)
	n.team.unfollows(b, n.number)
	n.let(b)
}

// let notes that a base is followed no more.
func (n *noted) let(b tunnel.BaseID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if spans := n.followed[b]; len(spans) > 0 {
		last := &spans[len(spans)-1]
		last.to = min(last.to, n.sink.now().reports)
	}
}

// unfollowAll notes that no base is followed, for Run has ended.
func (n *noted) unfollowAll() {
	n.mu.Lock()
	var all []tunnel.BaseID
	for b := range n.followed {
		all = append(all, b)
	}
	n.mu.Unlock()
	for _, b := range all {
		n.let(b)
	}
}

// Do implements tunnel.Tunnel.
func (n *noted) Do(ctx context.Context, b tunnel.BaseID, c tunnel.Command) error {
	err := n.Tunnel.Do(ctx, b, c)
	if err == nil && slices.Contains([]tunnel.Verb{tunnel.InstallModule, tunnel.UninstallModule, tunnel.SwitchModule}, c.Verb) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.sent[sending{b, c.Module}]++
	}
	return err
}

// follows says whether a base was followed when a report came.
func (n *noted) follows(b tunnel.BaseID, report int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.followed[b], func(s span) bool { return s.from <= report && report < s.to })
}

// sends is how many commands were sent.
func (n *noted) sends(s sending) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent[s]
}
