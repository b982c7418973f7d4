package election

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// inFormats is the membership Lease of mc-1 as a version with those formats writes it.
func inFormats(writes, oldest string) *coordinationv1.Lease {
	cfg := whole()
	cfg.Incarnation, cfg.Version = "mc-1_00000001", "v9"
	l := joined(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "mc-1", Namespace: cfg.Namespace}}, cfg, announcement{linked: true}, time.Now())
	for note, value := range map[string]string{noteFormat: writes, noteOldest: oldest} {
		put(&l.Annotations, note, value)
		if value == "" { // of a version that does not say it
			delete(l.Annotations, note)
		}
	}
	return l
}

func TestWhichFormatsFitEachOther(t *testing.T) {
	for name, c := range map[string]struct {
		is             formats
		writes, oldest string // of the other member
		left           bool
		why            string // it contains; empty: they fit
	}{
		"the same":                               {formats{1, 1}, "1", "1", false, ""},
		"of a version that says none":            {formats{1, 1}, "", "", false, ""},
		"the next, which reads ours":             {formats{1, 1}, "2", "1", false, ""},
		"one before, which we read":              {formats{3, 2}, "2", "1", false, ""},
		"a newer one that does not read ours":    {formats{1, 1}, "3", "2", false, "wants format 2, and this version writes format 1: start a newer version"},
		"it has left, and what it wrote has not": {formats{1, 1}, "3", "2", true, "lease ns/mc-1 was written by version v9"},
		"an older one that we do not read":       {formats{3, 2}, "1", "1", false, "member mc-1 is of version v9, which writes format 1, and this version wants format 2"},
		"one that says none, which we do not":    {formats{2, 2}, "", "", false, "writes format 1"},
		"an older one, which has left":           {formats{3, 2}, "1", "1", true, ""},
		"no number":                              {formats{1, 1}, "x", "two", false, "wants format two"},
		"an empty one":                           {formats{1, 1}, "1", " ", false, "wants format  "},
	} {
		t.Run(name, func(t *testing.T) {
			l := inFormats(c.writes, c.oldest)
			err := c.is.apart(l, !c.left)
			switch {
			case c.why == "" && err != nil:
				t.Errorf("they do not fit: %v", err)
			case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
				t.Errorf("it says %v, want %q", err, c.why)
			}
		})
	}
}

// Each version says what it writes, and the oldest that it can share bases with, over what
// another one said.
func TestAMembershipLeaseSaysItsFormats(t *testing.T) {
	l := joined(inFormats("7", "6"), whole(), announcement{}, noon)
	if is := formatsOf(l); is != ours || l.Annotations[noteFormat] == "" {
		t.Errorf("it says %+v, want %+v: %v", is, ours, l.Annotations)
	}
}

// A version that cannot share bases with who is there does not join: it owns nothing, writes
// nothing and says why, by the minute. Once they fit, it joins by itself.
func TestAVersionOfAnotherFormatWaits(t *testing.T) {
	for name, c := range map[string]struct {
		is    formats
		there *coordinationv1.Lease
		over  func(l *coordinationv1.Lease) *coordinationv1.Lease // how the obstacle ends
	}{
		"a newer one is there": {ours, inFormats("3", "2"), func(l *coordinationv1.Lease) *coordinationv1.Lease {
			put(&l.Annotations, noteFormat, "2", noteOldest, "1") // it is rolled back
			return l
		}},
		"an older one is there": {formats{3, 2}, inFormats("1", "1"), func(l *coordinationv1.Lease) *coordinationv1.Lease { return vacated(l, "") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.put(c.there, watch.Added)
				core, logged := observer.New(zapcore.WarnLevel)
				cfg := whole()
				cfg.formats = c.is
				r := startAs(t, s, cfg, zap.New(core))
				pause(t.Context(), 90*time.Second)
				if r.holds() || s.had("ns/mc-0") || r.Apart() == nil {
					t.Errorf("it joined: it owns a base: %t; why not: %v", r.holds(), r.Apart())
				}
				if told := logged.FilterMessage("not joining members of another format").All(); len(told) != 2 {
					t.Errorf("it was told %d times in 90 s, want twice: %v", len(told), logged.All())
				}
				s.edit("ns/mc-1", func(l *coordinationv1.Lease) bool { *l = *c.over(l); return true })
				pause(t.Context(), 30*time.Second)
				if !r.holds() || r.Apart() != nil {
					t.Errorf("it has not joined: %v", r.Apart())
				}
				r.end(t)
			})
		})
	}
}
