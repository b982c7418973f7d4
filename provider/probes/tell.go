package probes

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Reasons of Events, as kubelets have them.
const (
	ReasonUnhealthy    = "Unhealthy"
	ReasonProbeWarning = "ProbeWarning"
)

// Events of probes: so many at once, then one in each pause; of one base, and of all that
// this process probes. Client-go keeps 1,000 Events of all bases and drops the rest.
const (
	baseEvents, baseEventPause = 25, 10 * time.Second
	allEvents, allEventPause   = 200, 100 * time.Millisecond
	// repeatPause is how soon what was told of a probe is told again.
	repeatPause = 5 * time.Minute
)

// telling is what was told last of a probe that fails.
type telling struct {
	text string
	at   time.Time
}

// quoted is what was found last, and how it is shown. Nobody uses it at the same time: a task
// is made once at a time.
type quoted struct {
	found, text string
	at          time.Time
}

// of gives what was found without the values of Secrets that the modules of a base know.
// NB: what is found again is looked at anew after repeatPause only, since looking for each
// value costs more than the probe.
func (q *quoted) of(pods []plan.Pod, found string, now time.Time) string {
	if found != q.found || now.Sub(q.at) >= repeatPause {
		*q = quoted{found, plan.Quote(pods, found), now}
	}
	return q.text
}

// says gives the words for what a probe found, cleaned of what must not be shown, and
// the reason of their Event; nothing for what needs no words.
func says(k kind, f finding) (reason, text string) {
	switch {
	case f.text == "":
		return "", ""
	case f.outcome == passed:
		return ReasonProbeWarning, tunnel.Say(fmt.Sprintf("%s probe warning: %s", k, f.text), tunnel.MaxText)
	case f.outcome == unknown:
		return ReasonUnhealthy, tunnel.Say(fmt.Sprintf("%s probe errored and resulted in unknown state: %s", k, f.text), tunnel.MaxText)
	}
	return ReasonUnhealthy, tunnel.Say(fmt.Sprintf("%s probe failed: %s", k, f.text), tunnel.MaxText)
}

// news says whether words are to be told: they are new, or old enough. Nothing to tell
// makes what comes next new.
func (t *telling) news(text string, now time.Time) bool {
	switch {
	case text == "":
		*t = telling{}
		return false
	case text == t.text && now.Sub(t.at) < repeatPause:
		return false
	}
	*t = telling{text, now}
	return true
}

// newBudget bounds Events.
func newBudget(burst int, pause time.Duration) *rate.Limiter {
	return rate.NewLimiter(rate.Every(pause), burst)
}

// tell records an Event on a pod, as a kubelet does. Where the pod has several containers it
// says of which it tells.
func tell(to record.EventRecorder, pod *corev1.Pod, container, reason, text string) {
	if len(pod.Spec.Containers) > 1 {
		text += fmt.Sprintf(" (container %s)", container)
	}
	to.Event(pod, corev1.EventTypeWarning, reason, text)
}
