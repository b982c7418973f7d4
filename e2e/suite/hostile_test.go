package suite

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/attacker"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// The addresses of senders that are not the bases they speak for: a Pod that may be a
// base itself, a Pod that may not, and nobody's.
const (
	insiderIP  = "127.66.0.1"
	outsiderIP = "127.66.0.2"
	nobodyIP   = "127.66.0.3"
	// That of a Pod that may be a base, in a network that was denied.
	deniedIP = "127.77.0.1"
)

// siege is a World under attack: a base over HTTP and one over MQTT, each with a pod
// whose environment has a Secret.
type siege struct {
	*world.World
	senders  map[string]*attacker.Sender
	impostor *attacker.Impostor
	broker   *attacker.Publisher

	http, mqtt string // identities of the victims
	before     []corev1.Node
	pods       map[string]string // UIDs by name
}

const password = "s3cr3t-of-a-Secret"

func besiege(t *testing.T) *siege {
	t.Helper()
	w := cluster.New(t).WithBroker().WithHTTP()
	w.CreateBasePods(insiderIP, deniedIP)
	w.CreateStrangerPod(outsiderIP)
	w.WithController("LIST_INTERVAL=1s", "HTTP_TUNNEL_DENIED_CIDRS=127.77.0.0/16")
	s := &siege{World: w, http: "web-0001", mqtt: "queue-0001", senders: map[string]*attacker.Sender{}, pods: map[string]string{}}
	w.WithHTTPFleet(1, "--identity", "web")
	overHTTP := w.Fleet
	w.Cleanup(func() { w.Must(overHTTP.Kill()) })
	w.WithFleet(1, "--identity", "queue")
	w.AwaitNodesReady(2)
	w.WithEnvironmentAccess()
	_, err := cluster.Client.CoreV1().Secrets(w.Env).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"password": password},
	}, metav1.CreateOptions{})
	w.Must(err)
	for name, base := range map[string]string{"web": s.http, "queue": s.mqtt} {
		p := w.CreatePod(name, base, "stock", "1.0.0", world.Jar("stock", "1.0.0"), func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Env = append(c.Env, corev1.EnvVar{Name: "DB_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "password",
			}}})
		})
		s.pods[name] = string(p.UID)
	}
	w.AwaitReady("web")
	w.AwaitReady("queue")
	s.impostor, err = attacker.StartImpostor(insiderIP)
	w.Must(err)
	w.Cleanup(s.impostor.Close)
	for _, ip := range []string{insiderIP, outsiderIP, nobodyIP, deniedIP} {
		s.senders[ip] = attacker.NewSender(ip, w.Endpoint())
		w.Cleanup(s.senders[ip].Close)
	}
	s.broker, err = attacker.Connect(t.Context(), w.BrokerAddress(), "stranger")
	w.Must(err)
	w.Cleanup(s.broker.Close)
	s.before = w.Nodes()
	return s
}

// unharmed checks that nothing was moved, read or deleted.
func (s *siege) unharmed() {
	s.Helper()
	now := s.Nodes()
	if len(now) != len(s.before) {
		s.Errorf("there are %d Nodes, were %d", len(now), len(s.before))
	}
	for i, was := range s.before {
		if i >= len(now) {
			break
		}
		is := now[i]
		switch {
		case is.UID != was.UID:
			s.Errorf("node %s was made anew", was.Name)
		case !slices.Equal(is.Status.Addresses, was.Status.Addresses):
			s.Errorf("node %s is at %v, was at %v", is.Name, is.Status.Addresses, was.Status.Addresses)
		case fmt.Sprint(is.Labels) != fmt.Sprint(was.Labels):
			s.Errorf("node %s has labels %v, had %v", is.Name, is.Labels, was.Labels)
		case !is.Status.Capacity.Memory().Equal(*was.Status.Capacity.Memory()):
			s.Errorf("node %s has %s of memory, had %s", is.Name, is.Status.Capacity.Memory(), was.Status.Capacity.Memory())
		case !world.NodeReady(is):
			s.Errorf("node %s is not ready", is.Name)
		}
	}
	for name, uid := range s.pods {
		p, err := s.GetPod(name)
		s.Must(err)
		if string(p.UID) != uid || p.DeletionTimestamp != nil || !world.PodReady(*p) || p.Status.PodIP == insiderIP {
			s.Errorf("pod %s was harmed: %s %+v", name, p.UID, p.Status)
		}
	}
	for _, heard := range s.impostor.Heard() {
		if strings.Contains(heard, password) || strings.HasPrefix(heard, "/installBiz") || strings.HasPrefix(heard, "/uninstallBiz") {
			s.Errorf("the impostor was sent %s", heard)
		}
	}
}

// dropped gives how many messages were dropped, for a reason or in all for "".
func (s *siege) dropped(reason string) float64 {
	s.Helper()
	label := `reason="`
	if reason != "" {
		label += reason + `"`
	}
	n, err := s.Replicas[0].Metric("module_controller_messages_dropped_total", label)
	s.Must(err)
	return n
}

// counts has something done that is dropped, and checks that it is counted for its reason,
// and that the log tells the reason, with whom it is about. Where no line does, about is
// empty.
func (s *siege) counts(what, reason, about string, do func()) {
	s.Helper()
	before := s.dropped(reason)
	do()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	if err := harness.Until(ctx, func() error {
		switch n := s.dropped(reason) - before; {
		case n != 1:
			return fmt.Errorf("counted %v times as %s", n, reason)
		case about != "" && s.LogLines(0, `"reason":"`+reason+`"`, `":"`+about+`"`) == 0:
			return fmt.Errorf("no line tells %s of %s", reason, about)
		}
		return nil
	}); err != nil {
		s.Errorf("%s: %v", what, err)
	}
}

// Twenty and more forged heartbeats over HTTP: each gets the status that says what is
// wrong with it, is counted and told for what it is, and moves, reads and deletes nothing.
func TestForgedHeartbeats(t *testing.T) {
	t.Parallel()
	s := besiege(t)
	port := s.impostor.Port()
	of := func(identity string, change ...func(*attacker.Heart)) string {
		h := attacker.Heart{Identity: identity, IP: insiderIP, Port: port}
		for _, c := range change {
			c(&h)
		}
		return h.String()
	}
	at := func(ip string) func(*attacker.Heart) { return func(h *attacker.Heart) { h.IP = ip } }
	named := func(name string) func(*attacker.Heart) { return func(h *attacker.Heart) { h.Name = name } }
	in := func(cluster string) func(*attacker.Heart) { return func(h *attacker.Heart) { h.Cluster = cluster } }
	on := func(port int) func(*attacker.Heart) { return func(h *attacker.Heart) { h.Port = port } }
	host := func(name string) func(*attacker.Heart) { return func(h *attacker.Heart) { h.Host = name } }
	victim := s.before[0].Status.Addresses[0].Address
	for _, n := range s.before {
		if s.BaseOf(n.Name) == s.http {
			victim = n.Status.Addresses[0].Address
		}
	}
	// A contender is heard and told of; nothing else comes of it.
	const contender, refused, bad = http.StatusOK, http.StatusForbidden, http.StatusBadRequest
	for name, c := range map[string]struct {
		from, body string
		want       int
		reason     string
		header     []string
	}{
		"a Pod that is no base":                {from: outsiderIP, body: of(s.http, at(outsiderIP)), want: refused, reason: "no_workload"},
		"no Pod":                               {from: nobodyIP, body: of(s.http, at(nobodyIP)), want: refused, reason: "no_workload"},
		"a Pod that is no base, its own":       {from: outsiderIP, body: of("mine", at(outsiderIP)), want: refused, reason: "no_workload"},
		"the victim's address":                 {from: insiderIP, body: of(s.http, at(victim)), want: refused, reason: "sender_mismatch"},
		"the victim's address, from outside":   {from: nobodyIP, body: of(s.http, at(victim)), want: refused, reason: "sender_mismatch"},
		"the victim's identity":                {from: insiderIP, body: of(s.http), want: contender, reason: "contender"},
		"another name":                         {from: insiderIP, body: of(s.http, named("bank")), want: contender, reason: "contender"},
		"another cluster":                      {from: insiderIP, body: of(s.http, in("elsewhere")), want: contender, reason: "contender"},
		"another host name":                    {from: insiderIP, body: of(s.http, host("kubernetes.default.svc")), want: contender, reason: "contender"},
		"the identity of the base over MQTT":   {from: insiderIP, body: of(s.mqtt), want: contender, reason: "contender"},
		"its identity and another name":        {from: insiderIP, body: of(s.mqtt, named("bank")), want: contender, reason: "contender"},
		"its identity and another cluster":     {from: insiderIP, body: of(s.mqtt, in("elsewhere")), want: contender, reason: "contender"},
		"an identity that is another's IP":     {from: insiderIP, body: of(victim), want: refused, reason: "wrong_identity"},
		"metadata of a cloud":                  {from: insiderIP, body: of(s.http, at("169.254.169.254")), want: refused, reason: "sender_mismatch"},
		"metadata of Alibaba Cloud":            {from: insiderIP, body: of(s.http, at("100.100.100.200")), want: refused, reason: "sender_mismatch"},
		"metadata of AWS over IPv6":            {from: insiderIP, body: of(s.http, at("fd00:ec2::254")), want: refused, reason: "sender_mismatch"},
		"metadata through NAT64":               {from: insiderIP, body: of(s.http, at("64:ff9b::a9fe:a9fe")), want: refused, reason: "sender_mismatch"},
		"metadata as IPv4 in IPv6":             {from: insiderIP, body: of(s.http, at("::ffff:169.254.169.254")), want: refused, reason: "sender_mismatch"},
		"metadata through 6to4":                {from: insiderIP, body: of(s.http, at("2002:a9fe:a9fe::1")), want: refused, reason: "sender_mismatch"},
		"this network":                         {from: insiderIP, body: of(s.http, at("0.0.0.1")), want: refused, reason: "sender_mismatch"},
		"reserved":                             {from: insiderIP, body: of(s.http, at("240.0.0.1")), want: refused, reason: "sender_mismatch"},
		"broadcast":                            {from: insiderIP, body: of(s.http, at("255.255.255.255")), want: refused, reason: "sender_mismatch"},
		"a network that was denied":            {from: deniedIP, body: of("denied", at(deniedIP)), want: refused, reason: "address_refused"},
		"no address":                           {from: insiderIP, body: of(s.http, at("")), want: refused, reason: "sender_mismatch"},
		"a name for an address":                {from: insiderIP, body: of(s.http, at("kubernetes.default")), want: refused, reason: "sender_mismatch"},
		"no port":                              {from: insiderIP, body: of(s.http, on(0)), want: bad, reason: "no_port"},
		"no possible port":                     {from: insiderIP, body: of(s.http, on(70_000)), want: bad, reason: "no_port"},
		"an identity with bidi overrides":      {from: insiderIP, body: of("web\u202e-0001"), want: bad, reason: "bad_identity"},
		"an identity with a control character": {from: insiderIP, body: of("web\u009b-0001"), want: bad, reason: "bad_identity"},
		"an identity with no width":            {from: insiderIP, body: of("web\u200b-0001"), want: bad, reason: "bad_identity"},
		"an identity with a slash":             {from: insiderIP, body: of("web/0001"), want: bad, reason: "bad_identity"},
		"an identity of a wildcard":            {from: insiderIP, body: of("+"), want: bad, reason: "bad_identity"},
		"a long identity":                      {from: insiderIP, body: of(strings.Repeat("x", 300)), want: bad, reason: "bad_identity"},
		"nested":                               {from: insiderIP, body: strings.Repeat("[", 10_000), want: bad, reason: "too_deep"},
		"huge":                                 {from: insiderIP, body: strings.Repeat(" ", 1<<20), want: http.StatusRequestEntityTooLarge, reason: "too_large"},
		"a token that is none":                 {from: insiderIP, body: of("mine"), want: http.StatusUnauthorized, reason: "unauthorized", header: []string{"Authorization", "Bearer junk"}},
	} {
		about := c.from
		if c.want == contender { // an Event tells it
			about = ""
		}
		s.counts(name, c.reason, about, func() {
			if status, text, err := s.senders[c.from].Post(t.Context(), "/heartbeat", c.body, c.header...); err != nil || status != c.want {
				t.Errorf("%s: status %d %q, %v; want %d", name, status, text, err, c.want)
			}
		})
	}
	for n := range 300 { // liars in number hide nothing
		_, _, err := s.senders[insiderIP].Post(t.Context(), "/heartbeat", of(s.http, host(fmt.Sprintf("host-%d", n))))
		s.Must(err)
	}
	s.AwaitNodeEvent(s.http, "BaseContested")
	s.AwaitNodeEvent(s.mqtt, "BaseContested")
	s.AwaitListed()
	s.unharmed()
}

// What a stranger publishes at a broker that lets him: what is of another tunnel's base,
// too large, retained or of no base changes nothing, and is counted and told for what it is.
func TestForgedMessages(t *testing.T) {
	t.Parallel()
	s := besiege(t)
	root := func(identity string) string { return "koupleless_" + s.Env + "/" + identity + "/base/" }
	heart := func(identity string, h attacker.Heart) string {
		h.Identity, h.IP = identity, insiderIP
		return h.Published(time.Now())
	}
	wrapped := func(data string) string {
		return fmt.Sprintf(`{"publishTimestamp":%d,"data":%s}`, time.Now().UnixMilli(), data)
	}
	publish := func(topic, body string, retained bool) func() {
		return func() { s.Must(s.broker.Publish(t.Context(), topic, []byte(body), retained)) }
	}
	before, counted := s.dropped(""), 0.0
	for what, m := range map[string]struct{ topic, body, reason string }{
		"the base over HTTP":        {root(s.http) + "heart", heart(s.http, attacker.Heart{}), "contender"},
		"it by another name":        {root(s.http) + "heart", heart(s.http, attacker.Heart{Name: "bank"}), "contender"},
		"it in another cluster":     {root(s.http) + "heart", heart(s.http, attacker.Heart{Cluster: "elsewhere"}), "contender"},
		"the base by another name":  {root(s.mqtt) + "heart", heart(s.mqtt, attacker.Heart{Name: "bank"}), "contender"},
		"another's identity":        {root(s.mqtt) + "heart", heart(s.http, attacker.Heart{}), "identity_mismatch"},
		"an identity of a wildcard": {root(s.mqtt) + "heart", heart("a+b", attacker.Heart{}), "identity_mismatch"},
		"no JSON":                   {root(s.mqtt) + "heart", "}{", "not_json"},
		"a list that is too long":   {root(s.mqtt) + "simpleBiz", wrapped("[" + strings.Repeat("1,", 200_000) + "1]"), "too_large"},
		"a heartbeat of 8 MiB":      {root("noise") + "heart", strings.Repeat("x", 8<<20), "too_large"},
	} {
		counted++
		about := m.topic
		if m.reason == "contender" { // an Event tells it
			about = ""
		}
		s.counts(what, m.reason, about, publish(m.topic, m.body, false))
	}
	// Nobody listens to these, or they answer nothing that was asked: they are not counted.
	for topic, body := range map[string]string{
		root(s.http) + "queryBaseline": wrapped(`{"identity":"` + s.http + `","name":"x","version":"1","clusterName":"c"}`),
		root(s.http) + "simpleBiz":     wrapped("[]"),
		root(s.http) + "health":        wrapped(`{"code":"SUCCESS","data":{"healthData":{"jvm":{"java max metaspace":1125899906842624}}}}`),
		root(s.mqtt) + "bizOperation": wrapped(`{"command":"installBiz","bizName":"x","bizVersion":"1","response":{"code":"FAILED","data":{"code":"FAILED","message":"` +
			strings.Repeat(`Caused by: x\n`, 15_000) + `"}}}`),
		"koupleless_elsewhere/" + s.mqtt + "/base/heart": heart(s.mqtt, attacker.Heart{}),
	} {
		publish(topic, body, false)()
	}
	if err := attacker.PublishAnywhere(t.Context(), s.BrokerAddress(), "stranger-2", root("a+b")+"heart", []byte(heart("a+b", attacker.Heart{}))); err == nil {
		t.Error("the broker took a message on a topic with a wildcard")
	}
	s.AwaitNodeEvent(s.http, "BaseContested")
	s.AwaitListed()
	s.unharmed()
	if n := s.dropped("") - before; n != counted {
		t.Errorf("%v messages were counted, want %v", n, counted)
	}

	// Who subscribes later gets what was retained, marked as that: it may be years old.
	s.Stop(0)
	publish(root(s.mqtt)+"heart", heart(s.mqtt, attacker.Heart{}), true)()
	publish(root(s.mqtt)+"simpleBiz", wrapped("[]"), true)()
	s.Must(s.Replicas[0].Start(t.Context()))
	for _, kind := range []string{"heart", "simpleBiz"} {
		s.Eventually(world.Timeout, func() error {
			if s.LogLines(0, `"reason":"retained"`, `":"`+root(s.mqtt)+kind+`"`) == 0 {
				return fmt.Errorf("no line tells of the %s that was retained", kind)
			}
			return nil
		})
	}
	if n := s.dropped("retained"); n < 2 { // each comes with each subscription that it matches
		t.Errorf("%v retained messages were counted, want both", n)
	}
	s.AwaitListed()
	s.unharmed()
}
