package diagnose

import (
	"fmt"
	"strings"
	"testing"
)

// What was seen of a broker is told with its cause and its remedy; of a sound one nothing is.
func TestABrokerThatWasLookedAt(t *testing.T) {
	const url = "mqtts://broker.example.com:8883"
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprintf("koupleless_default/base-%d/installBiz", i))
	}
	for what, c := range map[string]struct {
		is      Broker
		rule    string
		words   []string // of all that is told
		skipped string
	}{
		"sound":                     {Broker{URL: url}, "", nil, ""},
		"gone":                      {Broker{URL: url, Trouble: "connect to broker: network Error : dial tcp 10.0.0.9:8883: connect: connection refused"}, "broker-unreached", []string{"this machine does not reach", "--broker"}, "not reached"},
		"the wrong CA":              {Broker{URL: url, Trouble: "network Error : tls: failed to verify certificate: x509: certificate signed by unknown authority"}, "broker-unreached", []string{"does not trust", "--broker-ca"}, "not reached"},
		"it refuses":                {Broker{URL: url, Trouble: "connect to broker: not Authorized"}, "broker-unreached", []string{"refused by the broker", "--broker-username"}, "not reached"},
		"words that nobody knows":   {Broker{URL: url, Trouble: "out of cheese"}, "broker-unreached", []string{"out of cheese"}, "not reached"},
		"a command is retained":     {Broker{URL: url, Retained: many[:1]}, "retained-commands", []string{"1 command is retained", many[0], "MQTT_CLEAR_RETAINED"}, ""},
		"many are":                  {Broker{URL: url, Retained: many}, "retained-commands", []string{"9 commands are retained", many[0], "and 4 more"}, ""},
		"the user may not read all": {Broker{URL: url, Refused: []string{"koupleless_default/+/installBiz"}}, "", nil, "koupleless_default/+/installBiz"},
	} {
		t.Run(what, func(t *testing.T) {
			g := CheckBroker(c.is)
			all := Findings([]Group{g})
			var rules, said []string
			for _, f := range all {
				rules = append(rules, f.Rule)
				said = append(append(said, f.Cause, f.Remedy), f.Evidence...)
				if f.Doc == "" || f.Severity != Fault || f.Object.Name != url {
					t.Errorf("%+v", f)
				}
			}
			if got := strings.Join(rules, " "); got != c.rule {
				t.Errorf("found %q, want %q", got, c.rule)
			}
			for _, word := range c.words {
				if !strings.Contains(strings.Join(said, "\n"), word) {
					t.Errorf("%q has no %q", said, word)
				}
			}
			if skipped := g.Ticks[1].Skipped; strings.Contains(skipped, c.skipped) != true || (skipped == "") != (c.skipped == "") {
				t.Errorf("of what is retained: %q", skipped)
			}
		})
	}
}
