package basetest

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// speaker is a base that speaks MQTT.
type speaker struct {
	*Base
	group *group

	// Only the goroutine that announces uses what follows.
	began int // the process that sent queryBaseline
	next  time.Time
	last  paho.Token // of the heartbeat before

	held []raw // reports that are held back; Base.mu guards it
}

func (s *speaker) root() string {
	return "koupleless_" + strings.ToLower(s.options.Env) + "/" + s.options.Identity + "/"
}

// execute does a command, retained or not, and answers. It does not answer what it does
// not understand. It ends with the process or with ctx.
func (s *speaker) execute(ctx context.Context, p *process, topic string, payload []byte) {
	joined, done := p.join(ctx)
	defer done()
	c, list, parsed := parsePayload(topic, payload)
	s.receive(topic, c, "")
	if !pause(joined, s.Faults().Slow) || !parsed {
		return
	}
	switch topic {
	case health:
		s.report(ctx, "base/health", object{"code": "SUCCESS", "data": s.healthData(strings.ToUpper)})
	case queryAllBiz:
		s.report(ctx, "base/simpleBiz", s.simpleList())
	case installBiz, uninstallBiz:
		r := p.do(joined, topic, c)
		if r.lost || s.use(func(f *Faults) *int { return &f.LoseAnswers }) {
			return
		}
		s.report(ctx, "base/bizOperation", object{"command": topic, "bizName": c.Name, "bizVersion": c.Version, "response": s.writeMQTT(r)})
	case "base/baseline":
		if r, ok := p.batch(joined, list, s.writeMQTT); ok {
			s.report(ctx, "base/batchInstallBizResponse", object{"command": batchInstallBiz, "response": r})
		}
	}
}

// parsePayload reads a command. Questions may come with nothing at all.
func parsePayload(topic string, payload []byte) (c Command, list []Command, ok bool) {
	payload = bytes.TrimSpace(payload)
	switch {
	case topic == "base/baseline":
		return c, list, json.Unmarshal(payload, &list) == nil
	case len(payload) == 0:
		return c, nil, !changes(topic)
	}
	return c, nil, payload[0] == '{' && json.Unmarshal(payload, &c) == nil
}

// report publishes an answer, unless a fault has it otherwise.
func (s *speaker) report(ctx context.Context, topic string, data any) {
	r := raw{s.root() + topic, s.envelope(data)}
	f := s.Faults()
	if f.Mute || f.away() {
		return
	}
	late := f.Late
	if topic == "base/simpleBiz" {
		late += f.LateLists
	}
	if late > 0 {
		s.group.spawn(func() {
			if pause(ctx, late) {
				s.group.send(r.where, r.body)
			}
		})
		return
	}
	if s.use(func(f *Faults) *int { return &f.Reorder }) {
		s.mu.Lock()
		s.held = append(s.held, r)
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	reports := append([]raw{r}, s.held...)
	s.held = nil
	s.mu.Unlock()
	if s.use(func(f *Faults) *int { return &f.Duplicate }) {
		reports = append(reports, r)
	}
	for _, r := range reports {
		s.group.send(r.where, r.body)
	}
}
