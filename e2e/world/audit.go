package world

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"module-controller/e2e/history"
)

// The policies have the API server note who changes Nodes and pods, and where rights are
// judged all that replicas ask for.
const (
	policyHead = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
`
	policyReplicas = `- level: Metadata
  users: [%s]
`
	policyWrites = `- level: Metadata
  verbs: [create, update, patch, delete]
  resources:
  - group: ""
    resources: [nodes, nodes/status, pods, pods/status]
- level: None
`
)

// audit is what the API server notes.
type audit struct{ policy, log string }

func newAudit(dir string, all bool) (audit, error) {
	a := audit{policy: dir + "/audit-policy.yaml", log: dir + "/audit.log"}
	policy := policyHead + policyWrites
	if all {
		policy = policyHead + fmt.Sprintf(policyReplicas, strings.Join(replicaUsers(), ", ")) + policyWrites
	}
	return a, os.WriteFile(a.policy, []byte(policy), 0o600)
}

// entry is one line of the log.
type entry struct {
	Verb, UserAgent, RequestURI string
	User                        struct{ Username string }
	ObjectRef                   struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	ResponseStatus              struct {
		Code    int
		Message string
	}
	Received    time.Time `json:"requestReceivedTimestamp"`
	Annotations map[string]string
}

// byReplica says whether a replica asked, and not somebody else with its credentials.
func (e entry) byReplica() bool { return strings.HasPrefix(e.UserAgent, "module-controller/") }

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
func (a audit) writes(from int64, namespace string, base func(resource, name string) string) (writes []history.Write, err error) {
	err = a.read(from, []byte(namespace), func(e entry) {
		if w, ok := writeOf(e, namespace, base); ok {
			writes = append(writes, w)
		}
	})
	return writes, err
}

// read has see called for each entry since the log had a size in bytes whose line has a
// text.
func (a audit) read(from int64, text []byte, see func(entry)) error {
	f, err := os.Open(a.log)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what comes after the last line is not whole yet
		}
		if err != nil {
			return err
		}
		if !bytes.Contains(line, text) {
			continue
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		see(e)
	}
}

// writeOf gives the write that an entry is, of a Node, or of a pod in a namespace.
func writeOf(e entry, namespace string, base func(resource, name string) string) (w history.Write, ok bool) {
	o := e.ObjectRef
	_, writer, _ := strings.Cut(strings.TrimSuffix(e.UserAgent, ")"), " (")
	switch {
	case !e.byReplica(), e.ResponseStatus.Code >= 300:
		return w, false
	case o.Resource != "nodes" && o.Resource != "pods", e.Verb == "get", e.Verb == "list", e.Verb == "watch":
		return w, false
	case o.Namespace != "" && o.Namespace != namespace:
		return w, false
	}
	w = history.Write{At: e.Received, Base: base(o.Resource, o.Name), Writer: writer, What: strings.Join([]string{e.Verb, o.Resource, o.Subresource, o.Name}, " ")}
	return w, w.Base != ""
}
