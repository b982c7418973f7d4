package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"module-controller/internal/transcript"
)

// story plays a transcript: one event or question a line, after it, indented, what
// follows from it. The replica that it is about is mc-0.
type story struct {
	*State
	start time.Time
	now   time.Time
	last  Step // of the last turn of a base
	rev   uint64
}

func TestStories(t *testing.T) {
	transcript.Run(t, func(*testing.T) func([]string) ([]string, error) {
		start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		s := &story{State: NewState(Identity{Incarnation: "mc-0_00000000", Installation: "ours", EnvOf: envOf}, Timing{}), start: start, now: start, rev: 100}
		s.team.since = start
		return func(words []string) ([]string, error) {
			result, err := s.do(words)
			if result == "" {
				return nil, err
			}
			return []string{result}, err
		}
	})
}

// envOf: what follows the dot in a base's key.
func envOf(key string) string {
	_, env, _ := strings.Cut(key, ".")
	return env
}

// do plays one line: a time, a verb and words. Words with = are options.
func (s *story) do(words []string) (string, error) {
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return "", err
	}
	s.now = s.start.Add(at)
	args, opts := transcript.Options(words[2:])
	switch verb := words[1]; verb {
	case "member", "nomember", "detect", "fenced", "asked", "suspect":
		return s.doMember(verb, args, opts)
	case "base", "nobase", "left", "rested", "unlisted", "request", "retire", "turn", "wrote", "deleted", "failed", "read", "drained", "claim":
		return s.doBase(verb, args, opts)
	case "renewed": // the membership write was sent now, or at another time
		sent := s.now
		if at, err := time.ParseDuration(opts["sent"]); err == nil {
			sent = s.start.Add(at)
		}
		return when(s.Renewed(sent, s.now, s.Window(sent)), "may act"), nil
	case "replaced": // our own membership Lease names us no more
		s.Expire()
		return "", nil
	case "interrupted":
		s.Interrupted()
		return "", nil
	case "behind": // how late that renewal is that is due for longest
		overdue, err := time.ParseDuration(args[0])
		s.Review(overdue)
		return when(s.NewWait(), "new bases wait"), err
	case "shifted":
		keys := slices.Sorted(slices.Values(s.Shifted(s.now)))
		return when(len(keys) > 0, strings.Join(keys, ", ")+" are assigned to another than before"), nil
	case "next":
		keys, wait := s.Next(s.now)
		return s.nextTurns(keys, wait), nil
	case "drain":
		s.Drain(s.now, s.now.Add(25*time.Second))
		s.leaving.knows = opts["leavers"] == "known" // else it is to be seen first who leaves too
		return "", nil
	}
	return "", fmt.Errorf("unknown verb")
}

// nextTurns tells whose turn begins.
func (s *story) nextTurns(keys []string, wait time.Duration) string {
	text := when(len(keys) > 0, "it is the turn of "+strings.Join(keys, ", "))
	if text == "" {
		text = "it is nobody's turn"
	}
	return text + when(wait > 0, fmt.Sprintf(", ask again after %s", wait))
}

// concerns tells which bases a change concerns.
func (s *story) concerns(c Change) string {
	keys := slices.Sorted(slices.Values(s.Concerned(c, s.now)))
	return when(len(keys) > 0, "reconcile "+strings.Join(keys, ", "))
}

// clock is the time by the clock of who writes, which may be wrong.
func (s *story) clock(opts map[string]string) time.Time {
	wrong, _ := time.ParseDuration(opts["clock"])
	return s.now.Add(wrong)
}

func (s *story) doMember(verb string, args []string, opts map[string]string) (string, error) {
	s.rev++
	seen := func() Member {
		m := Member{
			Name: args[0], Revision: s.rev, Linked: opts["linked"] != "no", Draining: opts["draining"] == "yes", Blind: opts["blind"] == "yes",
			Released: opts["released"] == "yes", Renewed: s.clock(opts),
		}
		m.RenewDeadline, _ = time.ParseDuration(opts["window"])
		if envs, says := opts["serves"]; says {
			m.Serves = strings.Split(envs, ",")
		}
		if len(args) > 1 {
			m.Holder = args[1]
			return m
		}
		if was := s.members[m.Name]; was != nil { // what its end leaves as it was
			m.Last, m.Renewed = was.Holder, was.Renewed
		}
		if opts["missed"] == "renewal" {
			m.Renewed = s.now
		}
		return m
	}
	switch verb {
	case "member":
		return s.concerns(s.SeeMember(seen(), s.now)), nil
	case "nomember":
		return s.concerns(s.MemberGone(args[0], s.rev, s.now)), nil
	case "asked": // incarnation, and who the Lease names, if there is one
		var m *Member
		if holder, ok := opts["holder"]; ok {
			pod, _ := PodOf(args[0])
			m = &Member{Name: pod, Holder: holder, Revision: s.rev, Linked: true}
		}
		s.Asked(args[0], m, s.now)
		return "", nil
	case "fenced":
		s.Fenced(args[0])
		return "", nil
	case "suspect":
		name, first := s.Suspect(args[0], s.now)
		return when(first, name+" is suspected"), nil
	}
	step, wait := s.MemberTurn(args[0], s.now)
	return tell(step, wait), nil
}

func when(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}

func (s *story) doBase(verb string, args []string, opts map[string]string) (string, error) {
	key := args[0]
	switch verb {
	case "base", "read":
		s.rev++
		l := Lease{Holder: opts["holder"], Revision: s.rev, Transferred: opts["transferred"] == "yes", Released: opts["released"] != "no", Duration: 40 * time.Second, Renewed: s.clock(opts), Installation: cmp.Or(opts["installation"], "ours")}
		if l.Installation == "unsaid" {
			l.Installation = ""
		}
		if d, err := time.ParseDuration(opts["duration"]); err == nil {
			l.Duration = d
		}
		epoch, err := strconv.Atoi(opts["epoch"])
		if err != nil {
			return "", err
		}
		l.Epoch = int32(epoch)
		if opts["renewed"] == "no" {
			l.Renewed = s.bases[key].lease.Renewed
		}
		if was := s.bases[key]; opts["changed"] == "no" {
			l.Revision, l.Renewed = was.lease.Revision, was.lease.Renewed
		}
		end := s.SeeBase(key, l, s.now)
		if verb == "read" {
			s.Resolved(key)
		}
		return ends[end], nil
	case "nobase":
		s.rev++
		var last *Lease
		if b := s.bases[key]; b != nil && opts["last"] != "unknown" {
			last = b.lease
		}
		s.BaseGone(key, s.rev, last, s.now)
	case "left", "rested", "unlisted":
		return when(s.shownNoMore(verb, key, opts), "its Lease is another"), nil
	case "request":
		s.Request(key, opts["node"] == "yes", s.now)
	case "retire":
		s.Retire(key)
	case "drained":
		s.Drained(key)
	case "turn":
		var wait time.Duration
		s.last, wait = s.Turn(key, s.now)
		return tell(s.last, wait), nil
	case "wrote": // what the last turn asked for
		if opts["seen"] != "before" {
			s.rev++
		}
		l := Lease{Holder: s.Self, Epoch: s.last.Epoch, Revision: s.rev, Duration: 40 * time.Second, Renewed: s.now, Installation: "ours"}
		if s.last.Kind == TransferBase || s.last.Kind == ReleaseBase {
			l.Holder, l.Transferred, l.Released = s.last.To.Holder, s.last.Kind == TransferBase, s.last.Kind == ReleaseBase
		}
		end := s.Wrote(key, s.last, l, s.now)
		if b := s.bases[key]; b != nil {
			b.due = s.now.Add(s.Renew) // a base's own place in the interval is no part of a story
		}
		return ends[end], nil
	case "deleted":
		s.Deleted(key)
	case "failed":
		return when(s.Doubted(key, s.last), "the claim is in doubt"), nil
	case "claim":
		c, ok := s.Claim(key, s.now)
		if !ok {
			return "no", nil
		}
		return fmt.Sprintf("yes, epoch %d, for %s%s", c.Epoch, c.Deadline.Sub(s.now), when(c.Phase > Owned, ", "+c.Phase.String())), nil
	}
	return "", nil
}

// shownNoMore plays that a watch, or a list, shows a Lease no more; seen=no: it is not known
// why, seen=before: what is known of it is that; seen=older: is newer.
func (s *story) shownNoMore(verb, key string, opts map[string]string) bool {
	revision := s.rev
	switch opts["seen"] {
	case "no":
		revision = 0
	case "before":
	case "older":
		revision--
	default:
		s.rev++
		revision = s.rev
	}
	switch verb {
	case "left":
		return s.Left(key, revision)
	case "rested":
		return s.Rested(key, revision)
	default:
		gone, unread := s.Unlisted(key, revision, s.now)
		return gone || unread
	}
}

var kinds = map[Kind]string{
	Nothing: "nothing", ReadBase: "read its Lease", CreateBase: "create its Lease", ClaimBase: "claim it", RenewBase: "renew it",
	TransferBase: "transfer it", ReleaseBase: "release it", DeleteBase: "delete its Lease", AskMember: "ask about", FenceMember: "have the broker end its connection", ExpireMember: "expire it", ForgetMember: "forget it",
}

var ends = map[End]string{Lost: "the claim is lost", Transferred: "it was transferred", Released: "it was released"}

// tellPhase tells what a turn made of what may be done for a base.
func tellPhase(step Step) string {
	ours := when(step.Gained(), "it is ours; ")
	switch {
	case !step.Changed():
		return ""
	case step.Became == Draining:
		return ours + "it drains; "
	case step.Became == Forced:
		return ours + "its drain is forced; "
	}
	if ours != "" {
		return ours
	}
	return "it stays; "
}

func tell(step Step, wait time.Duration) string {
	text := kinds[step.Kind]
	switch step.Kind {
	case CreateBase, ClaimBase, RenewBase, ReleaseBase:
		text += fmt.Sprintf(", epoch %d", step.Epoch)
	case TransferBase:
		text += fmt.Sprintf(" to %s, epoch %d", step.To.Holder, step.Epoch)
	case AskMember:
		text += " " + step.Incarnation
	default:
	}
	text = tellPhase(step) + text
	if wait > 0 {
		unit := 100 * time.Millisecond
		if wait < unit {
			unit = time.Millisecond
		}
		text += fmt.Sprintf(", requeue after %s", wait.Round(unit))
	}
	return text
}
