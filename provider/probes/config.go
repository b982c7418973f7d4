package probes

import (
	"cmp"
	"errors"
	"fmt"
)

// Config bounds what probing may cost. The zero value of each field means its default.
type Config struct {
	// Workers is how many probes are made at a time. Default 256: most wait for an answer.
	Workers int
	// PerBase is how many of them may be of one base. Default 16.
	PerBase int
}

// Complete gives the configuration with defaults where it says nothing.
func (c Config) Complete() Config {
	c.Workers = cmp.Or(c.Workers, 256)
	c.PerBase = cmp.Or(c.PerBase, 16)
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.Workers <= 0 {
		errs = append(errs, fmt.Errorf("PROBE_WORKERS must be positive, is %d", c.Workers))
	}
	if c.PerBase <= 0 {
		errs = append(errs, fmt.Errorf("PROBES_PER_BASE must be positive, is %d", c.PerBase))
	}
	return errors.Join(errs...)
}
