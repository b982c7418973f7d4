package arklet

import (
	"encoding/json"
	"net/netip"

	"module-controller/tunnel"
)

// envelope wraps every message that a base publishes.
type envelope struct {
	Published number          `json:"publishTimestamp"`
	Data      json.RawMessage `json:"data"`
}

type metadata struct {
	Identity string `json:"identity"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Cluster  string `json:"clusterName"`
}

type heart struct {
	Metadata *metadata `json:"baseMetadata"`
	IP       string    `json:"localIP"`
	Hostname string    `json:"localHostName"`
	Port     number    `json:"port"`
	State    string    `json:"state"`
}

// Message is a decoded MQTT message; exactly one of its fields is set.
type Message struct {
	Heartbeat *tunnel.Heartbeat
	Report    *tunnel.Report
}

// DecodeMQTT reads a message from a base. The caller sets Received and Tunnel. A
// queryBaseline shows that the process has just started, but has no address, so it is a
// report without content; the caller sets Restarted on the heartbeat that follows.
func DecodeMQTT(b tunnel.BaseID, k Kind, payload []byte) (Message, error) {
	var env envelope
	if err := decode(payload, LimitMQTT(k), &env); err != nil {
		return Message{}, err
	}
	if len(env.Data) == 0 {
		return Message{}, refuse(WrongType, "no data")
	}
	stamp := env.Published.millis()
	if k == KindHeart {
		h, err := heartOf(b, env.Data)
		if err != nil {
			return Message{}, err
		}
		h.Port, h.Stamp = 0, stamp
		if nowhere(h.IP) {
			h.IP = ""
		}
		return Message{Heartbeat: h}, nil
	}
	r := &tunnel.Report{Base: b, Stamp: stamp}
	return Message{Report: r}, fill(r, k, env.Data)
}

// nowhere says of an address that no base can be reached at it from elsewhere. Pods show
// the address, and the API server refuses all endpoints of a Service of which one has such
// an address. Over HTTP a policy says where bases may be.
//
// NB: loopback is not among them: it is where bases are that are tried out on one host.
func nowhere(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && (a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

func fill(r *tunnel.Report, k Kind, data json.RawMessage) (err error) {
	switch k {
	case KindBaseline:
		var m metadata
		if json.Unmarshal(data, &m) != nil {
			return refuse(WrongType, "metadata")
		}
		return sameIdentity(r.Base, m.Identity)
	case KindList:
		r.Listed = true
		r.Modules, r.Partial, err = modulesOf(data)
	case KindHealth:
		var resp response
		if err := json.Unmarshal(data, &resp); err != nil || len(resp.Data) == 0 {
			return refuse(WrongType, "health: %v", err)
		}
		r.Health, err = healthOf(resp.Data)
	case KindAnswer:
		r.Answer, err = operationOf(data)
	case KindBatch:
		r.Baseline = true
	case KindHeart: // it is no report
	}
	return err
}

var verbs = map[string]tunnel.Verb{string(pathInstall): tunnel.InstallModule, string(pathUninstall): tunnel.UninstallModule}

func operationOf(data json.RawMessage) (*tunnel.Answer, error) {
	var op struct {
		Command  string   `json:"command"`
		Name     string   `json:"bizName"`
		Version  string   `json:"bizVersion"`
		Response response `json:"response"`
	}
	if err := json.Unmarshal(data, &op); err != nil {
		return nil, refuse(WrongType, "answer: %v", err)
	}
	verb, ok := verbs[op.Command]
	if !ok || !goodName(op.Name) || !goodName(op.Version) {
		return nil, refuse(BadModule, "answer to %q of %q %q", op.Command, op.Name, op.Version)
	}
	return answerOf(verb, tunnel.ModuleKey{Name: op.Name, Version: op.Version}, op.Response), nil
}

// heartOf reads a heartbeat and trusts nothing in it: the identity must be the topic's,
// an invalid address is left out, texts are cleaned.
func heartOf(b tunnel.BaseID, data json.RawMessage) (*tunnel.Heartbeat, error) {
	var h heart
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, refuse(WrongType, "heartbeat: %v", err)
	}
	if h.Metadata == nil {
		return nil, refuse(WrongType, "heartbeat without baseMetadata")
	}
	if err := sameIdentity(b, h.Metadata.Identity); err != nil {
		return nil, err
	}
	beat := &tunnel.Heartbeat{
		Base: b, Stack: tunnel.StackJava, Name: tunnel.Say(h.Metadata.Name, maxText), Version: tunnel.Say(h.Metadata.Version, maxText),
		Cluster: tunnel.Say(h.Metadata.Cluster, maxText), Hostname: tunnel.Say(h.Hostname, maxText),
	}
	if ip, err := netip.ParseAddr(h.IP); err == nil && ip.Zone() == "" {
		beat.IP = ip.Unmap().String()
	}
	if p := h.Port; p.ok && p.value >= 1 && p.value <= 65535 && p.value == float64(int(p.value)) {
		beat.Port = int(p.value)
	}
	return beat, nil
}

// maxText is the maximum length of a field of a base's description, in bytes.
const maxText = 253

func sameIdentity(b tunnel.BaseID, identity string) error {
	if identity != b.Identity {
		return refuse(IdentityMismatch, "message of %q names %q", b.Identity, identity)
	}
	return nil
}
