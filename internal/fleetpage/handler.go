package fleetpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Path is where a member serves the page.
const Path = "/fleet"

// fresh is for how long a page shows what was seen, so that many who look cost no more than
// one.
const fresh = 2 * time.Second

//go:embed page.html
var source string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"age": age, "many": many, "utc": func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) }, "day": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
}).Parse(source))

// policy lets the page load nothing, run its own script and use its own style only.
var policy = fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	hashOf("script"), hashOf("style"))

// hashOf is the hash of an element of the page that is the same for all fleets.
func hashOf(element string) string {
	_, rest, _ := strings.Cut(source, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Handler serves the page of what look sees, which is called every two seconds at most.
func Handler(look func() Sight) http.Handler {
	h := &handler{look: look}
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, h)
	return mux
}

type handler struct {
	look func() Sight

	mu sync.Mutex
	// mu guards what follows
	seen *sum // nil before the first
	at   time.Time
}

// current gives what was seen of late. Who comes while it is made anew waits for that.
func (h *handler) current() *sum {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.seen == nil || now.Sub(h.at) >= fresh {
		h.seen, h.at = sumUp(h.look()), now
	}
	return h.seen
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var text bytes.Buffer
	if err := page.Execute(&text, h.current().view(queryOf(r.URL.Query()))); err != nil {
		http.Error(w, fmt.Sprintf("make the page: %v", err), http.StatusInternalServerError)
		return
	}
	for key, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		w.Header().Set(key, value)
	}
	_, _ = w.Write(text.Bytes())
}
