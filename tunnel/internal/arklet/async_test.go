package arklet

import (
	"testing"

	"module-controller/tunnel"
)

// A real 2.1.6 said this of an asynchronous install whose main threw; the stack
// traces were taken out.
const failedOps = `{"code":"SUCCESS","data":{"elapsedTime":85,"endTimestamp":1795466633665,"message":"java.lang.reflect.InvocationTargetException",
"requestId":"r1","startTimestamp":1795466633580,"status":"FAILED","throwable":{"@type":"com.alipay.sofa.koupleless.arklet.core.common.exception.ArkletRuntimeException",
"cause":{"@type":"java.lang.reflect.InvocationTargetException","cause":{"@type":"java.lang.IllegalStateException","localizedMessage":"no stock today",
"message":"no stock today","stackTrace":[]},"stackTrace":[]},"message":"java.lang.reflect.InvocationTargetException"}}}`

func TestAsynchronousFailureNamesItsRootCause(t *testing.T) {
	c := tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "3.0.0"}, RequestID: "r1"}
	progress, a, err := DecodeAsync(tunnel.BaseID{Env: "e", Identity: "b"}, c, []byte(failedOps))
	if err != nil || progress != Refused || a.Outcome != tunnel.Failed || a.Message != "IllegalStateException: no stock today" {
		t.Errorf("%s, %+v, %v", progress, a, err)
	}
}

// Real ones, 1.2.2 and 2.1.6, said these: the first for ever of an install that met
// another one, the second of an install whose module was there.
const (
	metOps    = `{"code":"SUCCESS","data":{"elapsedTime":1,"endTime":1795466686057,"endTimestamp":1795466686057,"message":"command conflict, exist unfinished command for this biz","requestId":"r1","startTimestamp":1795466686056,"status":"INITIALIZED","threadName":"ARKLET-ark-biz-ops-0-T3"}}`
	repeatOps = `{"code":"SUCCESS","data":{"elapsedTime":6,"endTimestamp":1795466691092,"message":"install biz not success!","requestId":"r1","startTimestamp":1795466691086,"status":"FAILED","threadName":"ARKLET-ark-biz-ops-0-T4"}}`
	newOps    = `{"code":"SUCCESS","data":{"elapsedTime":0,"endTimestamp":0,"requestId":"r1","startTimestamp":1795466686053,"status":"INITIALIZED"}}`
)

func TestAsynchronousCommandEnds(t *testing.T) {
	c := tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "1.0.0"}, RequestID: "r1"}
	for said, want := range map[string]tunnel.Outcome{metOps: tunnel.Busy, repeatOps: tunnel.Repeated} {
		progress, a, err := DecodeAsync(tunnel.BaseID{Env: "e", Identity: "b"}, c, []byte(said))
		if err != nil || progress != Refused || a.Outcome != want || a.Message == "" || a.RequestID != "r1" {
			t.Errorf("%s: %s, %+v, %v, want %s", said, progress, a, err, want)
		}
	}
	if progress, a, err := DecodeAsync(tunnel.BaseID{Env: "e", Identity: "b"}, c, []byte(newOps)); err != nil || progress != Accepted || a != nil {
		t.Errorf("%s: %s, %+v, %v, want it accepted", newOps, progress, a, err)
	}
}
