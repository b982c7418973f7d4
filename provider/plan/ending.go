package plan

import "module-controller/tunnel"

// ending is how a command ended.
type ending int

const (
	unclear    ending = iota // the list cannot tell yet: it is asked for
	underWay                 // an answer, or the end of a pause, is waited for
	overdue                  // it was not answered in time; the end of a pause is waited for
	lapsed                   // it may still be under way, and is to be asked for again
	forgotten                // the base was restarted: nothing came of it
	succeeded                // the list shows what was asked for
	failed                   // it does not
	astray                   // the jar may be another module, which is to be found
	unreplaced               // the base kept the version that it was to replace
)

func (e ending) String() string {
	return [...]string{"unclear", "in flight", "overdue", "lapsed", "forgotten", "succeeded", "failed", "astray", "unreplaced"}[e]
}

// Ended is how a command ended.
type Ended struct {
	Attempt
	Result Result
}

// Result is what became of a command, for who counts it.
type Result string

// The results.
const (
	Done   Result = "done"   // the base's list shows what was asked for
	Failed Result = "failed" // the base said that it failed, or its list shows that
	Lost   Result = "lost"   // the base never answered and shows nothing of it, or it was restarted
)

// resultOf says what became of a command that has ended.
func resultOf(a Attempt, is ending) Result {
	switch is {
	case succeeded, unreplaced:
		return Done
	case failed, astray:
		if a.Answer != nil {
			return Failed
		}
	case forgotten, unclear, underWay, overdue, lapsed:
	}
	return Lost
}

// row has an ending for each thing that the list may tell of a module. What is starting
// or may be there unlisted is unclear, in every row.
type row [presences]ending

// silence is the outcome of a command that the base never answered.
const silence tunnel.Outcome = ""

// Endings of an answered command whose effect the list does not prove, and of one that
// was never answered. The list has the last word: what serves was installed, whatever
// the answer says; an answer of success is not believed without it. A replacement may
// show the version that was there before, so there the answer is needed too, or a list
// that tells since when; see anew.
var (
	nothingDone = row{absent: failed, broken: failed, deactivated: failed, serving: failed}
	notStarted  = row{absent: failed, broken: failed, deactivated: failed, serving: succeeded}

	installs = map[tunnel.Outcome]row{
		tunnel.Done:        {absent: astray, broken: astray, deactivated: succeeded, serving: succeeded},
		tunnel.Repeated:    {absent: astray, broken: astray, deactivated: astray, serving: succeeded},
		tunnel.Failed:      notStarted,
		tunnel.NotFound:    notStarted,
		tunnel.Unsupported: notStarted,
		silence:            notStarted,
	}
	replacements = map[tunnel.Outcome]row{
		tunnel.Done:        {absent: astray, broken: astray, deactivated: succeeded, serving: succeeded},
		tunnel.Repeated:    {absent: astray, broken: unreplaced, deactivated: unreplaced, serving: unreplaced},
		tunnel.Failed:      nothingDone,
		tunnel.NotFound:    nothingDone,
		tunnel.Unsupported: nothingDone,
		silence:            nothingDone,
	}
)

// endings is how a command with that outcome ended, by what the list tells since.
func endings(c tunnel.Command, outcome tunnel.Outcome) row {
	table := installs
	switch {
	case c.Verb != tunnel.InstallModule: // the list would prove its success
		return nothingDone
	case c.Replace:
		table = replacements
	}
	if row, known := table[outcome]; known {
		return row
	}
	return nothingDone
}
