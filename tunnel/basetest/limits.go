package basetest

import (
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Limits are what a broker allows one client to subscribe; zero is no limit.
type Limits struct {
	Filters   int // in all; further ones are refused
	AtOnce    int // in one SUBSCRIBE; further ones are refused
	MostAsked int // in one SUBSCRIBE; one with more ends the connection
}

// Limit has the broker refuse what is beyond limits.
func (b *Broker) Limit(l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits = l
}

// noFilter is refused by the broker: '#' may only stand at the end.
const noFilter = "#/refused"

// OnSubscribe has the filters refused that are beyond the limits.
func (h *hook) OnSubscribe(c *mochi.Client, pk packets.Packet) packets.Packet {
	h.broker.mu.Lock()
	limits := h.broker.limits
	h.broker.mu.Unlock()
	if limits.MostAsked > 0 && len(pk.Filters) > limits.MostAsked {
		c.Stop(packets.ErrQuotaExceeded)
	}
	has := c.State.Subscriptions.Len()
	for n := range pk.Filters {
		switch {
		case limits.AtOnce > 0 && n >= limits.AtOnce, limits.Filters > 0 && has >= limits.Filters:
			pk.Filters[n].Filter = noFilter
		default:
			has++
		}
	}
	return pk
}
