package diagnose

import "fmt"

// Broker is what was seen of a broker by whoever connected to it from where check runs.
type Broker struct {
	// URL is how it was asked for. It has no password.
	URL string
	// Trouble is why there was no connection, in the broker's words or those of TLS; empty where
	// there was one.
	Trouble string
	// Retained are the topics of commands that are retained, Refused the filters on which some
	// may be and that the user may not read.
	Retained, Refused []string
}

// CheckBroker checks a broker that somebody looked at.
func CheckBroker(b Broker) Group {
	reached, none := Tick{Holds: "the broker is reached, and its certificate is good: " + b.URL}, Tick{Holds: "no command is retained on the broker"}
	switch {
	case b.Trouble != "":
		reached.Findings = []Finding{b.unreached()}
		none.Skipped = "the broker is not reached"
	case len(b.Retained) > 0:
		none.Findings = []Finding{b.retained()}
	case len(b.Refused) > 0:
		none.Skipped = "this user may not read " + some(b.Refused)
	}
	return Group{"Broker", []Tick{reached, none}}
}

func (b Broker) object() Object { return Object{Kind: "Broker", Name: b.URL} }

// unreached tells why there was no connection.
func (b Broker) unreached() Finding {
	f := found{
		cause:    "no connection to the broker was made from here",
		remedy:   "see what it says; the members' own connections are those of kubectl modules members",
		evidence: []string{quote("it says", b.Trouble)},
	}
	for _, c := range brokerCauses {
		if mentions(b.Trouble, c.words...) {
			f.cause = "this machine " + c.cause
			f.remedy = "give --broker, --broker-ca and --broker-username as the controller has them. If it has these: " + c.remedy
			break
		}
	}
	return f.finding("broker-unreached", docInstallation, b.object())
}

// retained tells of commands that a base is given whenever it subscribes.
func (b Broker) retained() Finding {
	evidence := make([]string, 0, mostNamed+1)
	for _, topic := range b.Retained[:min(len(b.Retained), mostNamed)] {
		evidence = append(evidence, "retained: "+topic)
	}
	if more := len(b.Retained) - len(evidence); more > 0 {
		evidence = append(evidence, "and "+number(more)+" more")
	}
	f := found{
		cause:    fmt.Sprintf("%s retained on the broker, which another controller left: a base obeys them whenever it connects, however old they are", count(len(b.Retained), "command is", "commands are")),
		remedy:   "stop the other controller, and have them deleted: kubectl modules clear-retained --broker, or MQTT_CLEAR_RETAINED=true at the next start of this one",
		evidence: evidence,
	}
	return f.finding("retained-commands", docInstallation, b.object())
}
