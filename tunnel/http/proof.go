package httptunnel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"module-controller/tunnel"
)

// proofHeader is where a member tells another what it proved of a heartbeat's sender. It
// is believed of members only.
const proofHeader = "Module-Controller-Sender"

// maxWorkload is the maximum length of a workload's name, in bytes: those of a namespace,
// a Pod and a UID.
const maxWorkload = 63 + 253 + 36 + 2

// proof is a tunnel.Sender on its way between members.
type proof struct {
	Bound    bool   `json:"bound"`
	Workload string `json:"workload,omitempty"`
}

func setProof(h http.Header, s tunnel.Sender) error {
	text, err := json.Marshal(proof(s))
	if err != nil {
		return fmt.Errorf("tell the sender: %w", err)
	}
	h.Set(proofHeader, string(text))
	return nil
}

// proofOf gives what the member that a heartbeat reached first proved of its sender:
// nothing where it does not say.
func proofOf(h http.Header) (tunnel.Sender, error) {
	texts := h.Values(proofHeader)
	if len(texts) == 0 {
		return tunnel.Sender{}, nil
	}
	var p proof
	d := json.NewDecoder(strings.NewReader(texts[0]))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || d.More() || len(texts) > 1 {
		return tunnel.Sender{}, errors.New("what was proved of the sender cannot be read: let all replicas be of one version")
	}
	graphic := func(r rune) bool { return r > ' ' && r <= '~' }
	switch {
	case p.Workload != "" && !p.Bound:
		return tunnel.Sender{}, errors.New("a sender that is not bound has no workload")
	case len(p.Workload) > maxWorkload || strings.IndexFunc(p.Workload, func(r rune) bool { return !graphic(r) }) >= 0:
		return tunnel.Sender{}, fmt.Errorf("the workload's name is longer than %d bytes or not printable", maxWorkload)
	}
	return tunnel.Sender(p), nil
}
