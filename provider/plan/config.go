package plan

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Policy says what to do with a module that no pod asks for and that this
// controller did not install. What it did install is uninstalled either way.
type Policy string

// The policies.
const (
	PolicyReport    Policy = "report"
	PolicyUninstall Policy = "uninstall"
)

// SecretsPolicy says whether Secrets may leave in a way that others can read.
type SecretsPolicy string

// The policies.
const (
	SecretsAllow  SecretsPolicy = "allow"
	SecretsForbid SecretsPolicy = "forbid"
)

// Config are the planner's settings; the zero value of each means its default.
type Config struct {
	Policy Policy // default PolicyReport
	// UnmanagedGrace is how long a module that lost its pod without a graceful deletion
	// stays before it is uninstalled. Default 10 s.
	UnmanagedGrace time.Duration
	// CommandTimeout is how long an unanswered command counts as in flight;
	// then the list decides. Default 60 s.
	CommandTimeout time.Duration
	// BackOffBase doubles with each failure up to BackOffMax. Default 10 s, 5 min.
	BackOffBase, BackOffMax time.Duration
	// MaxContainers refuses pods with more. Default 64.
	MaxContainers int
	// SecretsOverHTTP says whether pods that refer to Secrets are installed on bases over
	// HTTP, where whoever can read the pod network can read them. Default SecretsAllow.
	SecretsOverHTTP SecretsPolicy
}

// Complete gives a copy with the defaults filled in.
func (c Config) Complete() Config {
	c.Policy = cmp.Or(c.Policy, PolicyReport)
	c.UnmanagedGrace = cmp.Or(c.UnmanagedGrace, 10*time.Second)
	c.CommandTimeout = cmp.Or(c.CommandTimeout, time.Minute)
	c.BackOffBase = cmp.Or(c.BackOffBase, 10*time.Second)
	c.BackOffMax = cmp.Or(c.BackOffMax, 5*time.Minute)
	c.MaxContainers = cmp.Or(c.MaxContainers, 64)
	c.SecretsOverHTTP = cmp.Or(c.SecretsOverHTTP, SecretsAllow)
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var f faults
	switch c.Policy {
	case PolicyReport, PolicyUninstall:
	default:
		f.add("UNMANAGED_MODULES must be %s or %s, is %q", PolicyReport, PolicyUninstall, c.Policy)
	}
	f.positive("UNMANAGED_GRACE", int64(c.UnmanagedGrace))
	f.positive("COMMAND_TIMEOUT", int64(c.CommandTimeout))
	f.positive("BACKOFF_BASE", int64(c.BackOffBase))
	f.positive("BACKOFF_MAX", int64(c.BackOffMax))
	f.positive("MAX_CONTAINERS", int64(c.MaxContainers))
	if 0 < c.BackOffMax && c.BackOffMax < c.BackOffBase {
		f.add("BACKOFF_MAX (%s) must be no shorter than BACKOFF_BASE (%s)", c.BackOffMax, c.BackOffBase)
	}
	switch c.SecretsOverHTTP {
	case SecretsAllow, SecretsForbid:
	default:
		f.add("SECRETS_OVER_HTTP must be %s or %s, is %q", SecretsAllow, SecretsForbid, c.SecretsOverHTTP)
	}
	return errors.Join(f...)
}

// NodeConfig are the settings of the Nodes that bases become. The zero value of
// each field means its default.
type NodeConfig struct {
	// DefaultMetaspace, in bytes, is the memory capacity of a Node whose base has
	// no metaspace limit or does not tell it. Default 1 GiB.
	DefaultMetaspace int64
	// EphemeralStorage, in bytes, is shown as a Node's: a base's disk is not measured, and
	// requests for it, as a LimitRange adds them, are to block nothing. Default 1 TiB.
	EphemeralStorage int64
	// Pods is the pod capacity of a Node. Default 110.
	Pods int64
	// CPUs is the cpu capacity of a Node whose base does not tell its processors.
	// Default 8.
	CPUs int64
	// MaxMemory, in bytes, and MaxCPUs bound what a base is believed to have. Defaults
	// 64 GiB, 256.
	MaxMemory, MaxCPUs int64
	// Labels are further ones of each Node, as "key=value,key=value". Default: none.
	Labels string
	// Version is this build's; a Node's kubelet version ends with it. Default "dev".
	Version string
}

// Complete gives a copy with the defaults filled in.
func (c NodeConfig) Complete() NodeConfig {
	c.DefaultMetaspace = cmp.Or(c.DefaultMetaspace, 1<<30)
	c.EphemeralStorage = cmp.Or(c.EphemeralStorage, 1<<40)
	c.Pods = cmp.Or(c.Pods, 110)
	c.CPUs = cmp.Or(c.CPUs, 8)
	c.MaxMemory = cmp.Or(c.MaxMemory, 64<<30)
	c.MaxCPUs = cmp.Or(c.MaxCPUs, 256)
	c.Version = cmp.Or(c.Version, "dev")
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c NodeConfig) Validate() error {
	var f faults
	f.positive("DEFAULT_METASPACE", c.DefaultMetaspace)
	f.positive("EPHEMERAL_STORAGE_PER_NODE", c.EphemeralStorage)
	f.positive("PODS_PER_NODE", c.Pods)
	f.positive("CPUS_PER_NODE", c.CPUs)
	f.positive("NODE_MAX_MEMORY", c.MaxMemory)
	f.positive("NODE_MAX_CPUS", c.MaxCPUs)
	if c.DefaultMetaspace > c.MaxMemory {
		f.add("DEFAULT_METASPACE must be at most NODE_MAX_MEMORY (%d), is %d", c.MaxMemory, c.DefaultMetaspace)
	}
	if c.CPUs > c.MaxCPUs {
		f.add("CPUS_PER_NODE must be at most NODE_MAX_CPUS (%d), is %d", c.MaxCPUs, c.CPUs)
	}
	if c.Version == "" {
		f.add("Version must not be empty")
	}
	if err := c.checkLabels(); err != nil {
		f = append(f, err)
	}
	return errors.Join(f...)
}

// faults are all that is wrong with a configuration.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) positive(name string, n int64) {
	if n <= 0 {
		f.add("%s must be positive, is %d", name, n)
	}
}
