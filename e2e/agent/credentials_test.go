package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A token is replaced when 80 % of its lifetime are over, and soon after the API server
// gave none; what the file has is good until then.
func TestKeepToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var faults atomic.Int32
		asked := 0
		request := func(context.Context) (string, time.Time, error) {
			if down.Load() {
				return "", time.Time{}, errors.New("no API server")
			}
			asked++
			return fmt.Sprintf("token %d", asked), time.Now().Add(time.Hour), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		go keepToken(ctx, file, request, func() {}, func(error) { faults.Add(1) })
		shows := func(after time.Duration, want string) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			if got, err := os.ReadFile(file); err != nil || string(got) != want {
				t.Errorf("the file has %q (%v), want %q", got, err, want)
			}
		}
		shows(0, "token 1")
		shows(48*time.Minute-time.Second, "token 1")
		shows(time.Second, "token 2")
		down.Store(true)
		shows(50*time.Minute, "token 2")
		if faults.Load() == 0 {
			t.Error("nobody was told that there was no token")
		}
		down.Store(false)
		shows(retryAfter, "token 3")
		cancel()
		synctest.Wait()
		shows(2*time.Hour, "token 3")
	})
}
