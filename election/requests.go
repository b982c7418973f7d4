package election

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"

	"module-controller/shard"
)

// What people ask of a member stands on its membership Lease, where all members see it: who
// may write that Lease may be a member, and so may move bases in any case. Members leave it
// there when they renew, and over restarts. Nothing is safe by it: shard.Requests.

// Annotations of a membership Lease that people write, and what tells that they are obeyed.
const (
	noteObeyedBy = prefix + "requests-obeyed-by" // the session: one of an earlier version leaves it as it was
	noteCordoned = prefix + "cordoned"
	notePins     = prefix + "pinned-bases" // "<Lease of a base>=<RFC 3339>", separated by commas

	isCordoned = "true"

	// CordonedNote and PinsNote are those that people write.
	CordonedNote = noteCordoned
	PinsNote     = notePins
)

// MaxPins is how many bases can be pinned to a member: each renewal of its Lease has them all.
const MaxPins = 64

// parseRequests reads what is asked of a member.
func parseRequests(l *coordinationv1.Lease) shard.Requests {
	pins, _ := parsePins(l.Annotations[notePins])
	return shard.Requests{Obeys: holds(l.Annotations[noteObeyedBy], l), Cordoned: l.Annotations[noteCordoned] == isCordoned, Pins: pins}
}

// parsePins reads pins, and gives what of them is not understood, or is too many.
func parsePins(text string) (pins map[string]time.Time, refused []string) {
	if text == "" {
		return nil, nil
	}
	pins = map[string]time.Time{}
	for entry := range strings.SplitSeq(text, ",") {
		key, end, _ := strings.Cut(strings.TrimSpace(entry), "=")
		until, err := time.Parse(time.RFC3339, end)
		switch {
		case err != nil, key == "", len(pins) == MaxPins:
			refused = append(refused, entry)
		default:
			pins[key] = until
		}
	}
	return pins, refused
}

// formatPins writes pins as parsePins reads them.
func formatPins(pins map[string]time.Time) string {
	entries := make([]string, 0, len(pins))
	for _, key := range slices.Sorted(maps.Keys(pins)) {
		entries = append(entries, key+"="+pins[key].UTC().Format(time.RFC3339))
	}
	return strings.Join(entries, ",")
}

// noteRequests has a membership Lease that is about to be renewed tell that requests are
// obeyed, and takes out the pins that are over or not understood.
func noteRequests(next *coordinationv1.Lease, incarnation string, now time.Time) {
	put(&next.Annotations, noteObeyedBy, incarnation)
	pins, _ := parsePins(next.Annotations[notePins])
	maps.DeleteFunc(pins, func(_ string, until time.Time) bool { return !until.After(now) })
	if len(pins) == 0 {
		delete(next.Annotations, notePins)
		return
	}
	next.Annotations[notePins] = formatPins(pins)
}

// Cordon gives the annotations of a membership Lease by which its member is asked to give up
// its bases, and to take none, or no more. Those that are nil are taken away.
func Cordon(on bool) map[string]*string {
	if !on {
		return map[string]*string{noteCordoned: nil}
	}
	yes := isCordoned
	return map[string]*string{noteCordoned: &yes}
}

// Pin gives the annotation of a membership Lease by which bases are its member's until a time,
// by the names of their Leases: all that are. Nil in it: it is taken away.
func Pin(pins map[string]time.Time) map[string]*string {
	if len(pins) == 0 {
		return map[string]*string{notePins: nil}
	}
	text := formatPins(pins)
	return map[string]*string{notePins: &text}
}

// toldRequests is what a replica told last of what is asked of it.
type toldRequests struct {
	cordoned bool
	pins     string
}

// tellRequests tells what is asked of this replica, once for each change. Only who writes our
// membership Lease calls it.
func (r *Replica) tellRequests(seen *coordinationv1.Lease) {
	is := toldRequests{seen.Annotations[noteCordoned] == isCordoned, seen.Annotations[notePins]}
	was := r.requested
	r.requested = is
	switch {
	case is.cordoned == was.cordoned:
	case is.cordoned:
		r.log.Info("cordoned: this member gives its bases up, and takes none", zap.String("annotation", noteCordoned))
	default:
		r.log.Info("no longer cordoned: this member takes bases", zap.String("annotation", noteCordoned))
	}
	if is.pins == was.pins {
		return
	}
	pins, refused := parsePins(is.pins)
	r.log.Info("bases are pinned to this member", zap.Int("bases", len(pins)), zap.String("pins", formatPins(pins)))
	if len(refused) > 0 {
		r.log.Warn("pins are left out: each must be the name of a base's Lease, = and a time as 2026-01-31T12:00:00Z, and there may be as many as the limit",
			zap.Strings("pins", refused), zap.Int("limit", MaxPins), zap.String("annotation", notePins))
	}
}

// whyAsked says who asked that a base goes to a member; empty for nobody.
func (r *Replica) whyAsked(key, to string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lease := r.members[to]; lease != nil {
		if _, pinned := parseRequests(lease).Pins[key]; pinned {
			return "it was moved by hand: it is pinned to " + to
		}
	}
	if own := r.members[r.state.Name]; own != nil && parseRequests(own).Cordoned {
		return "this member is cordoned"
	}
	return ""
}
