package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigComplete(t *testing.T) {
	want := Config{
		Policy: PolicyReport, UnmanagedGrace: 10 * time.Second, CommandTimeout: time.Minute,
		BackOffBase: 10 * time.Second, BackOffMax: 5 * time.Minute, MaxContainers: 64, SecretsOverHTTP: SecretsAllow,
	}
	if d := cmp.Diff(want, Config{}.Complete()); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
	set := Config{
		Policy: PolicyUninstall, UnmanagedGrace: time.Second, CommandTimeout: 2 * time.Second,
		BackOffBase: 3 * time.Second, BackOffMax: 4 * time.Second, MaxContainers: 5, SecretsOverHTTP: SecretsForbid,
	}
	if d := cmp.Diff(set, set.Complete()); d != "" {
		t.Errorf("what was set is changed (-want +got):\n%s", d)
	}
}

func TestNodeConfigComplete(t *testing.T) {
	want := NodeConfig{DefaultMetaspace: 1 << 30, EphemeralStorage: 1 << 40, Pods: 110, CPUs: 8, MaxMemory: 64 << 30, MaxCPUs: 256, Version: "dev"}
	if d := cmp.Diff(want, NodeConfig{}.Complete()); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
	set := NodeConfig{DefaultMetaspace: 1, EphemeralStorage: 7, Pods: 2, CPUs: 3, MaxMemory: 5, MaxCPUs: 6, Labels: "a=b", Version: "v4"}
	if d := cmp.Diff(set, set.Complete()); d != "" {
		t.Errorf("what was set is changed (-want +got):\n%s", d)
	}
}

// All faults are told at once, and the defaults have none.
func TestConfigsValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  interface{ Validate() error }
		want []string // a word of each fault
	}{
		{"defaults", Config{}.Complete(), nil},
		{"defaults of a Node", NodeConfig{}.Complete(), nil},
		{"not completed", Config{}, []string{"UNMANAGED_MODULES", "UNMANAGED_GRACE", "COMMAND_TIMEOUT", "BACKOFF_BASE", "BACKOFF_MAX", "MAX_CONTAINERS", "SECRETS_OVER_HTTP"}},
		{"a Node's, not completed", NodeConfig{}, []string{"DEFAULT_METASPACE", "EPHEMERAL_STORAGE_PER_NODE", "PODS_PER_NODE", "CPUS_PER_NODE", "NODE_MAX_MEMORY", "NODE_MAX_CPUS", "Version"}},
		{"a policy nobody knows", Config{Policy: "burn"}.Complete(), []string{"burn"}},
		{"Secrets, sometimes", Config{SecretsOverHTTP: "sometimes"}.Complete(), []string{"sometimes"}},
		{"defaults beyond what is believed", NodeConfig{MaxMemory: 1, MaxCPUs: 1}.Complete(), []string{"DEFAULT_METASPACE", "CPUS_PER_NODE"}},
		{"labels that are none", NodeConfig{Labels: "a"}.Complete(), []string{"VNODE_LABELS"}},
		{"labels that have no such value", NodeConfig{Labels: "a=b c"}.Complete(), []string{"VNODE_LABELS"}},
		{"labels that are set already", NodeConfig{Labels: "type=x"}.Complete(), []string{"type"}},
		{"labels that a base's words have", NodeConfig{Labels: "base.koupleless.io/name=x"}.Complete(), []string{"base.koupleless.io/name"}},
		{"labels", NodeConfig{Labels: "topology.kubernetes.io/zone=a,team=blue"}.Complete(), nil},
		{"negative", Config{BackOffMax: -1, MaxContainers: -64}.Complete(), []string{"BACKOFF_MAX", "-64"}},
		{"shorter as it grows", Config{BackOffBase: 2, BackOffMax: 1}.Complete(), []string{"no shorter than BACKOFF_BASE (2ns)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := faultsOf(c.cfg.Validate())
			if len(faults) != len(c.want) {
				t.Fatalf("faults %q, want %d", faults, len(c.want))
			}
			for i, word := range c.want {
				if !strings.Contains(faults[i], word) {
					t.Errorf("fault %q does not tell of %s", faults[i], word)
				}
			}
		})
	}
}

func faultsOf(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}
