package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"module-controller/tunnel/tunneltest"
)

// However slow they are who ask, a session ends soon, without an error, and they are cut
// off.
func TestServingEndsSoon(t *testing.T) {
	never := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, said := range map[string]string{
		"nothing was said": "",
		"half a header":    "GET /metrics HT",
		"a slow answer":    "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := make(tunneltest.Pipes)
				ctx, end := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- serveOn(ctx, l, never) }()
				scraper := l.Say(t, said)
				synctest.Wait()
				began := time.Now()
				end()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > closeTimeout {
					t.Errorf("it took %s", took)
				}
				if _, err := io.ReadAll(scraper); err != nil { // until the connection is closed
					t.Error(err)
				}
			})
		})
	}
}

// A header that is long without an end is not kept.
func TestALongHeaderIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(tunneltest.Pipes)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- serveOn(ctx, l, http.NotFoundHandler()) }()
		hostile := l.Say(t, "GET /readyz HTTP/1.1\r\nHost: h\r\nX: ")
		go func() { _, _ = io.WriteString(hostile, strings.Repeat("x", 2*maxHeader)+"\r\n\r\n") }() // it is closed before all was said
		answer, _ := io.ReadAll(hostile)
		if !strings.Contains(string(answer), "431") {
			t.Errorf("answered %q", answer)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Whoever connects and says what nobody understands fills no log.
func TestConnectionsFillNoLog(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		l := make(tunneltest.Pipes)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- serveOn(ctx, tls.NewListener(l, &tls.Config{}), http.NotFoundHandler()) }()
		hostile := l.Say(t, "")
		go func() { _, _ = io.WriteString(hostile, "GET /metrics HTTP/1.1\r\n\r\n") }()
		_, _ = io.ReadAll(hostile)
		synctest.Wait()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if logged.Len() > 0 {
		t.Errorf("logged %q", &logged)
	}
}
