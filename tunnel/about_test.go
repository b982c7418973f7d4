package tunnel

import (
	"reflect"
	"slices"
	"testing"
)

// What a heartbeat says is a part of About or Endpoint, or says nothing that others
// must compare: a new field has to choose.
func TestEveryFieldOfAHeartbeatHasAPlace(t *testing.T) {
	var h Heartbeat
	fields := reflect.ValueOf(&h).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(fields.Type().Field(i).Name)
		case reflect.Int:
			f.SetInt(1)
		default: // what is neither is in neither part
		}
	}
	neither := []string{"Base", "Tunnel", "Stack", "Sender", "Restarted", "Received", "Stamp"}
	about, endpoint := reflect.ValueOf(h.About()), reflect.ValueOf(h.Endpoint())
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		var got []reflect.Value
		for _, part := range []reflect.Value{about, endpoint} {
			if f := part.FieldByName(name); f.IsValid() {
				got = append(got, f)
			}
		}
		if len(got) == 0 && !slices.Contains(neither, name) {
			t.Errorf("%s stands in neither About nor Endpoint", name)
		}
		for _, f := range got {
			if !f.Equal(fields.Field(i)) {
				t.Errorf("%s is given as %v, want %v", name, f, fields.Field(i))
			}
		}
	}
}

func TestWithAboutKeepsHowTheBaseIsReached(t *testing.T) {
	old := Heartbeat{Tunnel: "t", Name: "shop", IP: "10.0.0.1", Port: 1238, Restarted: true}
	got := old.WithAbout(About{Name: "till", Version: "2", Cluster: "east", IP: "10.0.0.2", Hostname: "h"})
	want := Heartbeat{Tunnel: "t", Name: "till", Version: "2", Cluster: "east", IP: "10.0.0.2", Hostname: "h", Port: 1238, Restarted: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		at       Endpoint
		text     string
		dialable bool
	}{
		{Endpoint{"10.0.0.1", 1238}, "10.0.0.1:1238", true},
		{Endpoint{"fd00::1", 1238}, "[fd00::1]:1238", true},
		{Endpoint{"10.0.0.1", 0}, "10.0.0.1:0", false},
		{Endpoint{"", 1238}, ":1238", false},
	} {
		if c.at.String() != c.text || c.at.Dialable() != c.dialable {
			t.Errorf("%+v: %s, dialable %t", c.at, c.at, c.at.Dialable())
		}
	}
}
