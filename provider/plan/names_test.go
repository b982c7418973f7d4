package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"module-controller/tunnel"
)

func TestNodeNameIsReadableWhereItCanBe(t *testing.T) {
	for _, c := range []struct{ env, identity, want string }{
		{"default", "192.0.2.2", "vnode.192.0.2.2.default"},
		{"dev", "2ce92dca-032e-4956-bc91-27b43406dad2", "vnode.2ce92dca-032e-4956-bc91-27b43406dad2.dev"},
		{"dev", "Base_1", "vnode.x--z42asez5f1.dev"},
		{"dev", "a..b", "vnode.x--az2ez2eb.dev"},
		{"dev", "fe80::1", "vnode.x--fe80z3az3a1.dev"},
		{"dev", "x--a", "vnode.x--xz2dz2da.dev"},
	} {
		got, err := NodeName(tunnel.BaseID{Env: c.env, Identity: c.identity})
		if err != nil || got != c.want {
			t.Errorf("NodeName(%s, %s) = %q, %v; want %q", c.env, c.identity, got, err, c.want)
		}
	}
}

func TestNodeNameRefuses(t *testing.T) {
	for _, id := range []tunnel.BaseID{
		{Env: "dev", Identity: ""}, {Env: "dev", Identity: strings.Repeat("a", 300)},
		{Env: "dev", Identity: "a/b"}, {Env: "dev", Identity: "a+b"}, {Env: "dev", Identity: "a#"},
		{Env: "", Identity: "a"}, {Env: "a.b", Identity: "a"}, {Env: "Dev", Identity: "a"},
		{Env: "dev", Identity: strings.Repeat("_", 90)}, {Env: "dev", Identity: "Ü"},
	} {
		if name, err := NodeName(id); err == nil {
			t.Errorf("NodeName(%q) = %q, want an error", id, name)
		}
	}
}

// Two bases never share a name, and a name leads back to its base.
func TestNodeNameIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := tunnel.BaseID{
			Env:      rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?`).Draw(t, "env"),
			Identity: rapid.OneOf(rapid.StringMatching(`[ -~]{1,20}`), rapid.StringMatching(`(x--)?[a-zA-Z0-9._:-]{1,30}`)).Draw(t, "identity"),
		}
		name, err := NodeName(id)
		if err != nil {
			return
		}
		if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 {
			t.Fatalf("NodeName(%q) = %q: %v", id, name, faults)
		}
		if back, ok := BaseOf(name); !ok || back != id {
			t.Fatalf("BaseOf(%q) = %q, %v; want %q", name, back, ok, id)
		}
	})
}

func TestBaseOfRefusesOtherNames(t *testing.T) {
	for _, name := range []string{"", "node-1", "vnode.", "vnode.a", "vnode..dev", "vnode.x--zz.dev", "vnode.x--a.dev", "vnode.x--z4.dev", "vnode.A.dev"} {
		if id, ok := BaseOf(name); ok {
			t.Errorf("BaseOf(%q) = %q, want none", name, id)
		}
	}
}

func TestLabelValueIsAlwaysValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		label, safe := labelValue(value)
		if faults := validation.IsValidLabelValue(label); len(faults) > 0 {
			t.Fatalf("labelValue(%q) = %q: %v", value, label, faults)
		}
		if safe != (label == value) {
			t.Fatalf("labelValue(%q) = %q, safe %v", value, label, safe)
		}
	})
}

// What a label takes stays as it is, the rest becomes dashes.
func TestLabelValueKeepsWhatItCan(t *testing.T) {
	for value, want := range map[string]string{
		"abcdefghijklmnopqrstuvwxyz/0": "abcdefghijklmnopqrstuvwxyz-0",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ 1": "ABCDEFGHIJKLMNOPQRSTUVWXYZ-1",
		"0123456789-_.ü":               "0123456789",
		"a" + strings.Repeat("b", 80):  "a" + strings.Repeat("b", 53),
		"!" + strings.Repeat("c", 3):   "ccc",
	} {
		label, safe := labelValue(value)
		kept, hash := label[:max(len(label)-9, 0)], label[max(len(label)-9, 0):]
		if safe || kept != want || hash[0] != '-' {
			t.Errorf("labelValue(%q) = %q, %v; want %q and a hash", value, label, safe, want)
		}
	}
}
