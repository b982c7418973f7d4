package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// command runs a command line, and gives what it shows and the configuration that it runs.
func command(t *testing.T, env map[string]string, args ...string) (out string, ran *config, err error) {
	t.Helper()
	var shown bytes.Buffer
	p := &program{env: env, out: &shown, run: func(_ context.Context, c *config, _ func() (*config, error)) error {
		ran = c
		return nil
	}}
	root := p.root()
	root.SetArgs(append([]string{}, args...)) // nil would be the test's own
	err = root.ExecuteContext(t.Context())
	return shown.String(), ran, err
}

// Without a command the controller runs, with the flags that it has always had.
func TestTheControllerRuns(t *testing.T) {
	for _, args := range [][]string{nil, {"--mqtt-broker=x"}, {"--mqtt-broker", "x"}, {"-mqtt-broker", "x"}, {"--mqtt-tls", "false"}, {"--log-level", "debug", "--mqtt-broker", "config"}} {
		out, ran, err := command(t, needed(), args...)
		if err != nil || ran == nil || out != "" {
			t.Errorf("%v: %v, it shows %q", args, err, out)
		}
	}
	if _, ran, err := command(t, needed(), "--mqtt-brokr=x", "stray"); err == nil || ran != nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("it runs: %v", err)
	}
}

func TestTheVersionIsShown(t *testing.T) {
	if out, _, err := command(t, nil, "--version"); out != "dev\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, err := command(t, nil, "version"); !strings.HasPrefix(out, "module-controller dev go1.") || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// The help has every setting once, in sections, and fits 80 columns.
func TestTheHelp(t *testing.T) {
	help, ran, err := command(t, nil, "--mqtt-broker", "b", "--help")
	if err != nil || ran != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(help) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	sections := strings.Split(help, " flags:\n")
	if want := len(groups(newConfig())); len(sections) != want { // the last group has no section, but the head is one
		t.Errorf("%d sections, want %d", len(sections), want)
	}
	for _, s := range settings(newConfig()) {
		if n := strings.Count(help, "      --"+s.flag()+" "+s.value.Type()); (n == 1) != (s.help != noEffect) {
			t.Errorf("--%s is there %d times", s.flag(), n)
		}
		if s.was != "" && strings.Contains(help, "--"+flagOf(s.was)+" ") {
			t.Errorf("--%s is there", flagOf(s.was))
		}
	}
	for _, want := range []string{"config check FILE", "config print", "version"} {
		if !strings.Contains(help, "\n  "+want+" ") {
			t.Errorf("the command %s is not there", want)
		}
	}
	for _, args := range [][]string{{"-h"}, {"help"}} {
		if same, _, err := command(t, nil, args...); same != help || err != nil {
			t.Errorf("%v: %v, %s", args, err, same)
		}
	}
	if out, _, err := command(t, nil, "config", "--help"); err != nil || !strings.Contains(out, "config check FILE") || strings.Contains(out, "flags:") {
		t.Errorf("%v, %s", err, out)
	}
}

// What was meant by a command that there is not is asked.
func TestUnknownCommands(t *testing.T) {
	for want, args := range map[string][]string{
		`unexpected argument "vesion": did you mean version?`:                               {"vesion"},
		`unexpected argument "prnt": did you mean print?`:                                   {"config", "prnt"},
		`unexpected argument "show": neither a command nor a flag; --help lists both`:       {"config", "show"},
		`config check needs one file: module-controller config check FILE`:                  {"config", "check", "a", "b"},
		`unknown command "x" for "module-controller version"`:                               {"version", "x"},
		`unexpected argument "controller": neither a command nor a flag; --help lists both`: {"--mqtt-tls=true", "controller"},
	} {
		if _, ran, err := command(t, needed(), args...); ran != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}

// A file is checked as a start would read it.
func TestAFileIsChecked(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"good.yaml": head + "mqtt: {enabled: true, broker: b}\n", "bad.yaml": head + "mqtt: {enabled: maybe, brokr: b}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"POD_NAME": "mc-0"}
	out, _, err := command(t, env, "config", "check", "good.yaml")
	if err != nil || !strings.HasPrefix(out, "good.yaml is fine\n") || !strings.Contains(out, "warning: insecure MQTT_USERNAME") {
		t.Errorf("%v, %s", err, out)
	}
	_, _, err = command(t, env, "config", "check", "bad.yaml", "--enable-http-tunnel=true")
	want := "bad.yaml would not be taken:\n  bad.yaml:3: mqtt.enabled=maybe: must be true or false\n  bad.yaml:3: mqtt.brokr is no field: did you mean mqtt.broker?"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if _, _, err := command(t, env, "config", "check"); err == nil || !strings.Contains(err.Error(), "needs one file") {
		t.Errorf("%v", err)
	}
}

// The configuration is printed as it would hold.
func TestTheConfigurationIsPrinted(t *testing.T) {
	out, _, err := command(t, needed(), "config", "print", "--stale-after=50s")
	if err != nil || !strings.HasPrefix(out, head) || !strings.Contains(out, "  staleAfter: 50s # flag --stale-after\n") {
		t.Errorf("%v, %s", err, out)
	}
	if _, _, err := command(t, needed(), "config", "print", "--stale-after=50"); err == nil {
		t.Error("a configuration that would be refused is printed")
	}
}

// The reference in the documents is what the code says.
func TestTheReferenceIsUpToDate(t *testing.T) {
	for what, page := range map[string]string{"configuration": "../../docs/configuration.md", "metrics": "../../docs/metrics.md"} {
		written, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if out, _, err := command(t, nil, "reference", what); err != nil || out != string(written) {
			t.Errorf("%v: %s is not what module-controller reference %s shows: run make generate", err, page, what)
		}
	}
}
