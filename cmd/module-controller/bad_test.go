package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
)

// head is what a file begins with: two lines.
const head = "apiVersion: " + apiVersion + "\nkind: " + fileKind + "\n"

// bad is a configuration that is refused: file, after its head, environment and flags, and
// all faults.
type bad struct {
	name, file string
	env        map[string]string
	args, want []string
}

var badFiles = []bad{
	{name: "a field that is misspelled", file: "mqtt:\n  brokr: b\n", want: []string{"c.yaml:4: mqtt.brokr is no field: did you mean mqtt.broker?"}},
	{name: "a group that is misspelled", file: "mqqt:\n  broker: b\n", want: []string{"c.yaml:3: mqqt is no field: did you mean mqtt?"}},
	{name: "letters that are swapped", file: "logging: {levle: debug}\n", want: []string{"c.yaml:3: logging.levle is no field: did you mean logging.level?"}},
	{name: "another case", file: "http: {allowedCidrs: []}\n", want: []string{"c.yaml:3: http.allowedCidrs is no field: did you mean http.allowedCIDRs?"}},
	{name: "a field outside of its group", file: "broker: b\n", want: []string{"c.yaml:3: broker is no field: did you mean mqtt.broker?"}},
	{name: "a field one group too high", file: "mqtt:\n  caPath: /x\nhttp:\n  certPath: /y\n", want: []string{
		"c.yaml:4: mqtt.caPath is no field: did you mean mqtt.tls.caPath?", "c.yaml:6: http.certPath is no field: did you mean http.tls.certPath?"}},
	{name: "a variable as field", file: "MQTT_BROKER: b\nhttp: {HTTP_TUNNEL_LISTEN_PORT: 1}\n", want: []string{
		"c.yaml:3: MQTT_BROKER is no field: did you mean mqtt.broker?", "c.yaml:4: http.HTTP_TUNNEL_LISTEN_PORT is no field: did you mean http.listenPort?"}},
	{name: "a flag as field", file: "mqtt-tls: true\n", want: []string{"c.yaml:3: mqtt-tls is no field: did you mean mqtt.tls.enabled?"}},
	{name: "a field of nothing", file: "metadata:\n  name: x\nmqtt:\n  qos: 2\n", want: []string{
		"c.yaml:3: metadata is no field; module-controller config print shows all fields", "c.yaml:6: mqtt.qos is no field; module-controller config print shows all fields"}},
	{name: "a field that several groups have", file: "enabled: true\n", want: []string{"c.yaml:3: enabled is no field; module-controller config print shows all fields"}},
	{name: "a field twice", file: "mqtt:\n  broker: a\n  port: 1\n  broker: b\n", want: []string{"c.yaml:6: mqtt.broker is set twice, on line 4 too"}},
	{name: "a group twice", file: "mqtt: {port: 1}\nmqtt: {port: 2}\n", want: []string{"c.yaml:4: mqtt is set twice, on line 3 too"}},
	{name: "quotes around a truth", file: "mqtt: {tls: {enabled: \"true\"}}\n", want: []string{"c.yaml:3: mqtt.tls.enabled=true: must be true or false without quotes"}},
	{name: "a truth of YAML 1.1", file: "mqtt: {wildcards: yes}\n", want: []string{"c.yaml:3: mqtt.wildcards=yes: must be true or false"}},
	{name: "quotes around a number", file: "mqtt: {port: \"1883\"}\nclientConnection: {qps: \"5\"}\n", want: []string{
		"c.yaml:3: mqtt.port=1883: must be a number without quotes", "c.yaml:4: clientConnection.qps=5: must be a number without quotes"}},
	{name: "a number as password", file: "mqtt: {username: u, password: 1234}\n", want: []string{"c.yaml:3: mqtt.password=(hidden): must be a string: write it in quotes"}},
	{name: "a port that there is not", file: "mqtt: {port: 99999}\nhttp: {listenPort: 0}\n", want: []string{
		"c.yaml:3: mqtt.port=99999: must be a port, from 1 to 65535", "c.yaml:4: http.listenPort=0: must be a port, from 1 to 65535"}},
	{name: "durations", file: "bases:\n  staleAfter: 40\n  goneAfter: -3s\n  listInterval: soon\n", want: []string{
		"c.yaml:4: bases.staleAfter=40: must be a duration above 0, such as 40s or 5m", "c.yaml:5: bases.goneAfter=-3s: must be a duration above 0, such as 40s or 5m",
		"c.yaml:6: bases.listInterval=soon: must be a duration above 0, such as 40s or 5m"}},
	{name: "counts", file: "probes: {workers: 0, perBase: 1.5}\nnodes: {pods: many}\n", want: []string{
		"c.yaml:3: probes.workers=0: must be a whole number above 0", "c.yaml:3: probes.perBase=1.5: must be a whole number above 0", "c.yaml:4: nodes.pods=many: must be a whole number above 0"}},
	{name: "sizes", file: "nodes:\n  defaultMetaspace: much\n  maxMemory: -1\n", want: []string{
		"c.yaml:4: nodes.defaultMetaspace=much: must be a size, such as 512Mi", "c.yaml:5: nodes.maxMemory=-1: must be a size, such as 512Mi"}},
	{name: "words", file: "logging: {level: loud, format: xml}\nmodules: {unmanaged: burn}\n", want: []string{
		"c.yaml:3: logging.level=loud: must be debug, info, warn or error", "c.yaml:3: logging.format=xml: must be one of [json console]", "c.yaml:4: modules.unmanaged=burn: must be one of [report uninstall]"}},
	{name: "words that are misspelled", file: "logging: {level: WARN, format: jsno}\n", env: map[string]string{"UNMANAGED_MODULES": "reports"}, want: []string{
		"c.yaml:3: logging.level=WARN: must be debug, info, warn or error: did you mean warn?", "c.yaml:3: logging.format=jsno: must be one of [json console]: did you mean json?",
		"UNMANAGED_MODULES=reports: must be one of [report uninstall]: did you mean report?"}},
	{name: "addresses", file: "metrics: {bindAddress: nonsense}\npod: {ip: here}\n", want: []string{
		"c.yaml:3: metrics.bindAddress=nonsense: must be host:port with an IP address or no host, such as :8080 or 127.0.0.1:8080; 0 disables it", "c.yaml:4: pod.ip=here: must be an IP address"}},
	{name: "networks", file: "http:\n  allowedCIDRs: [10.0.0.0/8, 10.1.1.1]\n", want: []string{
		`c.yaml:4: http.allowedCIDRs=10.0.0.0/8,10.1.1.1: must be networks such as 10.0.0.0/8, separated by commas: netip.ParsePrefix("10.1.1.1"): no '/'`}},
	{name: "a list that is none", file: "environments: prod\n", want: []string{"c.yaml:3: environments: must be a list, such as [a, b]"}},
	{name: "a list of what is twice", file: "environments: [a, A]\n", want: []string{"c.yaml:3: environments=a,A: must be distinct names separated by commas"}},
	{name: "a list in a string", file: "environments: [\"a,b\"]\n", want: []string{"c.yaml:3: environments: must have strings without commas: write numbers in quotes, and each item for itself"}},
	{name: "a list of numbers", file: "environments: [1]\n", want: []string{"c.yaml:3: environments: must have strings without commas: write numbers in quotes, and each item for itself"}},
	{name: "a map that is none", file: "nodes: {labels: [a=b]}\n", want: []string{"c.yaml:3: nodes.labels: must be a map, such as {key: value}"}},
	{name: "a value that is none", file: "mqtt: {broker: [a], port: {a: b}}\n", want: []string{
		"c.yaml:3: mqtt.broker: must be one value, neither a list nor a map", "c.yaml:3: mqtt.port: must be one value, neither a list nor a map"}},
	{name: "a group that is none", file: "mqtt: broker\nhttp: [a]\n", want: []string{
		"c.yaml:3: mqtt must have fields, each on a line of its own", "c.yaml:4: http must have fields, each on a line of its own"}},
	{name: "a second document", file: "mqtt: {port: 1}\n---\nmqtt: {port: 2}\n", want: []string{"c.yaml:4: a second document begins: a file has one configuration"}},
	{name: "no YAML", file: "mqtt:\n  broker: b\n\tport: 1\n", want: []string{"c.yaml:4: this is no YAML: found a tab character that violates indentation"}},
	{name: "a value that a flag hides", file: "mqtt: {port: x}\n", args: []string{"--mqtt-port=1"}, want: []string{"c.yaml:3: mqtt.port=x: must be a port, from 1 to 65535"}},
}

var badHeads = []bad{
	{name: "no head", file: "mqtt: {port: 1}\n", want: []string{
		"c.yaml:1: apiVersion is missing: write apiVersion: " + apiVersion, "c.yaml:1: kind is missing: write kind: " + fileKind}},
	{name: "nothing", want: []string{
		"c.yaml:1: apiVersion is missing: write apiVersion: " + apiVersion, "c.yaml:1: kind is missing: write kind: " + fileKind}},
	{name: "of another kind", file: "apiVersion: v1\nkind: ConfigMap\ndata: {}\n", want: []string{
		"c.yaml:1: apiVersion=v1: must be " + apiVersion, "c.yaml:2: kind=ConfigMap: must be " + fileKind, "c.yaml:3: data is no field; module-controller config print shows all fields"}},
	{name: "a head that is misspelled", file: "apiversion: " + apiVersion + "\nkind: " + fileKind + "\n", want: []string{
		"c.yaml:1: apiversion is no field: did you mean apiVersion?", "c.yaml:1: apiVersion is missing: write apiVersion: " + apiVersion}},
	{name: "a list", file: "- a\n", want: []string{"c.yaml:1: the file must have fields, each on a line of its own",
		"c.yaml:1: apiVersion is missing: write apiVersion: " + apiVersion, "c.yaml:1: kind is missing: write kind: " + fileKind}},
}

var badNames = []bad{
	{name: "variables that are misspelled", env: map[string]string{"MQTT_BROKR": "b", "MQTT_PASWORD": "secret", "LOG_LEVLE": "debug"}, want: []string{
		"LOG_LEVLE is no setting: did you mean LOG_LEVEL?", "MQTT_BROKR is no setting: did you mean MQTT_BROKER?", "MQTT_PASWORD is no setting: did you mean MQTT_PASSWORD?"}},
	{name: "variables that begin like ours", env: map[string]string{"HTTP_TUNNEL_SECRET": "secret", "MODULE_CONTROLLER_FILE": "c", "MODULE_CONTROLLER_CONFG": "c"}, want: []string{
		"HTTP_TUNNEL_SECRET is no setting, but begins like one: remove it; --help lists the settings", "MODULE_CONTROLLER_CONFG is no setting: did you mean MODULE_CONTROLLER_CONFIG?",
		"MODULE_CONTROLLER_FILE is no setting, but begins like one: remove it; --help lists the settings"}},
	{name: "flags", args: []string{"--bad=1", "--mqtt-brokr", "b", "--mqtt_port", "1", "--mqtt.tls=true", "--confg", "x", "stray", "-", "--", "--stale-after"}, want: []string{
		"--bad is no flag; --help lists the flags", "--mqtt-brokr is no flag: did you mean --mqtt-broker?", "--mqtt_port is no flag: did you mean --mqtt-port?",
		"--mqtt.tls is no flag: did you mean --mqtt-tls?", "--confg is no flag: did you mean --config?", "- is no flag; --help lists the flags", "-- is no flag; --help lists the flags",
		"--stale-after needs a value", `unexpected argument "stray": neither a command nor a flag; --help lists both`}},
	{name: "a file that is missing", args: []string{"--config", "no.yaml"}, want: []string{"--config no.yaml is of no use: open no.yaml: no such file or directory"}},
	{name: "a file that is a folder", env: map[string]string{"MODULE_CONTROLLER_CONFIG": "."}, want: []string{"MODULE_CONTROLLER_CONFIG . is of no use: read .: is a directory"}},
	{name: "old names beside new ones", file: "ownership: {renewDeadline: 3s}\n", env: map[string]string{"ACT_WINDOW": "3s"}, want: []string{
		"ACT_WINDOW and ownership.renewDeadline are both set: ACT_WINDOW is the deprecated name of RENEW_DEADLINE, remove it"}},
	{name: "all at once", file: "mqtt:\n  brokr: b\n  port: x\nownership:\n  leaseRenewInterval: 39s\nbases:\n  staleAfter: 3s\n",
		env: map[string]string{"LOG_LEVLE": "x", "MAX_BASES": "-1"}, args: []string{"--health-intervall=5s", "--backoff-max=1s"}, want: []string{
			"--health-intervall is no flag: did you mean --health-interval?", "c.yaml:4: mqtt.brokr is no field: did you mean mqtt.broker?", "c.yaml:5: mqtt.port=x: must be a port, from 1 to 65535",
			"LOG_LEVLE is no setting: did you mean LOG_LEVEL?", "MAX_BASES=-1: must be a whole number above 0",
			"c.yaml:7: nodes would turn NotReady in a failover: ownership.leaseRenewInterval (39s) + a second more than MEMBER_LEASE_DURATION (11s) + claiming 500 bases (BASES_PER_REPLICA) + 5s is 10s more than NODE_MONITOR_GRACE (50s); an interval of 29s fits",
			"--backoff-max (1s) must be no shorter than BACKOFF_BASE (10s)",
			"c.yaml:9: bases.staleAfter (3s) must be longer than LIST_INTERVAL (8s): a silent base is polled before it is stale"}},
}

var badWholes = []bad{
	{name: "an interval beyond the cluster's grace", file: "ownership:\n  leaseRenewInterval: 35s\n  nodeMonitorGrace: 40s\n", want: []string{
		"c.yaml:4,5: nodes would turn NotReady in a failover: ownership.leaseRenewInterval (35s) + a second more than MEMBER_LEASE_DURATION (11s) + claiming 500 bases (BASES_PER_REPLICA) + 5s is 16s more than ownership.nodeMonitorGrace (40s); an interval of 19s fits"}},
	{name: "more bases than a failover can carry", file: "ownership: {basesPerReplica: 4000}\n", env: map[string]string{"NODE_MONITOR_GRACE": "40s"}, want: []string{
		"c.yaml:3: nodes would turn NotReady in a failover: LEASE_RENEW_INTERVAL (2s) + a second more than MEMBER_LEASE_DURATION (11s) + claiming 4000 bases (ownership.basesPerReplica) + 5s is 18s more than NODE_MONITOR_GRACE (40s); no interval of 2s or more fits: expect fewer bases, or shorten MEMBER_LEASE_DURATION"}},
	{name: "Leases that end before they are renewed", file: "ownership:\n  leaseRenewInterval: 20s\n  leaseDuration: 20s\n", want: []string{
		"c.yaml:4,5: ownership.leaseRenewInterval (20s) must be shorter than ownership.leaseDuration (20s)"}},
	{name: "a member that acts after it was expired", file: "ownership: {renewDeadline: 12s}\n", want: []string{
		"c.yaml:3: the failure timeout (11s), a second more than MEMBER_LEASE_DURATION, must be longer than ownership.renewDeadline (12s) and a fiftieth of it, by which clocks may differ"}},
	{name: "a rate that renewals exceed", file: "clientConnection: {qps: 10}\n", want: []string{
		"c.yaml:3: clientConnection.qps (10) is too low: renewing the Leases of 500 bases (BASES_PER_REPLICA) each 29s (LEASE_RENEW_INTERVAL) takes 17.2 requests a second"}},
	{name: "bases that go before they are stale", file: "bases:\n  goneAfter: 30s\n", env: map[string]string{"STALE_AFTER": "35s"}, want: []string{
		"c.yaml:4: bases.goneAfter (30s) must be longer than STALE_AFTER (35s): a Node turns NotReady before it is deleted"}},
	{name: "peer Deployments that follow each flap", file: "peerDeployments: {scaleDownAfter: 100ms}\n", want: []string{
		"c.yaml:3: peerDeployments.scaleDownAfter must be 1s or more, is 100ms"}},
	{name: "webhooks in clear, and without a secret", file: "webhooks:\n  urls: [\"http://hooks.example.com/geheim\"]\n", want: []string{
		"c.yaml:4: webhooks.urls: URL 1 must begin with https://, or set REPORT_HOOKS_ALLOW_HTTP=true: whoever is in between can read what is sent",
		"c.yaml:4: webhooks.urls needs REPORT_HOOKS_SECRET_FILE: a file with a secret that signs what is sent"}},
	{name: "quiet bases that are asked more often", file: "bases: {quietListInterval: 5s}\n", want: []string{"c.yaml:3: bases.quietListInterval (5s) must be no shorter than LIST_INTERVAL (8s)"}},
	{name: "two listeners at a port", file: "metrics: {bindAddress: \":8081\"}\n", want: []string{
		"c.yaml:3: metrics.bindAddress (:8081) and HEALTH_PROBE_BIND_ADDRESS (:8081) have the same port: change one"}},
	{name: "networks that are allowed in vain", file: "http:\n  enabled: true\n  allowedCIDRs: [10.1.0.0/16, 192.0.2.0/24]\n  deniedCIDRs: [10.0.0.0/8]\n", want: []string{
		"c.yaml:5,6: 10.1.0.0/16 of http.allowedCIDRs is in 10.0.0.0/8 of http.deniedCIDRs, which goes before it: no base can be there"}},
	{name: "addresses as a proof, from anywhere", file: "http: {enabled: true, auth: address}\n", want: []string{
		"c.yaml:3: http.auth=address needs HTTP_TUNNEL_ALLOWED_CIDRS: the networks that bases are in"}},
	{name: "certificates as a proof, without an authority", file: "http: {enabled: true, auth: certificate}\n", want: []string{
		"c.yaml:3: http.auth=certificate needs HTTP_TUNNEL_CERT_PATH, HTTP_TUNNEL_KEY_PATH and HTTP_TUNNEL_CLIENT_CA_PATH"}},
	{name: "half a certificate", file: "mqtt: {tls: {enabled: true, clientCertPath: x}}\nmetrics: {keyPath: y}\n", want: []string{
		"c.yaml:4: METRICS_CERT_PATH and metrics.keyPath need each other: set both or none",
		"c.yaml:3: mqtt.tls.clientCertPath and MQTT_CLIENT_KEY_PATH need each other: set both or none", "c.yaml:3: mqtt.tls.clientCertPath: read MQTT client certificate: open x: no such file or directory"}},
	{name: "two passwords", file: "mqtt:\n  passwordFile: c.yaml\n", env: map[string]string{"MQTT_PASSWORD": "geheim", "MQTT_USERNAME": "u"}, want: []string{
		"c.yaml:4: set MQTT_PASSWORD or mqtt.passwordFile, not both"}},
	{name: "a password of nobody", file: "mqtt: {password: geheim}\n", want: []string{"an MQTT password needs MQTT_USERNAME"}},
	{name: "a broker with a scheme", file: "mqtt: {broker: \"tcp://b\"}\n", env: map[string]string{"MQTT_BROKER": ""}, want: []string{
		`c.yaml:3: mqtt.broker "tcp://b" must be a host, without scheme, path or user`}},
	{name: "no broker", env: map[string]string{"MQTT_BROKER": ""}, want: []string{"the MQTT broker is not named: set MQTT_BROKER"}},
	{name: "no tunnel", file: "mqtt: {broker: b}\n", env: map[string]string{"ENABLE_MQTT_TUNNEL": "false"}, want: []string{
		"no tunnel is enabled: set ENABLE_MQTT_TUNNEL or ENABLE_HTTP_TUNNEL to true"}},
	{name: "a default beyond its bound", file: "nodes: {cpus: 300}\n", want: []string{"c.yaml:3: nodes.cpus must be at most NODE_MAX_CPUS (256), is 300"}},
	{name: "a back-off that ends before it begins", file: "modules: {backoffBase: 10m}\n", want: []string{"c.yaml:3: BACKOFF_MAX (5m0s) must be no shorter than modules.backoffBase (10m0s)"}},
	{name: "names that no API server takes", file: "pod: {name: Mc_0, namespace: a.b}\nenvironments: [a.b]\n", env: map[string]string{"POD_NAME": ""}, want: []string{
		`c.yaml:3: pod.name "Mc_0" is no Pod's name: ` + strings.Join(validation.IsDNS1123Subdomain("Mc_0"), "; "), `c.yaml:3: pod.namespace "a.b" is no namespace: must not contain dots`,
		`c.yaml:4: environments: environment "a.b" is not usable in a Node's name: must not contain dots`}},
	{name: "a kubeconfig that is missing", file: "clientConnection: {kubeconfig: no}\n", want: []string{"c.yaml:3: clientConnection.kubeconfig no is of no use: stat no: no such file or directory"}},
}

// Each bad configuration is refused, with all faults in order and nothing else.
func TestBadConfigurations(t *testing.T) {
	for i := range badFiles {
		badFiles[i].file = head + badFiles[i].file
	}
	for _, table := range [][]bad{badNames, badWholes} {
		for i := range table {
			if table[i].file != "" {
				table[i].file = head + table[i].file
			}
		}
	}
	for i := range badHeads {
		badHeads[i].args = []string{"--config", "c.yaml"}
	}
	all := slices.Concat(badFiles, badHeads, badNames, badWholes)
	if len(all) < 40 {
		t.Errorf("%d configurations", len(all))
	}
	t.Chdir(t.TempDir())
	for _, c := range all {
		env := needed()
		if c.file != "" {
			env["MODULE_CONTROLLER_CONFIG"] = "c.yaml"
		}
		if err := os.WriteFile("c.yaml", []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		maps.Copy(env, c.env)
		if diff := cmp.Diff(c.want, faults(t, env, c.args...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
