package basetest

import (
	"fmt"
	"strings"
)

// exception is a Java exception.
type exception struct {
	class, message string
	cause          *exception
}

const (
	arklet            = "com.alipay.sofa.koupleless.arklet.core."
	arkletRuntime     = arklet + "common.exception.ArkletRuntimeException"
	commandValidation = arklet + "common.exception.CommandValidationException"
	bizRuntime        = "com.alipay.sofa.koupleless.common.exception.BizRuntimeException"
	invocationTarget  = "java.lang.reflect.InvocationTargetException"
)

// String writes it as its toString does.
func (e *exception) String() string {
	if e.message == "" {
		return e.class
	}
	return e.class + ": " + e.message
}

// wrap puts an exception around another, with the other's text as its message.
func wrap(class string, cause *exception) *exception {
	return &exception{class: class, message: cause.String(), cause: cause}
}

// invalid is what a command with a missing field throws.
func invalid(message string) *exception {
	return &exception{class: commandValidation, message: message}
}

// parse makes exceptions of lines, the outermost first. A line that names no class
// is an IllegalStateException's message.
func parse(text string) *exception {
	var first, last *exception
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		e := &exception{class: "java.lang.IllegalStateException", message: line}
		if class, message, _ := strings.Cut(line, ": "); strings.Contains(class, ".") && !strings.Contains(class, " ") {
			e.class, e.message = class, message
		}
		if first == nil {
			first = e
		} else {
			last.cause = e
		}
		last = e
	}
	return first
}

// frames are the lines of a stack trace.
var frames = []struct {
	class, method, file string
	line                int
}{
	{arklet + "command.builtin.handler.InstallBizHandler", "handle", "InstallBizHandler.java", 77},
	{arklet + "command.builtin.handler.InstallBizHandler", "handle", "InstallBizHandler.java", 56},
	{arklet + "command.CommandServiceImpl", "process", "CommandServiceImpl.java", 180},
	{"com.alipay.sofa.ark.bootstrap.MainMethodRunner", "run", "MainMethodRunner.java", 55},
	{"com.alipay.sofa.ark.container.model.BizModel", "doStart", "BizModel.java", 353},
	{"com.alipay.sofa.ark.container.model.BizModel", "start", "BizModel.java", 323},
	{"com.alipay.sofa.ark.api.ArkClient", "doInstallBiz", "ArkClient.java", 195},
	{"com.alipay.sofa.ark.api.ArkClient", "installOperation", "ArkClient.java", 370},
	{"java.base/java.util.concurrent.FutureTask", "run", "FutureTask.java", 264},
	{"java.base/java.util.concurrent.ThreadPoolExecutor$Worker", "run", "ThreadPoolExecutor.java", 635},
	{"java.base/java.lang.Thread", "run", "Thread.java", 840},
}

// trace writes it as printStackTrace does.
func (e *exception) trace() string {
	var b strings.Builder
	for depth := 0; e != nil; e, depth = e.cause, depth+1 {
		if depth > 0 {
			b.WriteString("Caused by: ")
		}
		b.WriteString(e.String() + "\n")
		for _, f := range frames {
			fmt.Fprintf(&b, "\tat %s.%s(%s:%d)\n", f.class, f.method, f.file, f.line)
		}
		if depth > 0 {
			fmt.Fprintf(&b, "\t... %d more\n", 10+14*(depth-1))
		}
	}
	return b.String()
}

// object writes it as the record of an asynchronous command has it; path is where in
// the answer it stands.
func (e *exception) object(path string) object {
	var stack []any
	for _, f := range frames {
		stack = append(stack, object{"className": f.class, "methodName": f.method, "fileName": f.file, "lineNumber": f.line, "nativeMethod": false})
	}
	o := object{"@type": e.class, "stackTrace": stack}
	if e.message != "" {
		o["message"], o["localizedMessage"] = e.message, e.message
	}
	if e.cause != nil {
		o["cause"] = e.cause.object(path + ".cause")
		if e.class == invocationTarget {
			o["targetException"] = object{"$ref": path + ".cause"}
		}
	}
	return o
}
