package provider

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/lifecycle"
	"module-controller/tunnel"
)

// inbox is the part of a base's record that any goroutine may touch: tunnels and caches
// fill the mailbox, gauges read the summary.
type inbox struct {
	mu sync.Mutex
	// mu guards what follows
	mailbox lifecycle.Mailbox
	summary lifecycle.Summary
	sight   lifecycle.Sight
	waiting []*waiter
}

// take empties the mailbox.
func (i *inbox) take() lifecycle.Mail {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mailbox.Take()
}

// heartbeat records one and says whether the base is to be reconciled, and whether it is
// one of a contender.
func (i *inbox) heartbeat(h tunnel.Heartbeat) (wake, contends bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	contends = i.mailbox.Contends(h)
	return i.mailbox.Heartbeat(h), contends
}

// bind says whose words are the base's from now on.
func (i *inbox) bind(to lifecycle.Incumbent, within time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.Bind(to, within)
}

// report records one and says whether the base is to be reconciled.
func (i *inbox) report(r tunnel.Report) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mailbox.Believes(r) {
		i.sight.See(r)
		for _, w := range i.waiting {
			w.tell(r)
		}
	}
	return i.mailbox.Report(r)
}

// look gives what the base told last.
func (i *inbox) look() lifecycle.Sight {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sight
}

// workload gives the one that the base was proved to run in by a heartbeat that came here;
// empty without one.
func (i *inbox) workload() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mailbox.Workload()
}

// nodeDeleted records that the base's Node was deleted.
func (i *inbox) nodeDeleted(uid types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.NodeDeleted(uid)
}

// asked records that a list was asked for; forgetRequests that none will come.
func (i *inbox) asked(at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.Asked(at)
}

func (i *inbox) forgetRequests() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.ForgetRequests()
}

// settle lets the mailbox wake nobody while the same modules are listed; unsettle ends
// that.
func (i *inbox) settle(modules []tunnel.Module) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.Settle(modules)
}

func (i *inbox) unsettle() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.Unsettle()
}

// listen says when the base's silence is to wake a worker; silent whether it is to now.
func (i *inbox) listen(s lifecycle.Silence) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mailbox.Listen(s)
}

func (i *inbox) silent(now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mailbox.Silent(now)
}

// summarize records what a Turn found, for gauges; nil leaves what is there.
func (i *inbox) summarize(s *lifecycle.Summary) {
	if s == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.summary = *s
}

func (i *inbox) lastSummary() lifecycle.Summary {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.summary
}
