package world

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"module-controller/e2e/history"
)

// auditPolicy has the API server note who changes Nodes and pods.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete]
  resources:
  - group: ""
    resources: [nodes, nodes/status, pods, pods/status]
- level: None
`

// audit is what the API server notes.
type audit struct{ policy, log string }

func newAudit(dir string) (audit, error) {
	a := audit{policy: dir + "/audit-policy.yaml", log: dir + "/audit.log"}
	return a, os.WriteFile(a.policy, []byte(auditPolicy), 0o600)
}

// args are flags of the API server. The log is not to be rotated.
func (a audit) args() []string {
	return []string{"--audit-policy-file=" + a.policy, "--audit-log-path=" + a.log, "--audit-log-maxsize=100000"}
}

// size is how much there is now, in bytes.
func (a audit) size() (int64, error) {
	f, err := os.Stat(a.log)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return f.Size(), nil
}

// writes gives what replicas changed since the log had a size in bytes: of Nodes, and of
// pods in a namespace. base gives the identity of the base that an object is about; where
// it gives none, the write does not count.
func (a audit) writes(from int64, namespace string, base func(resource, name string) string) ([]history.Write, error) {
	f, err := os.Open(a.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	var writes []history.Write
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return writes, nil // what comes after the last line is not whole yet
		}
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(line, []byte(namespace)) {
			continue
		}
		w, ok, err := parseAudit(line, namespace, base)
		if err != nil {
			return nil, err
		}
		if ok {
			writes = append(writes, w)
		}
	}
}

func parseAudit(line []byte, namespace string, base func(resource, name string) string) (w history.Write, ok bool, err error) {
	var e struct {
		Verb, UserAgent string
		ObjectRef       struct{ Resource, Subresource, Namespace, Name string }
		ResponseStatus  struct{ Code int }
		Received        time.Time `json:"requestReceivedTimestamp"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return w, false, err
	}
	o := e.ObjectRef
	program, writer, _ := strings.Cut(strings.TrimSuffix(e.UserAgent, ")"), " (")
	if !strings.HasPrefix(program, "module-controller/") || e.ResponseStatus.Code >= 300 || o.Namespace != "" && o.Namespace != namespace {
		return w, false, nil
	}
	w = history.Write{At: e.Received, Base: base(o.Resource, o.Name), Writer: writer, What: strings.Join([]string{e.Verb, o.Resource, o.Subresource, o.Name}, " ")}
	return w, w.Base != "", nil
}
