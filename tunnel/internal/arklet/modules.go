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
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	State      string   `json:"state"`
	Latest     *record  `json:"latestStateRecord"`
	BizName    string   `json:"bizName"`
	BizVersion string   `json:"bizVersion"`
	BizState   string   `json:"bizState"`
	Records    []record `json:"bizStateRecords"`
}

// record is one change of a module's state. Runtimes before 2.1.8 write empty ones
// over HTTP.
type record struct {
	ChangeTime number `json:"changeTime"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
}

// module converts an entry; ok is false if its name or version is unusable.
func (e entry) module() (m tunnel.Module, ok bool) {
	m.Name, m.Version = cmp.Or(e.BizName, e.Name), cmp.Or(e.BizVersion, e.Version)
	if !goodName(m.Name) || !goodName(m.Version) {
		return m, false
	}
	m.State = stateOf(cmp.Or(e.BizState, e.State))
	last := e.Latest
	if n := len(e.Records); last == nil && n > 0 {
		last = &e.Records[n-1]
	}
	if last != nil {
		m.Since, m.Message = last.ChangeTime.millis(), clean(last.Message, tunnel.MaxText)
	}
	return m, true
}

func goodName(s string) bool {
	return s != "" && len(s) <= maxName && clean(s, maxName) == s
}

func stateOf(word string) tunnel.State {
	switch s := tunnel.State(strings.ToLower(word)); s {
	case tunnel.Unresolved, tunnel.Resolved, tunnel.Activated, tunnel.Deactivated, tunnel.Broken, tunnel.Stopped:
		return s
	default:
		return tunnel.UnknownState
	}
}

// modulesOf reads a list. Entries that cannot be read are left out, and the list is then
// partial: it proves presence, never absence.
func modulesOf(raw json.RawMessage) (modules []tunnel.Module, partial bool, err error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, false, refuse(WrongType, "module list: %v", err)
	}
	if entries == nil {
		return nil, false, refuse(WrongType, "the module list is null")
	}
	if len(entries) > maxModules {
		entries, partial = entries[:maxModules], true
	}
	at := map[tunnel.ModuleKey]int{}
	for _, raw := range entries {
		var e entry
		m, ok := tunnel.Module{}, json.Unmarshal(raw, &e) == nil
		if ok {
			m, ok = e.module()
		}
		if !ok {
			partial = true
			continue
		}
		if i, twice := at[m.ModuleKey]; twice {
			if m.State == tunnel.Activated {
				modules[i] = m // it serves if either entry does
			}
			continue
		}
		at[m.ModuleKey] = len(modules)
		modules = append(modules, m)
	}
	return modules, partial, nil
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

// bytes gives a size; -1 if it is missing or out of range.
func (n number) bytes() int64 {
	const most = 1 << 50
	if !n.ok || n.value < 0 || n.value > most {
		return -1
	}
	return int64(n.value)
}
