package world

import (
	"cmp"
	"os"
	"testing"
)

// Setting is what an environment variable says, least or more, or def where there is none.
func Setting[T cmp.Ordered](tb testing.TB, name string, def, least T, parse func(string) (T, error)) T {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	is, err := parse(v)
	if err != nil || is < least {
		tb.Fatalf("%s=%q: want %v or more", name, v, least)
	}
	return is
}
