package election

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// newMixedWorld is a world whose members serve different environments: two of them each,
// and one of them both.
func newMixedWorld(seed uint64) *world {
	w := newSite(newStore(), site{"mc", "mc"}, seed)
	w.envs = [][]string{{"dev", "test"}, {"dev"}, {"test"}}
	for b := range simBases / 2 {
		w.names = append(w.names, fmt.Sprintf("test-%02d", b))
	}
	w.begin()
	return w
}

// Members that serve different environments have each their share of the bases of their
// own, whatever happens, and are never given another's.
func TestMembersOfDifferentEnvironments(t *testing.T) {
	eachSeed(t, 1, uint64(*schedules)/10+1, func(t *testing.T, seed uint64) {
		w := newMixedWorld(seed)
		defer w.end()
		w.wait(40 * time.Second)
		errs := []error{w.checkServed()}
		errs = append(errs, w.schedule())
		if err := errors.Join(errs...); err != nil {
			t.Errorf("schedule %d: %v\n%s", seed, err, strings.Join(w.story, "\n"))
		}
	})
}

// The environment of a fleet's replicas is changed, one after the other. Bases are served
// as long as any replica serves their environment, and are then left alone.
func TestTheEnvironmentIsChangedOneReplicaAfterTheOther(t *testing.T) {
	for name, c := range map[string]struct {
		becomes []string
		served  int // by how many replicas it goes on to be served
	}{"another one": {[]string{"test"}, 0}, "one more": {[]string{"dev", "test"}, simReplicas}} {
		t.Run(name, func(t *testing.T) {
			quiet()
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.WarnLevel)
				w := newSite(newStore(), site{"mc", "mc"}, 1)
				w.log = zap.New(core)
				w.begin()
				defer w.end()
				w.wait(30 * time.Second)
				began := time.Now()
				for i := simReplicas - 1; i >= 0; i-- {
					if i == 0 && c.served == 0 {
						break
					}
					w.envs[i] = c.becomes
					terminate(w, w.processes[i], 0)
					w.wait(time.Minute)
				}
				if silence, base := w.longest(began); silence > 2*time.Second {
					t.Errorf("%s was served by nobody for %s", base, silence)
				}
				if c.served == 0 {
					w.envs[0] = c.becomes
					terminate(w, w.processes[0], 0)
					w.wait(time.Minute)
				}
				told := logs.FilterMessageSnippet("no other member serves this environment").FilterField(zap.Int("bases", simBases)).Len()
				if (told == 1) != (c.served == 0) {
					t.Errorf("it was told %d times that bases are left alone", told)
				}
				for base, owner := range w.owners() {
					if (owner == "") != (c.served == 0) {
						t.Errorf("%s is owned by %q", base, owner)
					}
				}
				if err := w.checkSafe(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
