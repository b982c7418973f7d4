package election

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func settings() Config {
	return Config{Holder: "mc-0_0123abcd", Name: func(b tunnel.BaseID) (string, error) { return b.Identity, nil }}.Complete()
}

func held(holder string, seconds int32) *coordinationv1.Lease {
	at := metav1.NewMicroTime(noon)
	return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at}}
}

func TestWhoseALeaseIs(t *testing.T) {
	for holder, want := range map[string]verdict{
		"mc-0_0123abcd": ours, "": free, "mc-0_99999999": free,
		"mc-1_0123abcd": foreign, "mc-01_0123abcd": foreign, "somebody": foreign, "mc-0": foreign,
	} {
		if got := judge(held(holder, 40), settings().Holder); got != want {
			t.Errorf("holder %q: %d, want %d", holder, got, want)
		}
	}
	if got := judge(&coordinationv1.Lease{}, "mc-0_0123abcd"); got != free {
		t.Errorf("no holder: %d", got)
	}
}

func TestAForeignLeaseIsTakenAfterItsOwnDurationAndAGrace(t *testing.T) {
	if got := takeAfter(held("x", 15), settings()); got != 25*time.Second {
		t.Errorf("%s, want 25s", got)
	}
	if got := takeAfter(&coordinationv1.Lease{}, settings()); got != 50*time.Second {
		t.Errorf("without a duration: %s, want 50s", got)
	}
}

func TestClaimingAndRenewing(t *testing.T) {
	was := held("other", 15)
	was.Labels = map[string]string{"kept": "yes"}
	preferred := "nobody"
	was.Spec.PreferredHolder = &preferred
	next := claimed(was, tunnel.BaseID{Env: "dev", Identity: "b"}, settings(), noon.Add(time.Hour))
	s := next.Spec
	if *s.HolderIdentity != "mc-0_0123abcd" || *s.LeaseTransitions != 1 || *s.LeaseDurationSeconds != 40 || s.PreferredHolder != nil || !s.AcquireTime.Equal(s.RenewTime) {
		t.Errorf("claimed %+v", s)
	}
	if next.Labels["kept"] != "yes" || next.Labels[labelOwner] != "mc-0" || next.Labels[labelState] != stateOwned || next.Labels[labelEnv] != "dev" {
		t.Errorf("labels %v", next.Labels)
	}
	if *was.Spec.HolderIdentity != "other" {
		t.Error("the Lease that was given is changed")
	}
	// A clock that went back does not take the Lease back with it.
	back := renewed(next, settings(), noon)
	if got := back.Spec.RenewTime.Sub(next.Spec.RenewTime.Time); got != time.Microsecond {
		t.Errorf("renewed %s later, want 1µs", got)
	}
	if *back.Spec.LeaseTransitions != 1 {
		t.Error("a renewal changes the epoch")
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	err := Config{Holder: "mc", Duration: time.Millisecond, Renew: time.Minute, Namespace: "n", Workers: -1, ForeignGrace: time.Second}.Validate()
	for _, want := range []string{"holder", "names Leases", "workers", "shorter"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
}
