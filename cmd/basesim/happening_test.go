package main

import (
	"net/http"
	"testing"
	"time"
)

// Modules whose jars listen answer at their base's address, until they are not well.
func TestModulesAnswerRequests(t *testing.T) {
	s := start(t, "--broker", "127.0.0.1:0", "--bases", "2", "--network", "127.78.0.0/16")
	s.post("/jars", `{"url":"file:///orders-1.0.0-ark-biz.jar","name":"orders","version":"1.0.0","port":18080,"listens":true}`)
	s.post("/bases/*/install", orders)
	defer s.post("/bases/*/stop", "")
	status := func(address string) int {
		resp, err := http.Get("http://" + address + ":18080/health")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	s.post("/bases/base-0002/unhealthy?module=orders", "")
	if well, ill := status("127.78.0.1"), status("127.78.0.2"); well != http.StatusOK || ill != http.StatusInternalServerError {
		t.Errorf("base-0001 answers %d, base-0002 %d", well, ill)
	}
	s.post("/bases/*/resume", "")
	if again := status("127.78.0.2"); again != http.StatusOK {
		t.Errorf("base-0002 answers %d after it was resumed", again)
	}
	if n := s.base("base-0002").Requests["orders:1.0.0"]; n != 2 {
		t.Errorf("counted %d requests", n)
	}
}

// Bases refuse to let modules go, and modules never end their start, until they may.
func TestBasesGetStuck(t *testing.T) {
	s := start(t, "--broker", "127.0.0.1:0", "--bases", "1")
	is := func(after, want string) {
		t.Helper()
		got := ""
		for _, m := range s.base("base-0001").Modules {
			got += m.Name + " " + m.State
		}
		if got != want {
			t.Errorf("after %s: modules %q, want %q", after, got, want)
		}
	}
	do := func(happening string) {
		t.Helper()
		if code := s.post("/bases/base-0001/"+happening, orders); code != http.StatusOK {
			t.Fatalf("%s: status %d", happening, code)
		}
	}
	do("install")
	for _, fault := range []string{"fail-uninstalls?n=all", "keep-uninstalled?n=all"} {
		do(fault)
		do("uninstall")
		is(fault, "orders activated")
		do("resume")
	}
	do("uninstall")
	is("resume", "")
	do("hang-starts")
	installed := make(chan int)
	go func() { installed <- s.post("/bases/base-0001/install", orders) }()
	for len(s.base("base-0001").Modules) == 0 {
		<-time.After(10 * time.Millisecond)
	}
	is("hang-starts", "orders resolved")
	do("end-starts")
	<-installed
	is("end-starts", "orders activated")
	do("uninstall")
	do("slow-downloads?d=30ms")
	do("late-lists?d=1ms")
	began := time.Now()
	if do("install"); time.Since(began) < 30*time.Millisecond {
		t.Error("a slow download was quick")
	}
	do("slow-switches?d=30ms")
	do("slow-uninstalls?d=30ms")
	for _, slow := range []string{"switch", "uninstall"} {
		began = time.Now()
		if do(slow); time.Since(began) < 30*time.Millisecond {
			t.Errorf("a slow %s was quick", slow)
		}
	}
}
