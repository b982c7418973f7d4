package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// deprecated has, by the old name, the new one and a value that is not the default.
var deprecated = map[string]struct{ new, value string }{
	"ACT_WINDOW":       {"RENEW_DEADLINE", "3s"},
	"ANSWER_AFTER":     {"UNRESPONSIVE_AFTER", "1m20s"},
	"ANSWER_TIMEOUT":   {"COMMAND_TIMEOUT", "30s"},
	"BACKOFF_FIRST":    {"BACKOFF_BASE", "1s"},
	"REMEMBERED":       {"HISTORY_LIMIT", "17"},
	"UNWANTED_GRACE":   {"UNMANAGED_GRACE", "12s"},
	"UNWANTED_MODULES": {"UNMANAGED_MODULES", "uninstall"},
}

func with(env map[string]string, name, value string) map[string]string {
	env = maps.Clone(env)
	env[name] = value
	return env
}

func TestEveryDeprecatedNameIsTested(t *testing.T) {
	old := map[string]string{}
	for _, s := range settings(newConfig()) {
		if s.was != "" {
			old[s.was] = s.env
		}
	}
	want := map[string]string{}
	for name, d := range deprecated {
		want[name] = d.new
	}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("(-tested +there):\n%s", diff)
	}
}

// The old name of a setting, as variable and as flag, does what the new one does, and
// a warning names the new one.
func TestDeprecatedNamesAreAccepted(t *testing.T) {
	for old, d := range deprecated {
		want := texts(read(t, with(needed(), d.new, d.value)))
		if want[d.new] != d.value {
			t.Errorf("%s=%s: it is %s", d.new, d.value, want[d.new])
		}
		for form, c := range map[string]struct {
			cfg      *config
			old, new string
		}{
			"variable":              {read(t, with(needed(), old, d.value)), old, d.new},
			"flag":                  {read(t, needed(), "--"+flagOf(old)+"="+d.value), "--" + flagOf(old), "--" + flagOf(d.new)},
			"flag before variable":  {read(t, with(needed(), old, "wrong"), "--"+flagOf(old), d.value), "--" + flagOf(old), "--" + flagOf(d.new)},
			"new variable is empty": {read(t, with(with(needed(), old, d.value), d.new, "")), old, d.new},
		} {
			if diff := cmp.Diff(want, texts(c.cfg)); diff != "" {
				t.Errorf("%s as %s (-new name +old name):\n%s", old, form, diff)
			}
			if warnings := warned(c.cfg); len(warnings) != 1 || warnings[0].Message != "deprecated setting: the next version will not accept it" ||
				cmp.Diff(warnings[0].ContextMap(), map[string]any{"setting": c.old, "use": c.new}) != "" {
				t.Errorf("%s as %s: warnings %v", old, form, warnings)
			}
		}
	}
}

func warned(cfg *config) []observer.LoggedEntry {
	core, logs := observer.New(zapcore.WarnLevel)
	warn(zap.New(core), cfg)
	return logs.All()
}

// Which of both names holds is not guessed, wherever they are set.
func TestBothNamesAtOnceAreRefused(t *testing.T) {
	for old, d := range deprecated {
		oldFlag, newFlag := "--"+flagOf(old), "--"+flagOf(d.new)
		for want, c := range map[string]struct {
			env  map[string]string
			args []string
		}{
			old + " and " + d.new + " are both set: " + old + " is the deprecated name of " + d.new + ", remove it": {
				env: with(with(needed(), old, d.value), d.new, d.value)},
			oldFlag + " and " + newFlag + " are both set: " + oldFlag + " is the deprecated name of " + newFlag + ", remove it": {
				env: needed(), args: []string{oldFlag, d.value, newFlag, d.value}},
			oldFlag + " and " + d.new + " are both set: " + oldFlag + " is the deprecated name of " + newFlag + ", remove it": {
				env: with(needed(), d.new, d.value), args: []string{oldFlag, d.value}},
			old + " and " + newFlag + " are both set: " + old + " is the deprecated name of " + d.new + ", remove it": {
				env: with(needed(), old, d.value), args: []string{newFlag, d.value}},
		} {
			if _, err := readConfig(c.args, c.env); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %s", err, want)
			}
		}
	}
}

// What is set by its new names, or asks for nothing, is not warned of.
func TestWarnings(t *testing.T) {
	env := with(with(needed(), "RENEW_DEADLINE", "3s"), "KUBELET_PROXY_ENABLED", "false")
	if warnings := warned(read(t, env)); len(warnings) != 0 {
		t.Errorf("warnings %v", warnings)
	}
	warnings := warned(read(t, with(env, "IS_CLUSTER", "true")))
	if len(warnings) != 1 || cmp.Diff(warnings[0].ContextMap(), map[string]any{"settings": []any{"IS_CLUSTER"}}) != "" {
		t.Errorf("warnings %v", warnings)
	}
}

// The reference lists the names that are accepted, and what to use instead.
func TestTheReferenceListsDeprecatedNames(t *testing.T) {
	var page strings.Builder
	if err := printSettings(&page); err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(page.String(), "## Deprecated names")
	for old, d := range deprecated {
		if line := "| `" + old + "` | `--" + flagOf(old) + "` | `" + d.new + "`, `--" + flagOf(d.new) + "` |\n"; !strings.Contains(section, line) {
			t.Errorf("%s is not in %s", line, section)
		}
	}
}
