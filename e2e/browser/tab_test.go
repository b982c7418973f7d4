//go:build browser

package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// step bounds one thing that is asked of the browser.
const step = 30 * time.Second

// tab is a tab of a browser of its own, which keeps nothing of another.
type tab struct {
	testing.TB
	world *world.World
	// in gives the context of one step; the browser lives longer.
	in func() (context.Context, context.CancelFunc)
	// paused are requests that wait for an answer of ours; nil before signIn.
	paused chan any

	mu sync.Mutex
	// mu guards what follows
	faults   []string // errors and warnings that the browser told of the page
	asked    []string // the URLs of all requests
	statuses []int64  // of what was answered, in that order
}

// screen is what a tab is looked at on.
type screen struct {
	width, height int64
	options       []chromedp.EmulateViewportOption
}

var (
	desktop = screen{width: 1280, height: 900}
	phone   = screen{width: 390, height: 844, options: []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2)}}
)

// newTab starts a browser for a test or a part of it, with which it ends.
func newTab(tb testing.TB, w *world.World, on screen) *tab {
	tb.Helper()
	options := slices.Clone(chromedp.DefaultExecAllocatorOptions[:])
	options = append(options, chromedp.DisableGPU, chromedp.WSURLReadTimeout(world.Timeout))
	if os.Geteuid() == 0 { // its sandbox does not run as root
		options = append(options, chromedp.NoSandbox)
	}
	t := &tab{TB: tb, world: w}
	allocated, end := chromedp.NewExecAllocator(context.WithoutCancel(tb.Context()), options...)
	browser, _ := chromedp.NewContext(allocated, chromedp.WithListener(t.hear))
	tb.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil {
			tb.Error(err)
		}
		end()
	})
	t.in = func() (context.Context, context.CancelFunc) { return context.WithTimeout(browser, step) }
	if err := chromedp.Do(browser); err != nil { // not in a step: the browser would end with it
		tb.Fatalf("start chromium, which Debian has as the package chromium: %v", err)
	}
	t.do(chromedp.EmulateViewport(on.width, on.height, on.options...))
	return t
}

// must ends the test for an error.
func (t *tab) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until check gives no error, and ends the test when that was not so in time.
func (t *tab) eventually(check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), world.Timeout)
	defer cancel()
	t.must(harness.Until(ctx, check))
}

// do does something in the tab.
func (t *tab) do(what ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := t.in()
	defer cancel()
	t.must(chromedp.Do(ctx, what...))
}

// give gives what an action in the tab does.
func give[T any](t *tab, what chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := t.in()
	defer cancel()
	is, err := chromedp.Run(ctx, what)
	t.must(err)
	return is
}

// call gives what a command of the browser's protocol gives.
func call[P, R any](t *tab, command cdp.Command[P, R], with P) R {
	t.Helper()
	ctx, cancel := t.in()
	defer cancel()
	is, err := chromedp.Call(ctx, command, with)
	t.must(err)
	return is
}

// read gives the value of an expression in the page.
func read[T any](t *tab, expression string) T {
	t.Helper()
	return give(t, chromedp.Evaluate[T](expression))
}

// page is the URL of the page of a replica.
func (t *tab) page(replica int) string {
	return "http://" + t.world.Replicas[replica].Setting("METRICS_BIND_ADDRESS") + "/fleet"
}

// open opens a URL and waits until it is loaded.
func (t *tab) open(url string) {
	t.Helper()
	t.do(chromedp.Navigate(url))
}

// try opens a URL that may be refused, and gives the status of the answer.
func (t *tab) try(url string) int64 {
	t.Helper()
	ctx, cancel := t.in()
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Navigate(url))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.statuses) == 0 {
		t.Fatalf("open %s: no answer: %v", url, err)
	}
	return t.statuses[len(t.statuses)-1]
}

// signIn answers the browser when it asks for a name and a password, as whoever looks would.
// A token that is refused is not sent again.
func (t *tab) signIn(token string) {
	t.Helper()
	t.paused = make(chan any, 100)
	over, end := t.Context().Done(), make(chan struct{})
	go func() {
		defer close(end)
		tried := map[fetch.RequestID]bool{}
		for {
			select {
			case event := <-t.paused:
				t.answer(event, token, tried)
			case <-over:
				return
			}
		}
	}()
	t.Cleanup(func() { <-end })
	call(t, fetch.Enable, fetch.EnableParams{HandleAuthRequests: new(true)})
}

// answer lets a request go on that waits for us.
func (t *tab) answer(event any, token string, tried map[fetch.RequestID]bool) {
	ctx, cancel := t.in()
	defer cancel()
	var err error
	switch e := event.(type) {
	case *fetch.EventRequestPaused:
		_, err = chromedp.Call(ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID})
	case *fetch.EventAuthRequired:
		is := &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: "anybody", Password: token}
		if tried[e.RequestID] {
			is = &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseCancelAuth}
		}
		tried[e.RequestID] = true
		_, err = chromedp.Call(ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: e.RequestID, AuthChallengeResponse: is})
	}
	if err != nil && t.Context().Err() == nil { // else the test is over
		t.Errorf("let a request go on: %v", err)
	}
}

// hear notes what the browser tells.
func (t *tab) hear(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		t.faults = append(t.faults, "exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		t.faults = append(t.faults, fmt.Sprintf("console.%s", e.Type)) // the page has no business there
	case *log.EventEntryAdded:
		t.faults = append(t.faults, fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		t.asked = append(t.asked, e.Request.URL)
	case *network.EventResponseReceived:
		t.statuses = append(t.statuses, e.Response.Status)
	case *fetch.EventRequestPaused, *fetch.EventAuthRequired:
		t.paused <- e
	}
}

// checkQuiet checks that the browser had nothing to say against the page, and that the page
// asked nobody but the replica at its address.
func (t *tab) checkQuiet() {
	t.Helper()
	host := read[string](t, `location.host`)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, fault := range t.faults {
		t.Errorf("the browser says of the page: %s", fault)
	}
	for _, asked := range t.asked {
		if u, err := url.Parse(asked); err != nil || u.Host != host {
			t.Errorf("the page asks for %s (%v), and is at %s", asked, err, host)
		}
	}
}
