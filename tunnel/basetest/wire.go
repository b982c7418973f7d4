package basetest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// object is a JSON object.
type object = map[string]any

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a fake base's own message: %v", err)) // it is made of maps, lists and texts
	}
	return body
}

// metadata is how a base describes itself. The caller holds mu.
func (b *Base) metadata() object {
	return object{"identity": b.options.Identity, "name": b.name, "version": b.version, "clusterName": b.cluster}
}

// heartbeat is how a base announces itself. It never says goodbye: its state is
// always activated.
func (b *Base) heartbeat(port int) object {
	b.mu.Lock()
	defer b.mu.Unlock()
	return object{"baseMetadata": b.metadata(), "localIP": b.options.IP, "localHostName": b.options.Hostname, "port": port, "state": activated}
}

// envelope is around everything that is published over MQTT.
func (b *Base) envelope(data any) []byte {
	b.mu.Lock()
	at := b.now().UnixMilli()
	b.mu.Unlock()
	return encode(object{"publishTimestamp": at, "data": data})
}

// answer is the whole of an HTTP answer, with the base's identity where the runtime
// reports it.
func (b *Base) answer(o object) object {
	if b.runtime.identity {
		o["baseIdentity"] = b.options.Identity
	}
	return o
}

// write makes a result what HTTP carries: an exception is the whole answer.
func (b *Base) write(r result) object {
	if r.thrown != nil {
		return object{"code": "CMD_PROCESS_INTERNAL_ERROR", "message": "Internal Error: " + r.message, "errorStackTrace": r.thrown.trace()}
	}
	return b.answer(r.object(b.runtime.bizInfo))
}

// writeMQTT makes a result what MQTT carries: an exception is data.
func (b *Base) writeMQTT(r result) object {
	if r.thrown != nil {
		return object{"code": "FAILED", "message": r.message, "data": object{"code": "FAILED", "message": r.thrown.trace()}}
	}
	return r.object(bizInfoMQTT)
}

func (r result) object(info func(Module) object) object {
	o := object{"code": "FAILED"}
	if r.ok {
		o["code"] = "SUCCESS"
	}
	if r.message != "" {
		o["message"] = r.message
	}
	if r.op != nil {
		o["data"] = r.op.object(info)
	}
	return o
}

func (op *operation) object(info func(Module) object) object {
	o := object{"code": op.code, "message": op.text}
	if op.space {
		o["elapsedSpace"] = 31016
	}
	if op.modules != nil {
		infos := []any{}
		for _, m := range op.modules {
			infos = append(infos, info(m))
		}
		o["bizInfos"] = infos
	}
	return o
}

// bizInfo is a module in an answer to an install over HTTP, and bizInfoMQTT over
// MQTT, which writes all words of states in upper case.
func (r runtime) bizInfo(m Module) object {
	return m.info(r.spell(m.State), r.changes(m))
}

func bizInfoMQTT(m Module) object {
	records := []any{}
	for _, r := range m.records {
		records = append(records, r.upper())
	}
	return m.info(strings.ToUpper(m.State), records)
}

func (m Module) info(state string, records []any) object {
	return object{
		"attributes": object{}, "bizName": m.Name, "bizVersion": m.Version, "bizState": state, "bizStateRecords": records,
		"bizTempWorkDir": m.dir, "bizUrl": "file:" + m.dir + "/", "classPath": []any{"file:" + m.dir + "/", "file:" + m.dir + "/lib"},
		"declaredMode": true, "denyImportClasses": []any{}, "denyImportPackageNodes": []any{}, "denyImportPackageStems": []any{},
		"denyImportPackages": []any{}, "denyImportResources": []any{}, "denyPrefixImportResourceStems": []any{},
		"denySuffixImportResourceStems": []any{}, "identity": m.key(), "injectExportPackages": []any{}, "injectPluginDependencies": []any{},
		"mainClass": m.jar.MainClass, "priority": 100, "webContextPath": m.Name,
	}
}

// changes are a module's changes as HTTP has them: empty objects in old runtimes.
func (r runtime) changes(m Module) []any {
	list := []any{}
	for _, c := range m.records {
		if r.records {
			list = append(list, object{"changeTime": c.at.UnixMilli(), "state": c.state, "reason": c.reason, "message": c.message})
		} else {
			list = append(list, object{})
		}
	}
	return list
}

func (c change) upper() object {
	return object{"changeTime": c.at.UnixMilli(), "state": strings.ToUpper(c.state), "reason": strings.ToUpper(c.reason), "message": c.message}
}

// list is the module list as HTTP has it, without the base's own.
func (b *Base) list() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []any{}
	for _, m := range inOrder(b.process.modules.list) {
		list = append(list, object{
			"bizName": m.Name, "bizVersion": m.Version, "bizState": b.runtime.spell(m.State), "mainClass": m.jar.MainClass,
			"webContextPath": m.Name, "bizStateRecords": b.runtime.changes(*m),
		})
	}
	return list
}

// simpleList is the module list as MQTT has it.
func (b *Base) simpleList() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []any{}
	for _, m := range inOrder(b.process.modules.list) {
		var latest any // null in old runtimes
		if b.runtime.records {
			latest = m.records[len(m.records)-1].upper()
		}
		list = append(list, object{"name": m.Name, "version": m.Version, "state": m.State, "latestStateRecord": latest})
	}
	return list
}
