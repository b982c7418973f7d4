package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	"go.uber.org/zap"
	"k8s.io/utils/exec"

	"module-controller/tunnel"
)

// question is something that may be asked of a base.
type question struct {
	verb tunnel.Verb
	// answer is what is shown of a report, to be written as JSON.
	answer func(tunnel.Report) any
}

// questions are all that may be asked, by name. None changes anything.
var questions = map[string]question{
	"modules": {tunnel.ListModules, modulesOf},
	"health":  {tunnel.ReadHealth, healthOf},
}

// noThreads is the answer to the question for threads, which people ask of a JVM: none of the
// runtime's commands tells them.
const noThreads = "the base's runtime tells no threads: run jcmd in the base's own Pod, such as kubectl exec POD -- jcmd 1 Thread.print"

const (
	// refused is the exit code of what may not be asked, as shells have it, and failed of
	// what got no answer.
	refused, failed = 126, 1
	// askTimeout is how long an answer is waited for.
	askTimeout = 10 * time.Second
)

// exec answers a command that is run in a pod's container: it is a question to the base.
func (s *Server) exec(ctx context.Context, namespace, pod, container string, command []string, streams api.AttachIO) error {
	if _, err := s.viewOf(ctx, namespace, pod, container); err != nil {
		return exit(streams, failed, err.Error())
	}
	asked := strings.Join(command, " ")
	if asked == "threads" {
		return exit(streams, refused, noThreads)
	}
	q, known := questions[asked]
	if !known {
		return exit(streams, refused, fmt.Sprintf("%q is refused: a base is asked questions only: %s", asked, strings.Join(slices.Sorted(maps.Keys(questions)), ", ")))
	}
	s.log.Info("asking a base for somebody", zap.String("question", asked), zap.String("node", nodeOf(ctx)), zap.String("pod", namespace+"/"+pod), zap.String("user", askerOf(ctx).Username))
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	report, err := s.bases.Ask(ctx, nodeOf(ctx), q.verb)
	if err != nil {
		return exit(streams, failed, err.Error())
	}
	text, err := json.MarshalIndent(q.answer(report), "", "  ")
	if err != nil {
		return exit(streams, failed, err.Error())
	}
	return write(streams.Stdout(), string(text))
}

// exit ends a command with a code and says why.
func exit(streams api.AttachIO, code int, why string) error {
	to := streams.Stderr()
	if to == nil { // with a terminal there is one stream for both
		to = streams.Stdout()
	}
	if err := write(to, why); err != nil {
		return err
	}
	return exec.CodeExitError{Err: errors.New(why), Code: code}
}

// write writes a line, unless nobody wants to read it.
func write(to io.Writer, text string) error {
	if to == nil {
		return nil
	}
	_, err := io.WriteString(to, text+"\n")
	return err
}

// listedModule is a module as it is told.
type listedModule struct {
	Name    string       `json:"name"`
	Version string       `json:"version"`
	State   tunnel.State `json:"state"`
	// Since is by the base's clock.
	Since   *time.Time `json:"since,omitempty"`
	Message string     `json:"message,omitempty"`
}

func modulesOf(r tunnel.Report) any {
	all := make([]listedModule, 0, len(r.Modules))
	for _, m := range r.Modules {
		told := listedModule{Name: m.Name, Version: m.Version, State: m.State, Message: m.Message}
		if !m.Since.IsZero() {
			told.Since = &m.Since
		}
		all = append(all, told)
	}
	return all
}

// toldHealth is a base's health as it is told. What the base did not tell is left out.
type toldHealth struct {
	MaxMetaspace  *int64  `json:"maxMetaspaceBytes,omitempty"`
	UsedMetaspace *int64  `json:"usedMetaspaceBytes,omitempty"`
	CPUs          int     `json:"cpus,omitempty"`
	CPUsInUse     float64 `json:"cpusInUse,omitempty"`
	Uptime        string  `json:"uptime,omitempty"`
}

func healthOf(r tunnel.Report) any {
	h := r.Health
	told := toldHealth{CPUs: h.CPUs, CPUsInUse: h.CPUsInUse}
	if h.MaxMemory >= 0 {
		told.MaxMetaspace = &h.MaxMemory
	}
	if h.UsedMemory >= 0 {
		told.UsedMetaspace = &h.UsedMemory
	}
	if h.Uptime > 0 {
		told.Uptime = h.Uptime.Round(time.Second).String()
	}
	return told
}
