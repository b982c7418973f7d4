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
