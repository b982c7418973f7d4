package provider

import (
	"cmp"
	"errors"
	"fmt"

	"module-controller/provider/lifecycle"
	"module-controller/provider/probes"
)

// Config are the provider's settings. The zero value of each field means its default.
type Config struct {
	// Workers is how many bases are worked on at a time. Default 32: most wait for the API server.
	Workers int
	// HistoryLimit bounds what is remembered of bases and modules that are no more:
	// failures of modules that vanished, what was installed on retired bases, and
	// bases that stay out because they never answered.
	// Default 4096 entries each.
	HistoryLimit int
	// Admission bounds which new bases come in.
	Admission Admission
	// Probes bounds what the probing of modules costs.
	Probes probes.Config

	lifecycle.Config
}

// Complete gives the configuration with defaults where it says nothing.
func (c Config) Complete() Config {
	c.Workers = cmp.Or(c.Workers, 32)
	c.HistoryLimit = cmp.Or(c.HistoryLimit, 4096)
	c.Admission = c.Admission.complete()
	c.Probes = c.Probes.Complete()
	c.Config = c.Config.Complete()
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate(), c.Admission.validate(), c.Probes.Validate()}
	if c.Workers <= 0 {
		errs = append(errs, fmt.Errorf("VNODE_WORKER_NUM must be positive, is %d", c.Workers))
	}
	if c.HistoryLimit <= 0 {
		errs = append(errs, fmt.Errorf("HISTORY_LIMIT must be positive, is %d", c.HistoryLimit))
	}
	return errors.Join(errs...)
}
