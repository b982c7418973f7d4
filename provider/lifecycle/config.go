package lifecycle

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"module-controller/provider/plan"
)

// Config are the settings of a base's life. The zero value of each field means its
// default.
type Config struct {
	// StaleAfter is the silence, in which a base is polled, after which its Node turns
	// NotReady. Default 40 s.
	StaleAfter time.Duration
	// UnresponsiveAfter is how long a base that is heard may leave every request
	// unanswered before its Node turns NotReady. Default 90 s.
	UnresponsiveAfter time.Duration
	// GoneAfter is the silence after which its Node is deleted. Default 10 min.
	GoneAfter time.Duration
	// LinkGrace is how long after our own link came back no base ages, because bases
	// take that long to come back themselves. Default 150 s.
	LinkGrace time.Duration
	// ListEvery is how often a base's module list is read while something is uncertain,
	// QuietEvery how often at least while nothing is, HealthEvery how often its health.
	// Defaults 8 s, 60 s but no less than ListEvery, 60 s.
	ListEvery, QuietEvery, HealthEvery time.Duration
	// QuestionRate is how many questions a second this replica asks of bases in all, as far
	// as they can wait: one of which nothing is uncertain is asked sooner than QuietEvery
	// only within it. Default 100.
	QuestionRate float64
	// NodeEvery is how often a Node's status is written when nothing differs: for those who
	// read the heartbeat times of its conditions, since its Lease says that it lives. Default
	// 1 h.
	NodeEvery time.Duration
	// CommandsPerBase is how many commands may be in flight on one base. Default 3.
	CommandsPerBase int

	Node plan.NodeConfig
	Plan plan.Config
}

// Complete gives the configuration with defaults where it says nothing.
func (c Config) Complete() Config {
	c.StaleAfter = cmp.Or(c.StaleAfter, 40*time.Second)
	c.UnresponsiveAfter = cmp.Or(c.UnresponsiveAfter, 90*time.Second)
	c.GoneAfter = cmp.Or(c.GoneAfter, 10*time.Minute)
	c.LinkGrace = cmp.Or(c.LinkGrace, 150*time.Second)
	c.ListEvery = cmp.Or(c.ListEvery, 8*time.Second)
	c.QuietEvery = cmp.Or(c.QuietEvery, max(time.Minute, c.ListEvery))
	c.HealthEvery = cmp.Or(c.HealthEvery, time.Minute)
	c.QuestionRate = cmp.Or(c.QuestionRate, 100)
	c.NodeEvery = cmp.Or(c.NodeEvery, time.Hour)
	c.CommandsPerBase = cmp.Or(c.CommandsPerBase, 3)
	c.Node, c.Plan = c.Node.Complete(), c.Plan.Complete()
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	errs := []error{c.Node.Validate(), c.Plan.Validate()}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"UNRESPONSIVE_AFTER", c.UnresponsiveAfter}, {"LIST_INTERVAL", c.ListEvery}, {"HEALTH_INTERVAL", c.HealthEvery},
		{"NODE_STATUS_INTERVAL", c.NodeEvery}, {"LINK_GRACE", c.LinkGrace},
	} {
		if f.d <= 0 {
			errs = append(errs, fmt.Errorf("%s must be positive, is %s", f.name, f.d))
		}
	}
	if c.CommandsPerBase <= 0 {
		errs = append(errs, fmt.Errorf("COMMANDS_PER_BASE must be positive, is %d", c.CommandsPerBase))
	}
	if c.QuietEvery < c.ListEvery {
		errs = append(errs, fmt.Errorf("QUIET_LIST_INTERVAL (%s) must be no shorter than LIST_INTERVAL (%s)", c.QuietEvery, c.ListEvery))
	}
	if !(c.QuestionRate > 0) { // nor NaN
		errs = append(errs, fmt.Errorf("QUESTION_RATE must be positive, is %g", c.QuestionRate))
	}
	if c.StaleAfter <= c.ListEvery {
		errs = append(errs, fmt.Errorf("STALE_AFTER (%s) must be longer than LIST_INTERVAL (%s): a silent base is polled before it is stale", c.StaleAfter, c.ListEvery))
	}
	if c.GoneAfter <= c.StaleAfter {
		errs = append(errs, fmt.Errorf("GONE_AFTER (%s) must be longer than STALE_AFTER (%s): a Node turns NotReady before it is deleted", c.GoneAfter, c.StaleAfter))
	}
	return errors.Join(errs...)
}
