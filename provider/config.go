package provider

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"module-controller/provider/plan"
)

// Config are the provider's settings. The zero value of each field means its
// default.
type Config struct {
	// Workers is how many bases are worked on at a time. Default 16.
	Workers int
	// StaleAfter is the silence, in which a base is polled, after which its Node
	// turns NotReady. Default 40 s.
	StaleAfter time.Duration
	// AnswerAfter is how long a base that is heard may leave every request
	// unanswered before its Node turns NotReady. Default 90 s.
	AnswerAfter time.Duration
	// GoneAfter is the silence after which its Node is deleted. Default 10 min.
	GoneAfter time.Duration
	// LinkGrace is how long after our own link came back no base ages, because
	// bases take that long to come back themselves. Default 150 s.
	LinkGrace time.Duration
	// ListEvery is how often a base's module list is read, HealthEvery its health.
	// Defaults 8 s, 60 s.
	ListEvery, HealthEvery time.Duration
	// NodeEvery is how often a Node's status is written when nothing differs.
	// Default 5 min.
	NodeEvery time.Duration
	// CommandsPerBase is how many commands may be under way on one base. Default 3.
	CommandsPerBase int
	// Remembered bounds what is remembered of bases and modules that are no more:
	// failures of modules that vanished, and what was installed on retired bases.
	// Default 4096 entries each.
	Remembered int

	Node plan.NodeConfig
	Plan plan.Config
}

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.Workers = cmp.Or(c.Workers, 16)
	c.StaleAfter = cmp.Or(c.StaleAfter, 40*time.Second)
	c.AnswerAfter = cmp.Or(c.AnswerAfter, 90*time.Second)
	c.GoneAfter = cmp.Or(c.GoneAfter, 10*time.Minute)
	c.LinkGrace = cmp.Or(c.LinkGrace, 150*time.Second)
	c.ListEvery = cmp.Or(c.ListEvery, 8*time.Second)
	c.HealthEvery = cmp.Or(c.HealthEvery, time.Minute)
	c.NodeEvery = cmp.Or(c.NodeEvery, 5*time.Minute)
	c.CommandsPerBase = cmp.Or(c.CommandsPerBase, 3)
	c.Remembered = cmp.Or(c.Remembered, 4096)
	c.Node, c.Plan = c.Node.Complete(), c.Plan.Complete()
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, n int64) {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("%s must be positive, is %d", name, n))
		}
	}
	positive("Workers", int64(c.Workers))
	positive("CommandsPerBase", int64(c.CommandsPerBase))
	positive("Remembered", int64(c.Remembered))
	positive("AnswerAfter", int64(c.AnswerAfter))
	positive("ListEvery", int64(c.ListEvery))
	positive("HealthEvery", int64(c.HealthEvery))
	positive("NodeEvery", int64(c.NodeEvery))
	positive("LinkGrace", int64(c.LinkGrace))
	if c.StaleAfter <= c.ListEvery {
		errs = append(errs, fmt.Errorf("StaleAfter (%s) must be longer than ListEvery (%s): a silent base is polled before it is stale", c.StaleAfter, c.ListEvery))
	}
	if c.GoneAfter <= c.StaleAfter {
		errs = append(errs, fmt.Errorf("GoneAfter (%s) must be longer than StaleAfter (%s): a Node turns NotReady before it is deleted", c.GoneAfter, c.StaleAfter))
	}
	errs = append(errs, c.Node.Validate(), c.Plan.Validate())
	return errors.Join(errs...)
}
