package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	found := errors.New("found one")
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   error
		told   string
	}{
		"reached": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/index/db.json" {
				http.NotFound(w, r)
			}
		}, found, ""},
		"refused": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }, nil, "403 Forbidden"},
		"cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			db := httptest.NewServer(tt.answer)
			defer db.Close()
			var out bytes.Buffer
			err := check(t.Context(), db.URL, &out, func() error { return found })
			if !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
			if !strings.Contains(out.String(), tt.told) || (tt.told != "") != strings.Contains(out.String(), "not checked") {
				t.Errorf("it says %q, want %q in it", out.String(), tt.told)
			}
		})
	}
}
