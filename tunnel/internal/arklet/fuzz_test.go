package arklet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"module-controller/tunnel"
)

// sane fails where a text that came from outside could do harm.
func sane(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if len(s) > tunnel.MaxText || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\r\n") {
			t.Errorf("text of %d bytes is not clean: %q", len(s), tunnel.Clean(s, 100))
		}
	}
}

func saneReport(t *testing.T, r *tunnel.Report) {
	t.Helper()
	for _, m := range r.Modules {
		sane(t, m.Name, m.Version, m.Message, string(m.State))
	}
	if len(r.Modules) > maxModules {
		t.Errorf("%d modules", len(r.Modules))
	}
	if r.Answer != nil {
		sane(t, r.Answer.Message, r.Answer.Installed.Name, r.Answer.Installed.Version)
	}
	if h := r.Health; h != nil && (h.MaxMemory < -1 || h.UsedMemory < -1 || h.CPUs < 0 || h.Uptime < 0) {
		t.Errorf("health %+v", h)
	}
}

func reasoned(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && (!errors.As(err, &e) || len(e.Detail) > maxDetail) {
		t.Errorf("error %v (%T) has no reason, or is long", err, err)
	}
}

func FuzzMQTT(f *testing.F) {
	for _, line := range captures[mqttLine](f, "mqtt-2.1.11.jsonl") {
		f.Add(line.Topic, []byte(line.Payload))
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		b, kind, err := ParseTopic(topic)
		if reasoned(t, err); err != nil {
			return
		}
		msg, err := DecodeMQTT(b, kind, payload)
		if reasoned(t, err); err != nil {
			return
		}
		if h := msg.Heartbeat; h != nil {
			sane(t, h.Name, h.Version, h.Cluster, h.Hostname, h.IP)
		}
		if msg.Report != nil {
			saneReport(t, msg.Report)
		}
	})
}

func FuzzHTTP(f *testing.F) {
	for _, file := range []string{"http-1.2.2.jsonl", "http-2.1.6.jsonl", "http-2.1.11.jsonl"} {
		for _, line := range captures[httpLine](f, file) {
			f.Add(line.Command, []byte(line.Response))
		}
	}
	f.Add("install", []byte(failedOps))
	f.Fuzz(func(t *testing.T, verb string, body []byte) {
		c := tunnel.Command{Verb: tunnel.Verb(verb), Module: tunnel.ModuleKey{Name: "m", Version: "1"}}
		r := tunnel.Report{Base: tunnel.BaseID{Env: "e", Identity: "192.0.2.2"}}
		if err := DecodeResponse(c, body, &r); err == nil {
			saneReport(t, &r)
		}
		_, a, err := DecodeAsync(r.Base, c, body)
		if reasoned(t, err); a != nil {
			sane(t, a.Message)
		}
		_, err = DecodeHelp(r.Base, body)
		reasoned(t, err)
	})
}

func FuzzHeartbeat(f *testing.F) {
	f.Add([]byte(`{"baseMetadata":{"identity":"b","name":"n","version":"1","clusterName":"c"},"localIP":"192.0.2.1","localHostName":"h","port":1238,"state":"activated"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := DecodeHeartbeat("e", body)
		if reasoned(t, err); err != nil {
			return
		}
		sane(t, h.Name, h.Version, h.Cluster, h.Hostname, h.IP)
		if tunnel.CheckIdentity(h.Base.Identity) != nil || h.Port < 0 || h.Port > 65535 {
			t.Errorf("heartbeat %+v", h)
		}
	})
}

func TestHostilePayloads(t *testing.T) {
	b := tunnel.BaseID{Env: "e", Identity: "b"}
	for name, c := range map[string]struct {
		kind    Kind
		payload string
		want    Reason
	}{
		"not JSON":               {KindList, "not json", NotJSON},
		"truncated":              {KindList, `{"data":[{"name"`, NotJSON},
		"nothing":                {KindList, "", NotJSON},
		"nested":                 {KindList, strings.Repeat("[", 10000), TooDeep},
		"10 MB":                  {KindList, strings.Repeat(" ", 10<<20), TooLarge},
		"null":                   {KindList, "null", WrongType},
		"null list":              {KindList, `{"data":null}`, WrongType},
		"a list that is none":    {KindList, `{"data":{"a":1}}`, WrongType},
		"another's identity":     {KindHeart, `{"data":{"baseMetadata":{"identity":"other"}}}`, IdentityMismatch},
		"no metadata":            {KindHeart, `{"data":{}}`, WrongType},
		"answer to nothing":      {KindAnswer, `{"data":{"command":"explode","bizName":"a","bizVersion":"1"}}`, BadModule},
		"answer with NUL":        {KindAnswer, `{"data":{"command":"installBiz","bizName":"a\u0000","bizVersion":"1","response":{}}}`, BadModule},
		"health without data":    {KindHealth, `{"data":{"code":"SUCCESS"}}`, WrongType},
		"a name that is a path":  {KindAnswer, `{"data":{"command":"installBiz","bizName":"a\u202eb","bizVersion":"1","response":{}}}`, BadModule},
		"its own identity first": {KindHeart, `{"data":{"baseMetadata":{"identity":"b"},"BASEMETADATA":{"identity":"other"}}}`, IdentityMismatch},
		"two messages":           {KindHeart, `{"data":{"baseMetadata":{"identity":"b"}}}{"data":{}}`, NotJSON},
		"a key without an end":   {KindHealth, `{"` + strings.Repeat(`\`, 1001), NotJSON},
		"half an escape":         {KindList, `{"data":["\ud800\u"]}`, NotJSON},
		"numbers for a module":   {KindAnswer, `{"data":{"command":"installBiz","bizName":1,"bizVersion":"1"}}`, WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeMQTT(b, c.kind, []byte(c.payload))
			var e *Error
			if !errors.As(err, &e) || e.Reason != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

// Over MQTT nobody dials the address that a base names, but pods show it: one where no base
// can be is left out.
func TestABaseIsNotNowhere(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1", "127.0.0.1": "127.0.0.1",
		"0.0.0.0": "", "::": "", "169.254.169.254": "", "::ffff:169.254.169.254": "", "fe80::1": "", "fe80::1%eth0": "",
		"224.0.0.1": "", "ff02::1": "", "255.255.255.255": "", "192.0.2.1:80": "", "0192.0.2.1": "", "": "",
	} {
		msg, err := DecodeMQTT(tunnel.BaseID{Env: "e", Identity: "b"}, KindHeart, fmt.Appendf(nil, `{"data":{"baseMetadata":{"identity":"b"},"localIP":%q}}`, ip))
		if err != nil || msg.Heartbeat.IP != want {
			t.Errorf("%q: %+v, %v", ip, msg.Heartbeat, err)
		}
	}
}

// A list of which an entry cannot be read proves presence, never absence.
func TestAListWithAnUnreadableEntryIsPartial(t *testing.T) {
	msg, err := DecodeMQTT(tunnel.BaseID{Env: "e", Identity: "b"}, KindList,
		[]byte(`{"publishTimestamp":"1795440499553","data":[{"name":"a","version":"1","state":"ACTIVATED","latestStateRecord":null},{"name":7},null]}`))
	if err != nil || !msg.Report.Partial || len(msg.Report.Modules) != 1 || msg.Report.Modules[0].State != tunnel.Activated || msg.Report.Stamp.IsZero() {
		t.Errorf("%+v, %v", msg.Report, err)
	}
}

func TestBadTopics(t *testing.T) {
	for topic, want := range map[string]Reason{
		"koupleless_e/b/base/nonsense": UnknownTopic, "other/b/base/heart": UnknownTopic, "koupleless_e/b/heart": UnknownTopic,
		"koupleless_e//base/heart": BadIdentity, "koupleless_e/" + strings.Repeat("a", 300) + "/base/heart": BadIdentity,
		"koupleless_e/a\x00b/base/heart": BadIdentity, "koupleless_e/+/base/heart": BadIdentity,
	} {
		_, _, err := ParseTopic(topic)
		var e *Error
		if !errors.As(err, &e) || e.Reason != want {
			t.Errorf("ParseTopic(%q): %v, want %s", topic, err, want)
		}
	}
}

func TestCommandsAreWrittenAsRecorded(t *testing.T) {
	install := tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "1.0.0"}, URL: "file:///o.jar", Replace: true,
		Args: []string{"--x"}, Env: map[string]string{"K": "v"}, RequestID: "r-1"}
	for _, c := range []struct {
		command tunnel.Command
		async   bool
		want    string
	}{
		{install, false, `{"bizName":"orders","bizVersion":"1.0.0","bizUrl":"file:///o.jar","installStrategy":"uninstallThenInstall","args":["--x"],"envs":{"K":"v"},"requestId":"r-1"}`},
		{install, true, `{"bizName":"orders","bizVersion":"1.0.0","bizUrl":"file:///o.jar","installStrategy":"uninstallThenInstall","args":["--x"],"envs":{"K":"v"},"async":true,"requestId":"r-1"}`},
		{tunnel.Command{Verb: tunnel.ListModules}, false, `{}`},
		{tunnel.Command{Verb: tunnel.AnswerBaseline}, false, `[]`},
		{tunnel.Command{Verb: tunnel.UninstallModule, Module: install.Module}, false, `{"bizName":"orders","bizVersion":"1.0.0"}`},
	} {
		got, err := EncodeCommand(c.command, c.async)
		if err != nil || string(got) != c.want || !json.Valid(got) {
			t.Errorf("%s, %v; want %s", got, err, c.want)
		}
	}
	if _, err := EncodeCommand(tunnel.Command{Verb: "explode"}, false); !errors.Is(err, tunnel.ErrUnsupported) {
		t.Errorf("unknown verb: %v", err)
	}
}
