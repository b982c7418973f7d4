package basetest

import (
	"maps"
	"slices"
	"strings"
)

// runtime is what differs between versions of the Java runtime.
type runtime struct {
	upper     bool // HTTP writes states in upper case
	records   bool // state records are filled in
	identity  bool // HTTP answers carry baseIdentity
	batch     bool // batchInstallBiz exists over HTTP
	strategy  bool // installStrategy is known
	metaspace bool // health reports the metaspace
	// plain is what an uninstall of a module without Spring throws, although the
	// module is gone; empty for nothing.
	plain string
}

var runtimes = map[string]runtime{
	"1.2.2":  {upper: true, plain: `Cannot invoke "org.springframework.context.support.AbstractApplicationContext.isActive()" because "applicationContext" is null`},
	"2.1.6":  {strategy: true, metaspace: true, plain: `Cannot invoke "com.alipay.sofa.koupleless.common.model.ApplicationContextHolder.close()" because "this.applicationContext" is null`},
	"2.1.11": {records: true, identity: true, batch: true, strategy: true, metaspace: true},
}

// Runtimes are the versions of the runtime that can be played.
func Runtimes() []string { return slices.Sorted(maps.Keys(runtimes)) }

// spell writes a state as HTTP has it.
func (f runtime) spell(state string) string {
	if f.upper {
		return strings.ToUpper(state)
	}
	return state
}
