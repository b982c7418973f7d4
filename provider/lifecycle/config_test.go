package lifecycle

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"module-controller/provider/plan"
)

// Whatever is not said has a default, the settings of other rooms included, and the
// defaults work together.
func TestDefaultsAreCompleteAndValid(t *testing.T) {
	c := Config{}.Complete()
	for name, v := range map[string]reflect.Value{"": reflect.ValueOf(c), "Node.": reflect.ValueOf(c.Node), "Plan.": reflect.ValueOf(c.Plan)} {
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Labels" { // none by default
				continue
			}
			if v.Field(i).IsZero() {
				t.Errorf("%s%s has no default", name, v.Type().Field(i).Name)
			}
		}
	}
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// What is said stays, whatever it is.
func TestDefaultsReplaceNothing(t *testing.T) {
	said := Config{
		StaleAfter: 1, UnresponsiveAfter: 2, GoneAfter: 3, LinkGrace: 4, ListEvery: 5, QuietEvery: 21, HealthEvery: 6, QuestionRate: 22, NodeEvery: 7, CommandsPerBase: 8,
		Node: plan.NodeConfig{DefaultMetaspace: 9, EphemeralStorage: 20, Pods: 10, CPUs: 11, Version: "12", MaxMemory: 18, MaxCPUs: 19},
		Plan: plan.Config{Policy: plan.PolicyUninstall, UnmanagedGrace: 13, CommandTimeout: 14, BackOffBase: 15, BackOffMax: 16, MaxContainers: 17, SecretsOverHTTP: plan.SecretsForbid},
	}
	if got := said.Complete(); got != said {
		t.Errorf("%+v becomes %+v", said, got)
	}
}

// All faults are named at once, those of the rooms that it configures included.
func TestAllFaultsAreNamed(t *testing.T) {
	bad := Config{
		StaleAfter: time.Second, UnresponsiveAfter: -1, GoneAfter: time.Second, LinkGrace: -1, ListEvery: time.Second, QuietEvery: -1, HealthEvery: -1, QuestionRate: -1, NodeEvery: -1,
		CommandsPerBase: -1, Node: plan.NodeConfig{Pods: -1}, Plan: plan.Config{Policy: "guess"},
	}.Complete()
	err := bad.Validate()
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, want := range []string{
		"UNRESPONSIVE_AFTER must", "LINK_GRACE must", "HEALTH_INTERVAL must", "QUIET_LIST_INTERVAL (-1ns) must be no shorter than LIST_INTERVAL (1s)", "QUESTION_RATE must", "NODE_STATUS_INTERVAL must", "COMMANDS_PER_BASE must",
		"STALE_AFTER (1s) must be longer than LIST_INTERVAL (1s)", "GONE_AFTER (1s) must be longer than STALE_AFTER (1s)", "PODS_PER_NODE must", "UNMANAGED_MODULES must",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among the faults:\n%v", want, err)
		}
	}
}

// Each fault alone is enough.
func TestOneFaultIsEnough(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"LIST_INTERVAL must be positive":        func(c *Config) { c.ListEvery = 0 },
		"UNRESPONSIVE_AFTER must be positive":   func(c *Config) { c.UnresponsiveAfter = 0 },
		"HEALTH_INTERVAL must be positive":      func(c *Config) { c.HealthEvery = -1 },
		"no shorter than LIST_INTERVAL":         func(c *Config) { c.QuietEvery = c.ListEvery - 1 },
		"QUESTION_RATE must be positive":        func(c *Config) { c.QuestionRate = math.NaN() },
		"NODE_STATUS_INTERVAL must be positive": func(c *Config) { c.NodeEvery = 0 },
		"LINK_GRACE must be positive":           func(c *Config) { c.LinkGrace = 0 },
		"COMMANDS_PER_BASE must be positive":    func(c *Config) { c.CommandsPerBase = 0 },
		"longer than LIST_INTERVAL":             func(c *Config) { c.ListEvery = c.StaleAfter },
		"longer than STALE_AFTER":               func(c *Config) { c.GoneAfter = c.StaleAfter },
	} {
		c := Config{}.Complete()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want only %q, got %v", name, err)
		}
	}
}
