package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/provider"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// followed is a program that follows its file, c.yaml.
type followed struct {
	*testing.T
	*follower
	logs *observer.ObservedLogs
}

// following begins to follow a file with a text.
func following(t *testing.T, text string, env map[string]string, args ...string) *followed {
	t.Helper()
	cfg := inFile(t, text, env, args...)
	cfg.live = newLive(cfg)
	core, logs := observer.New(zap.DebugLevel)
	f := newFollower(cfg, func() (*config, error) { return readConfig(append(args, "--config=c.yaml"), env) }, zap.New(core))
	return &followed{T: t, follower: f, logs: logs}
}

// becomes writes a file, looks at all, and sees what is logged.
func (f *followed) becomes(name, text string, want ...observer.LoggedEntry) {
	f.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	f.follow()
	var got []observer.LoggedEntry
	for _, e := range f.logs.TakeAll() {
		got = append(got, told(e.Level, e.Message, e.Context...))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s becomes %q (-want +got):\n%s", name, text, diff)
	}
}

// shows checks whether the metric says that what changed cannot be used.
func (f *followed) shows(refused bool) {
	f.Helper()
	if got := f.live.isRefused(); got != refused {
		f.Errorf("config_refused is %v, want %v", got, refused)
	}
}

func told(level zapcore.Level, message string, fields ...zap.Field) observer.LoggedEntry {
	return observer.LoggedEntry{Entry: zapcore.Entry{Level: level, Message: message}, Context: append([]zap.Field{}, fields...)}
}

func least() map[string]string {
	return map[string]string{"POD_NAME": "mc-0", "ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "b"}
}

// What can change at once does, and says so once.
func TestWhatChangesAtOnce(t *testing.T) {
	f := following(t, head, least())
	f.becomes("c.yaml", head+"logging: {level: debug}\nclientConnection: {qps: 50, burst: 60}\n",
		told(zap.InfoLevel, "setting changed", zap.String("setting", "clientConnection.qps"), zap.String("from", "500"), zap.String("to", "50")),
		told(zap.InfoLevel, "setting changed", zap.String("setting", "clientConnection.burst"), zap.String("from", "1000"), zap.String("to", "60")),
		told(zap.InfoLevel, "setting changed", zap.String("setting", "logging.level"), zap.String("from", "info"), zap.String("to", "debug")))
	for _, l := range []limiter{f.live.work, f.live.metadata} {
		if l.QPS() != 50 || l.Burst() != 60 || f.live.level.Level() != zap.DebugLevel {
			t.Errorf("%g, %d, %s", l.QPS(), l.Burst(), f.live.level)
		}
	}
	f.becomes("c.yaml", head+"logging: {level: debug}\nclientConnection: {qps: 50, burst: 60}\n")
	f.becomes("c.yaml", head+"# as by default\n",
		told(zap.InfoLevel, "setting changed", zap.String("setting", "clientConnection.qps"), zap.String("from", "50"), zap.String("to", "500")),
		told(zap.InfoLevel, "setting changed", zap.String("setting", "clientConnection.burst"), zap.String("from", "60"), zap.String("to", "1000")),
		told(zap.InfoLevel, "setting changed", zap.String("setting", "logging.level"), zap.String("from", "debug"), zap.String("to", "info")))
	if f.live.work.QPS() != 500 || f.live.level.Level() != zap.InfoLevel {
		t.Errorf("%g, %s", f.live.work.QPS(), f.live.level)
	}
}

// A flag or variable goes before the file, also when that changes.
func TestAChangeThatIsHidden(t *testing.T) {
	f := following(t, head, with(least(), "LOG_LEVEL", "warn"), "--kube-api-qps=70")
	f.becomes("c.yaml", head+"logging: {level: debug}\nclientConnection: {qps: 50}\n")
	if f.live.work.QPS() != 70 || f.live.level.Level() != zap.WarnLevel {
		t.Errorf("%g, %s", f.live.work.QPS(), f.live.level)
	}
}

// What needs a restart is named, in the log and to who asks whether this program is ready,
// until it is as it was.
func TestWhatNeedsARestart(t *testing.T) {
	f := following(t, head, least())
	f.becomes("c.yaml", head+"mqtt: {port: 1884, wildcards: true}\nlogging: {level: debug}\n",
		told(zap.InfoLevel, "setting changed", zap.String("setting", "logging.level"), zap.String("from", "info"), zap.String("to", "debug")),
		told(zap.WarnLevel, "changed settings need a restart", zap.Strings("settings", []string{"mqtt.port", "mqtt.wildcards"})))
	if diff := cmp.Diff([]string{"changed settings need a restart: mqtt.port, mqtt.wildcards"}, f.live.notes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.becomes("c.yaml", head+"mqtt: {port: 1884, wildcards: true}\nlogging: {level: debug} # the same\n")
	f.becomes("c.yaml", head+"logging: {level: debug}\n", told(zap.InfoLevel, "no changed setting needs a restart any more"))
	if notes := f.live.notes(); notes != nil {
		t.Errorf("%q", notes)
	}
}

// A file with a fault changes nothing, and all its faults are told once, until it is right.
func TestABadChangeIsRefused(t *testing.T) {
	f := following(t, head, least())
	refused := told(zap.ErrorLevel, "the changed configuration is refused, the old one holds", zap.Strings("faults", []string{
		"c.yaml:3: logging.levle is no field: did you mean logging.level?", "c.yaml:4: clientConnection.qps=x: must be a number above 0"}))
	bad := head + "logging: {levle: debug}\nclientConnection: {qps: x, burst: 7}\n"
	f.becomes("c.yaml", bad, refused)
	f.becomes("c.yaml", bad)
	f.shows(true)
	if f.live.work.Burst() != 1000 || f.live.level.Level() != zap.InfoLevel {
		t.Errorf("%d, %s", f.live.work.Burst(), f.live.level)
	}
	f.becomes("c.yaml", head)
	f.shows(false)
	f.becomes("c.yaml", bad, refused)
	f.becomes("c.yaml", head+"logging: {level: debug}\n",
		told(zap.InfoLevel, "setting changed", zap.String("setting", "logging.level"), zap.String("from", "info"), zap.String("to", "debug")))
	if err := os.Remove("c.yaml"); err != nil {
		t.Fatal(err)
	}
	f.follow()
	if all := f.logs.TakeAll(); len(all) != 1 || all[0].Level != zap.ErrorLevel || f.live.level.Level() != zap.DebugLevel {
		t.Errorf("%v", all)
	}
}

// A configuration that waits for a file that it names is taken when that is there.
func TestAChangeWaitsForItsFiles(t *testing.T) {
	f := following(t, head, least())
	f.becomes("c.yaml", head+"mqtt: {username: u, passwordFile: p}\nlogging: {level: debug}\n", told(zap.ErrorLevel, "the changed configuration is refused, the old one holds",
		zap.Strings("faults", []string{"c.yaml:3: mqtt.passwordFile: read MQTT password: open p: no such file or directory"})))
	f.becomes("p", "geheim",
		told(zap.InfoLevel, "setting changed", zap.String("setting", "logging.level"), zap.String("from", "info"), zap.String("to", "debug")),
		told(zap.InfoLevel, "setting changed, it is used from the next connection on", zap.String("setting", "mqtt.username"), zap.String("from", ""), zap.String("to", "u")),
		told(zap.InfoLevel, "setting changed, it is used from the next connection on", zap.String("setting", "mqtt.passwordFile"), zap.String("from", ""), zap.String("to", "p")))
	f.becomes("p", "geheimer", told(zap.InfoLevel, "a file that a setting names has changed, it is used from the next connection on",
		zap.String("setting", "mqtt.passwordFile"), zap.String("file", "p")))
}

// A login that the file has holds from the next connection on, and no log line has the password.
func TestALoginIsFollowed(t *testing.T) {
	f := following(t, head+"mqtt: {username: u, password: geheim}\n", least())
	changed := "setting changed, it is used from the next connection on"
	f.becomes("c.yaml", head+"mqtt: {username: v, password: geheimer}\n",
		told(zap.InfoLevel, changed, zap.String("setting", "mqtt.username"), zap.String("from", "u"), zap.String("to", "v")),
		told(zap.InfoLevel, changed, zap.String("setting", "mqtt.password")))
	if is := f.started.login(); is != (mqtttunnel.Login{Username: "v", Password: "geheimer"}) || f.live.notes() != nil {
		t.Errorf("%+v, %q", is, f.live.notes())
	}
}

// Limits that the file has hold at once, those that are left to their defaults too.
func TestLimitsAreFollowed(t *testing.T) {
	f := following(t, head, with(least(), "ENABLE_HTTP_TUNNEL", "true"))
	f.becomes("c.yaml", head+"bases: {questionRate: 7}\nadmission: {maxBases: 9, maxUnprovenBases: 8, newBasesPerSecond: 2, newBasesBurst: 3}\nhttp: {newIdentities: 4, maxIdentities: 5}\n",
		changedTo("http.newIdentities", "1", "4"), changedTo("http.maxIdentities", "8", "5"), changedTo("bases.questionRate", "100", "7"),
		changedTo("admission.maxBases", "20000", "9"), changedTo("admission.maxUnprovenBases", "1000", "8"), changedTo("admission.newBasesPerSecond", "500", "2"), changedTo("admission.newBasesBurst", "2000", "3"))
	want := provider.Limits{Admission: provider.Admission{Rate: 2, Burst: 3, Unproven: 8, Total: 9}, QuestionRate: 7}
	newOnes, most := f.started.identities()
	if is := f.started.limits(); is != want || newOnes != 4 || most != 5 {
		t.Errorf("%+v, %d, %d", is, newOnes, most)
	}
	var shown strings.Builder
	if err := printConfig(&shown, f.started); err != nil || !strings.Contains(shown.String(), "questionRate: 7 # c.yaml:3") {
		t.Errorf("%v:\n%s", err, shown.String())
	}
}

func changedTo(setting, from, to string) observer.LoggedEntry {
	return told(zap.InfoLevel, "setting changed", zap.String("setting", setting), zap.String("from", from), zap.String("to", to))
}

// Credentials and certificates are read again by who uses them; that they changed is told.
func TestAChangedCredential(t *testing.T) {
	t.Chdir(t.TempDir())
	password := t.TempDir() + "/password"
	if err := os.WriteFile(password, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := following(t, head, with(with(least(), "MQTT_PASSWORD_FILE", password), "MQTT_USERNAME", "u"))
	f.becomes(password, "one")
	f.becomes(password, "two", told(zap.InfoLevel, "a file that a setting names has changed, it is used from the next connection on",
		zap.String("setting", "MQTT_PASSWORD_FILE"), zap.String("file", password)))
	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	f.follow()
	f.follow()
	all := f.logs.TakeAll()
	if len(all) != 1 || all[0].Message != "a file that a setting names has changed and cannot be used" {
		t.Errorf("%v", all)
	}
}

// What a changed file lacks is told. That another file waits to be right is not its fault.
func TestACredentialThatCannotBeUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	file := t.TempDir() + "/token"
	if err := os.WriteFile(file, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := following(t, head, with(with(least(), "HTTP_TUNNEL_TOKEN_FILE", file), "ENABLE_HTTP_TUNNEL", "true"))
	f.becomes(file, "", told(zap.ErrorLevel, "a file that a setting names has changed and cannot be used", zap.String("setting", "HTTP_TUNNEL_TOKEN_FILE"), zap.String("file", file),
		zap.Strings("faults", []string{"HTTP_TUNNEL_TOKEN_FILE: read heartbeat token: " + file + " is empty"})))
	f.shows(true)
	f.follow() // time mends nothing of it
	f.shows(true)
	used := told(zap.InfoLevel, "a file that a setting names has changed, it is used from the next connection on", zap.String("setting", "HTTP_TUNNEL_TOKEN_FILE"), zap.String("file", file))
	f.becomes(file, "two", used)
	f.shows(false)
	f.becomes("c.yaml", head+"mqtt: {port: x}\n", told(zap.ErrorLevel, "the changed configuration is refused, the old one holds",
		zap.Strings("faults", []string{"c.yaml:3: mqtt.port=x: must be a port, from 1 to 65535"})))
	f.becomes(file, "three", used)
}

// Files are looked at every 10 s, until the program ends.
func TestHowOftenFilesAreLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := following(t, head, least())
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.run(ctx) }()
		if err := os.WriteFile("c.yaml", []byte(head+"logging: {level: debug}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(followEvery - time.Millisecond)
		if synctest.Wait(); f.live.level.Level() != zap.InfoLevel {
			t.Error("it was looked at too early")
		}
		time.Sleep(time.Millisecond)
		if synctest.Wait(); f.live.level.Level() != zap.DebugLevel {
			t.Error("it was not looked at")
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
