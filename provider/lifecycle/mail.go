package lifecycle

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// Mail is what the incumbent of a base reported since its last Turn, and who contends with
// it. The last message of each kind wins, but for answers: the last of each module name.
type Mail struct {
	// LastSeen is when the incumbent's last message of any kind came; zero when none came.
	LastSeen time.Time
	// Beat is when its last heartbeat came; zero when none came.
	Beat time.Time
	// Contest is what was heard of others since this one is the incumbent.
	Contest Contest

	Heartbeat *tunnel.Heartbeat
	// Process is the most that a heartbeat told of the base's process. It holds although a
	// later heartbeat is the one kept.
	Process Process
	// Answering is the most that a report told beside its contents.
	Answering Answering
	List      *tunnel.Report // Asked is set, to the time of the request at the earliest; zero where nobody asked
	Health    *tunnel.Health
	Features  *tunnel.Features
	Answers   map[string]tunnel.Report // by module name
	// Owed is how many lists were asked for and have not come.
	Owed int
	// NodeLost is the UID of the base's Node that was deleted; empty for none.
	NodeLost types.UID
}

// Answering is what reports tell beside their contents. Values are ordered.
type Answering int

// The values.
const (
	NoReport     Answering = iota // none came
	Answered                      // one came, so the base answers what it is asked
	BaselineDone                  // one said that the base has done what a baseline said
)

// Process is what heartbeats tell of a base's process. Values are ordered.
type Process int

// The values.
const (
	SameProcess Process = iota // nothing
	Doubted                    // one came out of time, so it may be a new one
	Restarted                  // one said that it has just started
)

// Mailbox records what tunnels hear of one base until a worker takes it. Its methods do
// not block. It has no lock: the caller holds one.
type Mailbox struct {
	mail Mail
	// incumbent is whose words are the base's; all others only contend. A contender is
	// forgotten that was not heard within the time of within.
	incumbent Incumbent
	within    time.Duration
	// requests are when the lists were asked for that have not come, the oldest first:
	// over MQTT nothing else tells which request a list answers.
	requests []time.Time
	waking
	last tunnel.Heartbeat // the newest one, to see what changed
	well tunnel.Health    // the newest one, to see what changed

	heartbeats, lists, healths order
	rhythm                     rhythm
}

// waking is what wakes a worker, and what does not.
type waking struct {
	// settled: the worker found nothing to do about listed, so that hearing the same
	// again need not wake it.
	settled bool
	listed  []tunnel.Module
	silence Silence // of the incumbent
}

// Take empties the mailbox. Until Settle, whatever is heard wakes a worker.
func (m *Mailbox) Take() Mail {
	out := m.mail
	out.Owed = len(m.requests)
	m.mail = Mail{Contest: out.Contest}
	m.settled, m.silence = false, Silence{}
	return out
}

// Listen says when the base's silence is to wake a worker, until the next Take.
func (m *Mailbox) Listen(s Silence) {
	s.Since = later(s.Since, m.mail.LastSeen)
	m.silence = s
}

// Silent says whether the base's silence is to wake a worker now.
func (m *Mailbox) Silent(now time.Time) bool {
	due := m.silence.Due()
	return !due.IsZero() && !now.Before(due)
}

// Settle says that the worker has nothing more to do while these modules are listed.
func (m *Mailbox) Settle(modules []tunnel.Module) { m.settled, m.listed = true, modules }

// Unsettle makes the next message wake a worker.
func (m *Mailbox) Unsettle() { m.settled = false }

// NodeDeleted records that the base's Node was deleted.
func (m *Mailbox) NodeDeleted(uid types.UID) {
	m.mail.NodeLost, m.settled = uid, false
}

// Bind says whose words are the base's from now on, and for how long a contender counts as
// heard after its last heartbeat. What was recorded of another is forgotten, but for what
// the new incumbent said itself while it was a contender.
func (m *Mailbox) Bind(to Incumbent, within time.Duration) {
	was, contender := m.incumbent, m.mail.Contest.Contender
	m.incumbent, m.within = to, within
	switch {
	case was.Tunnel == "", was == to:
		return
	case m.last.Tunnel != "" && to.Is(m.last): // the same one, of which more is known
		return
	}
	*m = Mailbox{mail: Mail{NodeLost: m.mail.NodeLost}, incumbent: to, within: within}
	if contender.Tunnel != "" && to.Is(contender) {
		m.Heartbeat(contender)
	}
}

// Heartbeat records one and says whether the base is to be reconciled.
func (m *Mailbox) Heartbeat(h tunnel.Heartbeat) (wake bool) {
	if m.Contends(h) {
		return m.mail.Contest.contend(m.incumbent, h, m.within)
	}
	m.seen(h.Received)
	m.mail.Beat = later(m.mail.Beat, h.Received)
	m.mail.Contest.returned(h.Received)
	if h.Restarted { // its clock may be another's now
		m.heartbeats, m.lists, m.healths = order{}, order{}, order{}
		m.mail.Process = Restarted
	}
	changed := m.doubts(h)
	if !m.heartbeats.late(h.Stamp, h.Received) { // a late one is only a message
		changed = changed || describe(m.last) != describe(h)
		m.last, m.mail.Heartbeat = h, &h
	}
	if changed || h.Restarted {
		return true
	}
	return !m.settled
}

// doubts says whether a heartbeat came out of time, where nothing else tells of a new process.
func (m *Mailbox) doubts(h tunnel.Heartbeat) bool {
	switch {
	case !h.Stamp.IsZero(), !m.rhythm.breaks(h.Received):
		return false
	}
	m.mail.Process = max(m.mail.Process, Doubted)
	return true
}

// Contends says whether a heartbeat is a contender's.
func (m *Mailbox) Contends(h tunnel.Heartbeat) bool { return !m.incumbent.Is(h) }

// description is what a heartbeat says of the base that may differ from the last one.
type description struct {
	about    tunnel.About
	endpoint tunnel.Endpoint
	tunnel   string
	sender   tunnel.Sender
}

func describe(h tunnel.Heartbeat) description {
	return description{h.About(), h.Endpoint(), h.Tunnel, h.Sender}
}

// Report records one and says whether the base is to be reconciled. A list or health that
// comes late is only a message, and what comes through another tunnel than the incumbent's
// is not the base's word.
func (m *Mailbox) Report(r tunnel.Report) (wake bool) {
	if m.foreign(r) {
		return false
	}
	m.seen(r.Received)
	m.mail.Answering = max(m.mail.Answering, Answered)
	switch {
	case !m.Believes(r):
		return false
	case r.Listed:
		return m.list(r)
	case r.Health != nil:
		return m.health(r)
	case r.Baseline:
		m.mail.Answering = BaselineDone
	case r.Features != nil:
		m.mail.Features = r.Features
	case r.Answer != nil:
		if m.mail.Answers == nil {
			m.mail.Answers = map[string]tunnel.Report{}
		}
		m.mail.Answers[r.Answer.Module.Name] = r
	}
	return true
}

// Believes says whether a report counts as the base's word: it comes through its tunnel, and
// it is known whose word it is.
func (m *Mailbox) Believes(r tunnel.Report) bool {
	return !m.foreign(r) && !m.mail.Contest.ambiguous(r.Received, m.within)
}

// foreign says of a report that it comes through another tunnel than the incumbent's.
func (m *Mailbox) foreign(r tunnel.Report) bool {
	return m.incumbent.Tunnel != "" && r.Tunnel != m.incumbent.Tunnel
}

// Workload is the one that the incumbent was proved to run in by a heartbeat that came here;
// empty without one. What a Node tells of it anybody may have written who may change Nodes.
func (m *Mailbox) Workload() string { return m.last.Sender.Workload }

// Through is the tunnel by which the incumbent is spoken to; empty while nobody is known.
func (m *Mailbox) Through() string { return m.incumbent.Tunnel }

func (m *Mailbox) list(r tunnel.Report) (wake bool) {
	if m.lists.late(r.Stamp, r.Received) {
		return false
	}
	if r.Asked.IsZero() {
		r.Asked = m.popRequest(r.Received)
	} else {
		m.requests = slices.DeleteFunc(m.requests, func(t time.Time) bool { return !t.After(r.Asked) })
	}
	if older := m.mail.List; older != nil && older.Asked.After(r.Asked) {
		return true // this one was on its way for longer
	}
	m.mail.List = &r
	if !m.settled {
		return true
	}
	return !slices.Equal(m.listed, r.Modules)
}

func (m *Mailbox) health(r tunnel.Report) (wake bool) {
	if m.healths.late(r.Stamp, r.Received) {
		return false
	}
	was := m.well
	m.mail.Health, m.well = r.Health, *r.Health
	if !m.settled {
		return true
	}
	return r.Health.Uptime < was.Uptime || !sameHealth(was, m.well)
}

// sameHealth says whether two healths differ in nothing that a Node shows: not in the time
// that the base has run, nor in what it has used of its processors.
func sameHealth(a, b tunnel.Health) bool { return shown(a) == shown(b) }

// shown is what a Node shows of a health.
func shown(h tunnel.Health) tunnel.Health {
	h.Uptime, h.CPUsInUse = 0, 0
	return h
}

func (m *Mailbox) seen(at time.Time) {
	m.mail.LastSeen = later(m.mail.LastSeen, at)
	m.silence.Since = later(m.silence.Since, at)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

const (
	// maxRequests bounds what is remembered of lists that never came.
	maxRequests = 8
	// requestLost is the age at which an unanswered request counts as lost.
	requestLost = 30 * time.Second
)

// Asked records that a list was asked for now.
func (m *Mailbox) Asked(now time.Time) {
	m.requests = append(m.requests, now)
	if extra := len(m.requests) - maxRequests; extra > 0 {
		m.requests = slices.Delete(m.requests, 0, extra)
	}
}

// ForgetRequests forgets the lists that were asked for: none will come.
func (m *Mailbox) ForgetRequests() { m.requests = nil }

// popRequest matches a list to the oldest outstanding request. It gives the zero time
// where nobody asked. Of several requests the old ones count as lost.
func (m *Mailbox) popRequest(now time.Time) time.Time {
	if len(m.requests) > 1 {
		m.requests = slices.DeleteFunc(m.requests, func(t time.Time) bool { return now.Sub(t) > requestLost })
	}
	if len(m.requests) == 0 {
		return time.Time{}
	}
	asked := m.requests[0]
	m.requests = m.requests[1:]
	return asked
}
