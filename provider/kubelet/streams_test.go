package kubelet

import (
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
)

func byToken(name string) asker {
	return asker{UserInfo: authenticationv1.UserInfo{Username: name}}
}

func byCertificate(name string) asker {
	return asker{UserInfo: authenticationv1.UserInfo{Username: name}, certified: true}
}

// The API server may read all logs that may be read at a time. Who proves himself by a token
// has a share, and all of those together leave half.
func TestHowManyLogsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		read []asker // one log after the other
		want []int   // of each so many
	}{
		"the API server":             {[]asker{byCertificate("apiserver")}, []int{maxStreams}},
		"one by a token":             {[]asker{byToken("a")}, []int{maxOfOne}},
		"many by tokens":             {[]asker{byToken("a"), byToken("b"), byToken("c")}, []int{maxOfOne, maxOfOne, 0}},
		"the API server beside them": {[]asker{byToken("a"), byToken("b"), byCertificate("apiserver")}, []int{maxOfOne, maxOfOne, maxStreams - maxByToken}},
		"they beside the API server": {[]asker{byCertificate("apiserver"), byToken("a")}, []int{maxStreams, 0}},
		"one name, proved both ways": {[]asker{byToken("a"), byCertificate("a")}, []int{maxOfOne, maxStreams - maxOfOne}},
	} {
		s := newStreams()
		var begun []asker
		for i, who := range c.read {
			n := 0
			for ; s.begin(who) == nil; n++ {
				begun = append(begun, who)
			}
			if n != c.want[i] {
				t.Errorf("%s: %s reads %d, want %d", name, who.Username, n, c.want[i])
			}
		}
		for _, who := range begun {
			s.end(who)
		}
		if s.all != 0 || s.byToken != 0 || len(s.of) != 0 {
			t.Errorf("%s: after the end %+v", name, s)
		}
	}
}

// Logs that are followed for long are bounded, and who comes beyond is told, as is the log;
// each gives its place back.
func TestLogsAreBounded(t *testing.T) {
	const path = "/containerLogs/orders/stock/stock"
	w, told := newToldWorld(t, shopPod(""))
	w.users["reader"] = user{[]string{"get proxy"}}
	for range maxOfOne {
		if err := w.streams.begin(byToken("reader")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := request(w, 10250, http.MethodGet, path, tokenOf("reader")); got.Code != http.StatusTooManyRequests || !strings.Contains(got.Body.String(), "reads 16 logs at this replica already") {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	}
	if n := told.FilterMessage("refusing a request to a VNode").Len(); n != 1 {
		t.Errorf("it was told %d times", n)
	}
	w.streams.end(byToken("reader"))
	for range 2 {
		if got := request(w, 10250, http.MethodGet, path, tokenOf("reader")); got.Code != http.StatusOK {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	}
}
