package basetest

import "time"

// healthData is the data of an answer to health; spell writes states as the tunnel does.
func (b *Base) healthData(spell func(string) string) object {
	b.mu.Lock()
	defer b.mu.Unlock()
	master := object{"bizName": masterName, "bizState": spell(activated), "bizVersion": "1.0.0", "webContextPath": "/"}
	own := &Module{Name: masterName, Version: "1.0.0", State: activated}
	all := []any{}
	for _, m := range inOrder(append([]*Module{own}, b.process.modules.list...)) {
		if m == own {
			all = append(all, master)
			continue
		}
		all = append(all, object{"bizName": m.Name, "bizState": spell(m.State), "bizVersion": m.Version, "webContextPath": m.Name})
	}
	return object{"healthData": object{
		"jvm": b.jvm(), "masterBizInfo": master, "bizListInfo": all,
		"cpu": object{
			"count": 2, "type": "simulated", "total used (%)": 92160.0, "user used (%)": 0.705, "system used (%)": 0.326, "free (%)": 98.199,
		},
		"pluginListInfo": []any{object{
			"artifactId": "koupleless-base-plugin", "groupId": "com.alipay.sofa.koupleless",
			"pluginActivator": "com.alipay.sofa.koupleless.plugin.ServerlessRuntimeActivator", "pluginName": "koupleless-base-plugin",
			"pluginUrl":     "file:/opt/base/base-1.0.0.jar!/BOOT-INF/lib/koupleless-base-plugin-" + b.options.Runtime + ".jar!/",
			"pluginVersion": b.options.Runtime,
		}},
	}}
}

// jvm is what a base reports of its JVM. The caller holds mu.
func (b *Base) jvm() object {
	const uptimeAtStart = 3.5 // s: the JVM runs before it speaks
	jvm := object{
		"java version": "17.0.15", "java home": "/usr/lib/jvm/java-17", "run time(s)": time.Since(b.process.begun).Seconds() + uptimeAtStart,
		"max heap memory(M)": 512.0, "init heap memory(M)": 378.0, "used heap memory(M)": 112.04, "committed heap memory(M)": 223.0,
		"max non heap memory(M)": 704.0, "init non heap memory(M)": 7.3125, "used non heap memory(M)": 69.25,
		"committed non heap memory(M)": 72.4375, "max memory(M)": 512.0, "total memory(M)": 223.0, "free memory(M)": 110.36,
		"loaded class count": 11398, "unload class count": 2, "total class count": 11400,
	}
	if b.runtime.metaspace {
		used := b.process.modules.metaspace()
		jvm["java max metaspace"], jvm["java used metaspace"], jvm["java committed metaspace"] = b.options.MaxMetaspace, used, used+1<<19
	}
	return jvm
}
