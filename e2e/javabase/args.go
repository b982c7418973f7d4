package javabase

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// mqttTunnel is the class of newer runtimes that connects a base to a broker.
const mqttTunnel = "com.alipay.sofa.koupleless.arklet.tunnel.mqtt.MqttTunnel"

// args are the arguments with which java runs a base: little memory, a quick
// start rather than a fast run, and the properties below.
func args(o Options) []string {
	a := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	if o.MetaspaceLimit > 0 {
		a = append(a, "-XX:MaxMetaspaceSize="+strconv.FormatInt(o.MetaspaceLimit, 10))
	}
	props := properties(o)
	for _, k := range slices.Sorted(maps.Keys(props)) {
		a = append(a, "-D"+k+"="+props[k])
	}
	return append(a, "-jar", o.Artifacts.basePath())
}

// properties are the system properties of a base; those of the options win.
func properties(o Options) map[string]string {
	name, version := cmp.Or(o.Name, "base"), cmp.Or(o.Version, "1.0.0")
	p := map[string]string{
		"java.io.tmpdir":                     filepath.Join(o.Dir, "tmp"),
		"user.home":                          o.Dir, // the runtime logs to ~/logs
		"koupleless.arklet.http.port":        strconv.Itoa(o.ArkletPort),
		"koupleless.arklet.metadata.name":    name,
		"koupleless.arklet.metadata.version": version,
		"sofa.ark.telnet.server.enable":      "false", // it would share a fixed port with other bases
		"stock.port":                         strconv.Itoa(o.StockPort),
	}
	if o.HeartbeatEndpoint != "" && o.Artifacts.Runtime.Announces {
		p["koupleless.arklet.http.heartbeat.endpoint"] = o.HeartbeatEndpoint
	} else if o.HeartbeatEndpoint != "" {
		p["base.heartbeat.endpoint"] = o.HeartbeatEndpoint
		p["base.heartbeat.millis"] = strconv.FormatInt(cmp.Or(o.HeartbeatPeriod, 2*time.Second).Milliseconds(), 10)
		p["base.identity"] = o.Identity
		p["base.name"], p["base.version"] = name, version
		p["base.cluster"] = cmp.Or(o.Cluster, "default")
	}
	if m := o.MQTT; m != nil {
		p["koupleless.arklet.custom.tunnel.classname"] = mqttTunnel
		p["koupleless.arklet.mqtt.enable"] = "true"
		p["koupleless.arklet.mqtt.broker"] = m.Host
		p["koupleless.arklet.mqtt.port"] = strconv.Itoa(m.Port)
		p["koupleless.arklet.mqtt.username"] = m.Username
		p["koupleless.arklet.mqtt.password"] = m.Password
		p["koupleless.arklet.mqtt.client.prefix"] = m.ClientPrefix
	}
	maps.Copy(p, o.Properties)
	return p
}
