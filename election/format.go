package election

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// formats number what one version of this program writes for others: Leases, and the notes
// on Nodes. A number grows when a name comes to mean something else or is written no more,
// never for a new name: what is not known is left alone.
type formats struct {
	// writes is the format that it writes, oldest that of the oldest version that can share
	// bases with it or come after it.
	writes, oldest int
}

// ours are those of this version. Whoever changes them says in docs/upgrading.md why.
var ours = formats{writes: 1, oldest: 1}

// unsaid is the format of a version whose Leases do not say it.
const unsaid = 1

// formatsOf reads those of who wrote a membership Lease. What is no number is newer than all.
func formatsOf(l *coordinationv1.Lease) formats {
	return formats{writes: formatIn(l, noteFormat), oldest: formatIn(l, noteOldest)}
}

func formatIn(l *coordinationv1.Lease, note string) int {
	text, said := l.Annotations[note]
	if !said {
		return unsaid
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return math.MaxInt
	}
	return n
}

// apart says why a version may not join where there is a membership Lease; nil where it may.
// Held says that another member holds it. One that nobody holds counts too: what its last
// holder wrote on the Leases of bases is still there.
func (f formats) apart(l *coordinationv1.Lease, held bool) error {
	theirs, of := formatsOf(l), cmp.Or(l.Annotations[noteVersion], "unknown")
	switch {
	case theirs.oldest > f.writes:
		return fmt.Errorf("lease %s/%s was written by version %s, which wants format %s, and this version writes format %d: start a newer version",
			l.Namespace, l.Name, of, quoted(l, noteOldest), f.writes)
	case held && theirs.writes < f.oldest:
		return fmt.Errorf("member %s is of version %s, which writes format %d, and this version wants format %d: upgrade it to a version between the two first",
			l.Name, of, theirs.writes, f.oldest)
	}
	return nil
}

// quoted is a note of a Lease as it stands there.
func quoted(l *coordinationv1.Lease, note string) string {
	return cmp.Or(l.Annotations[note], strconv.Itoa(unsaid))
}

// apartRetry is how often a replica that may not join looks whether it may, and apartTold
// how long it is not told again why.
const apartRetry, apartTold = 2 * time.Second, time.Minute

// joining is what a replica knows while it tries to join.
type joining struct {
	before predecessor
	// looked is when it was last found that it may not join for its formats, told when that
	// was told.
	looked, told time.Time
}

// fits says whether this version may join: the membership Leases that are there are of
// versions that it can share bases with. Where not, that is told.
//
// NB: two that join in the same moment do not see each other. No rule of ownership rests on
// this.
func (r *Replica) fits(ctx context.Context, j *joining) (bool, error) {
	now := time.Now()
	if now.Sub(j.looked) < apartRetry {
		return false, nil
	}
	limited, answered := r.memberRequest(ctx)
	defer answered()
	list, err := r.memberClient.List(limited, metav1.ListOptions{LabelSelector: MemberSelector})
	if err != nil {
		return false, fmt.Errorf("list membership leases: %w", err)
	}
	why := r.cfg.formats.apartFrom(list.Items, r.state.Name)
	r.mu.Lock()
	r.apart = why
	r.mu.Unlock()
	if why == nil {
		return true, nil
	}
	j.looked = now
	if now.Sub(j.told) >= apartTold {
		j.told = now
		r.log.Warn("not joining members of another format", zap.Error(why))
	}
	return false, nil
}

// apartFrom gives the first reason for which a version may not join as a member, which
// succeeds an earlier session of its own name whatever that wrote.
func (f formats) apartFrom(leases []coordinationv1.Lease, name string) error {
	for i := range leases {
		l := &leases[i]
		if err := f.apart(l, l.Name != name && ptr.Deref(l.Spec.HolderIdentity, "") != ""); err != nil {
			return err
		}
	}
	return nil
}

// Apart says why this replica does not join; nil where nothing of the members' formats keeps
// it from that.
func (r *Replica) Apart() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.apart
}
