package provider

import (
	"strings"
	"testing"
	"time"

	"module-controller/provider/lifecycle"
)

func TestConfigHasDefaults(t *testing.T) {
	c := Config{}.Complete()
	if c.Workers != 32 || c.HistoryLimit != 4096 || c.StaleAfter != 40*time.Second {
		t.Errorf("the defaults are %+v", c)
	}
	must(t, c.Validate())
	if c := (Config{Workers: 3, HistoryLimit: 5}).Complete(); c.Workers != 3 || c.HistoryLimit != 5 {
		t.Errorf("what is said is %+v", c)
	}
}

// All that is wrong is told at once.
func TestConfigIsValidated(t *testing.T) {
	c := Config{Workers: -1, HistoryLimit: -2, Config: lifecycle.Config{CommandsPerBase: -3}}.Complete()
	err := c.Validate()
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, part := range []string{"VNODE_WORKER_NUM must be positive, is -1", "HISTORY_LIMIT must be positive, is -2", "COMMANDS_PER_BASE must be positive, is -3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("it does not say %q: %v", part, err)
		}
	}
}
