//go:build mutant

package mqtttunnel

import (
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"module-controller/tunnel"
)

// mutant names the guard that is taken out of this build: never-retained or
// own-reconnect. It is set with
// -ldflags '-X module-controller/tunnel/mqtt.mutant=NAME'.
var mutant string

var retain = mutant == "never-retained"

// mutate leaves the reconnect to the library, which says again what was not
// acknowledged.
func (s *session) mutate(o *paho.ClientOptions) {
	if mutant != "own-reconnect" {
		return
	}
	s.Tunnel.cfg.ProbeEvery = time.Hour // the library notices by its own pings
	link := func(up bool) { s.sink.Link(tunnel.Link{Tunnel: Name, Up: up, Since: time.Now()}) }
	o.SetAutoReconnect(true).SetCleanSession(false).SetResumeSubs(true).
		SetKeepAlive(2 * time.Second).SetPingTimeout(time.Second).SetMaxReconnectInterval(time.Second).
		SetConnectionLostHandler(func(paho.Client, error) { link(false) }).
		SetOnConnectHandler(func(paho.Client) { link(true) })
}
