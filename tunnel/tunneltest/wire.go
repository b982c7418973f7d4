package tunneltest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

// metadata is how a base describes itself.
func (b *Base) metadata() object {
	return object{"identity": b.Identity, "name": b.Name, "version": b.Version, "clusterName": b.Cluster}
}

func (b *Base) heartbeat(port int) object {
	b.mu.Lock()
	defer b.mu.Unlock()
	return object{"baseMetadata": b.metadata(), "localIP": b.IP, "localHostName": b.IP, "port": port, "state": activated}
}

// health is the answer to health; over HTTP the whole body.
func (b *Base) health() object {
	b.mu.Lock()
	defer b.mu.Unlock()
	used := int64(54 << 20)
	list := []any{b.master()}
	for _, m := range b.modules {
		used += max(m.jar.Metaspace, 1<<20)
		list = append(list, object{"bizName": m.Name, "bizState": b.spell(m.State), "bizVersion": m.Version, "webContextPath": m.Name})
	}
	jvm := object{"java version": "17.0.15", "run time(s)": time.Since(b.begun).Seconds() + 1, "max heap memory(M)": 512.0}
	if !strings.HasPrefix(b.Runtime, "1.") {
		jvm["java max metaspace"], jvm["java used metaspace"], jvm["java committed metaspace"] = b.MaxMetaspace, used, used+1<<19
	}
	return object{"code": "SUCCESS", "data": object{"healthData": object{
		"jvm": jvm, "cpu": object{"count": 2, "type": "simulated", "free (%)": 98.2},
		"masterBizInfo": b.master(), "bizListInfo": list, "pluginListInfo": []any{},
	}}}
}

func (b *Base) master() object {
	return object{"bizName": "base", "bizState": b.spell(activated), "bizVersion": "1.0.0", "webContextPath": "/"}
}

// simpleList is the module list as MQTT has it.
func (b *Base) simpleList() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []any{}
	for _, m := range b.modules {
		list = append(list, object{"name": m.Name, "version": m.Version, "state": m.State, "latestStateRecord": m.records[len(m.records)-1].write(strings.ToUpper)})
	}
	return list
}

func (c change) write(spell func(string) string) object {
	return object{"changeTime": c.at.UnixMilli(), "state": spell(c.state), "reason": c.reason, "message": c.message}
}

// records are a module's as HTTP has them: empty objects before 2.1.8.
func (b *Base) records(m *Module, spell func(string) string) []any {
	list := []any{}
	for _, r := range m.records {
		if b.old() {
			list = append(list, object{})
		} else {
			list = append(list, r.write(spell))
		}
	}
	return list
}

// list is the module list as HTTP has it, without the base's own.
func (b *Base) list() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []any{}
	for _, m := range b.modules {
		list = append(list, object{"bizName": m.Name, "bizVersion": m.Version, "bizState": b.spell(m.State), "mainClass": "t.mod.Orders",
			"webContextPath": m.Name, "bizStateRecords": b.records(m, b.spell)})
	}
	return list
}

// write makes a result what a tunnel carries: over MQTT a thrown error is data, over
// HTTP it is the whole answer.
func (r result) write(b *Base, spell func(string) string, mqtt bool) object {
	if r.trace != "" && mqtt {
		return object{"code": "FAILED", "message": "install biz not success!", "data": object{"code": "FAILED", "message": r.trace}}
	}
	if r.trace != "" {
		return object{"code": "CMD_PROCESS_INTERNAL_ERROR", "message": r.message, "errorStackTrace": r.trace}
	}
	o := object{"code": r.code}
	if r.message != "" {
		o["message"] = r.message
	}
	if !r.has {
		return o
	}
	data := object{"code": r.opCode, "message": r.opText}
	if r.space {
		data["elapsedSpace"] = 1080
	}
	if r.modules != nil {
		infos := []any{}
		b.mu.Lock()
		for _, m := range r.modules {
			infos = append(infos, object{"bizName": m.Name, "bizVersion": m.Version, "bizState": spell(m.State), "identity": m.Name + ":" + m.Version,
				"attributes": object{}, "mainClass": "t.mod.Orders", "priority": 100, "webContextPath": m.Name, "bizStateRecords": b.records(m, spell)})
		}
		b.mu.Unlock()
		data["bizInfos"] = infos
	}
	o["data"] = data
	return o
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a fake base's own message: %v", err))
	}
	return raw
}
