package diagnose

import (
	"strings"

	"module-controller/provider/plan"
)

// Why an install fails, or takes long, by what the pod shows of it.

func otherName(b bound) *found {
	message, does := b.waitsFor(plan.ReasonVersionMismatch)
	if !does || !mentions(message, plan.EnvName+" to ") {
		return nil
	}
	return b.shows("the jar is another module than the pod asks for", "set "+plan.EnvName+" (and "+plan.EnvVersion+") as the message says, or correct the image", plan.ReasonVersionMismatch)
}

func otherVersion(b bound) *found {
	return b.shows("the jar is of another version than the pod asks for", "set "+plan.EnvVersion+" as the message says, or correct the image", plan.ReasonVersionMismatch)
}

// failed gives the message of a container whose install failed, and the image of it.
func (b bound) failed() (message, image string, does bool) {
	name, w := waits(b.pod, plan.ReasonInstallFailed, plan.ReasonInstallBackOff, plan.ReasonInstalling)
	if w == nil || w.Reason == plan.ReasonInstalling && !strings.HasPrefix(w.Message, "installing again after: ") {
		return "", "", false
	}
	for _, c := range b.pod.Spec.Containers {
		if c.Name == name {
			image = c.Image
		}
	}
	return w.Message, image, true
}

// failedBy makes a finding of a failed install whose message has one of words.
func (b bound) failedBy(cause, remedy string, words ...string) *found {
	message, _, does := b.failed()
	if !does || !mentions(message, words...) {
		return nil
	}
	return &found{cause: cause + ": " + message, remedy: remedy, evidence: b.says()}
}

// jarMissing takes it from a failure that names the jar's own path: a module may miss files
// of its own.
func jarMissing(b bound) *found {
	message, image, does := b.failed()
	if !does || !mentions(message, "FileNotFoundException", "NoSuchFileException", "No such file") || !mentions(message, pathOf(image)) {
		return nil
	}
	return &found{
		cause:    "the jar is missing: the base finds nothing at " + pathOf(image) + ": " + message,
		remedy:   "publish the jar there, or correct the image; a changed image is tried at once. file:// is a path on the base's machine",
		evidence: b.says(),
	}
}

// pathOf is the path of a jar's URL, which a base's message names.
func pathOf(image string) string {
	_, rest, _ := strings.Cut(image, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[i:]
	}
	path, _, _ := strings.Cut(rest, "?")
	return path
}

// hostOf is the host of a jar's URL; empty for a file.
func hostOf(image string) string {
	_, rest, _ := strings.Cut(image, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}

func jarUnreachable(b bound) *found {
	message, image, does := b.failed()
	at := host(hostOf(image))
	if !does || at == "" || !mentions(message, "UnknownHostException", "ConnectException", "SocketTimeoutException", "HTTP response code", "SSLHandshake") || !mentions(message, at) {
		return nil
	}
	return &found{cause: "the base does not get the jar from " + at + ": " + message, remedy: "see whether the base reaches that host, and whether it needs credentials in the URL", evidence: b.says()}
}

func metaspaceFull(b bound) *found {
	return b.failedBy("the metaspace of the base is full", "start the base with a larger -XX:MaxMetaspaceSize, restart it if modules came and went often, or take modules off it; give modules resources.requests.memory",
		"OutOfMemoryError: Metaspace", "Metaspace", "Compressed class space")
}

func portTaken(b bound) *found {
	return b.failedBy("the module opens a port that is taken on the base", "let the module use the base's web server, give it a port of its own, or, where the version before has it, set the annotation "+plan.AnnotationReplace+"="+plan.ReplaceAtOnce,
		"already in use", "BindException", "PortInUseException")
}

func mainThrows(b bound) *found {
	return b.failedBy("the module does not start", "fix the module: the message begins with the root cause. A changed image is tried at once, the same one after the back-off", "")
}

func hangs(b bound) *found {
	return b.shows("the module's main never returns", "look where main blocks (jstack of the base); only a restart of the base ends it", plan.ReasonHung)
}

func slow(b bound) *found {
	message, does := b.waitsFor(plan.ReasonInstalling)
	if !does || !strings.HasPrefix(message, "installing ") {
		return nil
	}
	return &found{
		cause:    "the install takes long: " + message + ". The base fetches the jar, or the module's main does not return",
		remedy:   "see the base's log; after five minutes of a start the pod shows " + plan.ReasonHung + ", after 30 minutes of an install it has failed",
		evidence: b.says(),
	}
}

func deactivated(b bound) *found {
	return b.shows("the module is installed and does not serve", "wait: it is activated within seconds; if it stays, restart the base or delete the pod. Another hand may have deactivated it", plan.ReasonDeactivated)
}
