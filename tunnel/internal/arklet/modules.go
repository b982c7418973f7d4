package arklet

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"module-controller/tunnel"
)

// entry is a module in a list or an answer: with short names over MQTT, with long ones
// over HTTP.
type entry struct {
	Name       string  `json:"name"`
	Version    string  `json:"version"`
	State      string  `json:"state"`
	Latest     *record `json:"latestStateRecord"`
	BizName    string  `json:"bizName"`
	BizVersion string  `json:"bizVersion"`
	BizState   string  `json:"bizState"`
	Records    latest  `json:"bizStateRecords"`
}

// record is one change of a module's state. Runtimes before 2.1.8 write empty ones
// over HTTP.
type record struct {
	ChangeTime number `json:"changeTime"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
}

// latest reads a list of records and keeps the last one, nil of an empty list.
type latest struct{ *record }

func (l *latest) UnmarshalJSON(raw []byte) error {
	l.record = nil
	if last := lastElement(raw); last != nil {
		return json.Unmarshal(last, &l.record)
	}
	return nil
}

// module converts an entry; ok is false if its name or version is unusable.
func (e entry) module() (m tunnel.Module, ok bool) {
	m.Name, m.Version = cmp.Or(e.BizName, e.Name), cmp.Or(e.BizVersion, e.Version)
	if !goodName(m.Name) || !goodName(m.Version) {
		return m, false
	}
	m.State = stateOf(cmp.Or(e.BizState, e.State))
	if last := cmp.Or(e.Latest, e.Records.record); last != nil {
		m.Since, m.Message = last.ChangeTime.millis(), tunnel.Say(last.Message, tunnel.MaxText)
	}
	return m, true
}

func goodName(s string) bool {
	return s != "" && len(s) <= maxName && tunnel.Say(s, maxName) == s
}

func stateOf(word string) tunnel.State {
	switch s := tunnel.State(strings.ToLower(word)); s {
	case tunnel.Unresolved, tunnel.Resolved, tunnel.Activated, tunnel.Deactivated, tunnel.Broken, tunnel.Stopped:
		return s
	default:
		return tunnel.UnknownState
	}
}

// modulesOf reads a list, at most maxModules entries of it. Entries that cannot be read are
// left out, and the list is then partial: it proves presence, never absence.
func modulesOf(raw json.RawMessage) (modules []tunnel.Module, partial bool, err error) {
	l := list{at: map[tunnel.ModuleKey]int{}}
	more, err := each(raw, maxModules, l.read)
	if err != nil {
		return nil, false, err
	}
	return l.modules, l.partial || more, nil
}

// list is a module list while it is read.
type list struct {
	modules []tunnel.Module
	at      map[tunnel.ModuleKey]int // where in modules
	partial bool                     // an entry could not be read
	entry   entry                    // the one that is read; one place for all
}

func (l *list) read(dec *json.Decoder) error {
	l.entry = entry{}
	m, ok := tunnel.Module{}, dec.Decode(&l.entry) == nil
	if ok {
		m, ok = l.entry.module()
	}
	if !ok {
		l.partial = true
		return nil
	}
	i, twice := l.at[m.ModuleKey]
	switch {
	case !twice:
		l.at[m.ModuleKey] = len(l.modules)
		l.modules = append(l.modules, m)
	case m.State == tunnel.Activated: // it serves if either entry does
		l.modules[i] = m
	}
	return nil
}

// number is a JSON number, or a string that holds one.
type number struct {
	value float64
	ok    bool // there was one
}

func (n *number) UnmarshalJSON(raw []byte) error {
	text := strings.Trim(string(raw), `"`)
	var f float64
	if json.Unmarshal([]byte(text), &f) == nil && text != "null" {
		n.value, n.ok = f, true
	}
	return nil // anything else counts as missing
}

// maxMillis is the year 9999.
const maxMillis = 253402300799999

func (n number) millis() time.Time {
	if !n.ok || n.value <= 0 || n.value > maxMillis {
		return time.Time{}
	}
	return time.UnixMilli(int64(n.value))
}

// share gives a part of a whole that is told in per cent; 0 if it is missing or out of range.
func (n number) share() float64 {
	if !n.ok || n.value < 0 || n.value > 100 {
		return 0
	}
	return n.value / 100
}

// bytes gives a size; -1 if it is missing or out of range.
func (n number) bytes() int64 {
	const most = 1 << 50
	if !n.ok || n.value < 0 || n.value > most {
		return -1
	}
	return int64(n.value)
}
