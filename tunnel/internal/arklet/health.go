package arklet

import (
	"cmp"
	"encoding/json"
	"time"

	"module-controller/tunnel"
)

type healthData struct {
	Data struct {
		JVM struct {
			Max    number `json:"java max metaspace"`
			Used   number `json:"java used metaspace"`
			Uptime number `json:"run time(s)"`
		} `json:"jvm"`
		CPU struct {
			Count  number `json:"count"`
			User   number `json:"user used (%)"`
			System number `json:"system used (%)"`
		} `json:"cpu"`
	} `json:"healthData"`
}

// defaultCluster is what a runtime calls its cluster that is told none.
const defaultCluster = "default"

// DecodeMaster reads from an answer to health which application the base is, and completes by
// it what is not known of the base. An answer that names another base is refused.
func DecodeMaster(body []byte, h *tunnel.Heartbeat) error {
	resp, err := responseOf(h.Base, body, maxOther)
	if err != nil {
		return err
	}
	if resp.Code != codeSuccess {
		return refuse(WrongType, "health: %s %s", resp.Code, resp.Message)
	}
	var data struct {
		Data struct {
			Master struct {
				Name    string `json:"bizName"`
				Version string `json:"bizVersion"`
			} `json:"masterBizInfo"`
		} `json:"healthData"`
	}
	if err := json.Unmarshal(resp.Data, &data); err != nil {
		return refuse(WrongType, "health: %v", err)
	}
	master := data.Data.Master
	h.Name = cmp.Or(h.Name, tunnel.Say(master.Name, maxText))
	h.Version = cmp.Or(h.Version, tunnel.Say(master.Version, maxText))
	h.Cluster = cmp.Or(h.Cluster, defaultCluster)
	return nil
}

// healthOf reads the data of an answer to health. Runtime 1.2.2 does not report its
// metaspace.
func healthOf(raw json.RawMessage) (*tunnel.Health, error) {
	var h healthData
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, refuse(WrongType, "health: %v", err)
	}
	const mostSeconds, mostCPUs = 1e9, 1 << 16
	health := &tunnel.Health{MaxMemory: h.Data.JVM.Max.bytes(), UsedMemory: h.Data.JVM.Used.bytes()}
	if up := h.Data.JVM.Uptime; up.ok && up.value > 0 && up.value < mostSeconds {
		health.Uptime = time.Duration(up.value * float64(time.Second))
	}
	if n := h.Data.CPU.Count; n.ok && n.value >= 1 && n.value < mostCPUs {
		health.CPUs = int(n.value)
		health.CPUsInUse = n.value * (h.Data.CPU.User.share() + h.Data.CPU.System.share())
	}
	return health, nil
}
