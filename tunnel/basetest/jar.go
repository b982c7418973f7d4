package basetest

import (
	"path"
	"strings"
	"sync"
	"time"
)

// Jar is a module's jar: it, not the command, decides name and version.
type Jar struct {
	URL     string `json:"url"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// MainClass is what the list calls its main class.
	MainClass string `json:"mainClass"`
	// FailWith makes its main throw: an IllegalStateException of that message, or the
	// exceptions that its lines name, the outermost first.
	FailWith string `json:"failWith"`
	// Port is a fixed port that it opens; a second module with it cannot start.
	Port int `json:"port"`
	// Listens has it truly open Port, at the base's address, from the end of its start
	// until it is uninstalled: HTTP requests are answered 200 with its name:version, and
	// 500 at paths that end with /health while it is one of Faults.Unhealthy. Bases need
	// addresses of their own for it.
	Listens bool `json:"listens"`
	// Shared says that Port is the base's own web server's, which modules share. A path
	// that begins with a module's name is that module's, and only what is activated
	// answers.
	Shared bool `json:"shared"`
	// Plain is a module without Spring.
	Plain bool `json:"plain"`
	// Missing: there is no such file.
	Missing bool `json:"missing"`
	// Metaspace that it uses, in bytes. Default 1 MiB.
	Metaspace int64 `json:"metaspace"`
	// Start is how long it starts, in nanoseconds as JSON; 0 takes the base's.
	Start time.Duration `json:"start"`
	// Download is how long it takes to fetch, in nanoseconds as JSON. Nothing is listed
	// meanwhile, and other commands for the module meet a conflict.
	Download time.Duration `json:"download"`
	// Hangs says that its main never returns: the module is starting until
	// Base.EndStarts or the end of the process.
	Hangs bool `json:"hangs"`
}

// Jars are the jars that bases find at URLs. One that was not added is what its
// file's name says, name-version-ark-biz.jar; other files are missing. The zero
// value is ready, and all methods may be called from any goroutine.
type Jars struct {
	mu sync.Mutex
	// mu guards what follows
	byURL map[string]Jar
}

// Add makes a jar be found at its URL.
func (j *Jars) Add(jar Jar) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.byURL == nil {
		j.byURL = map[string]Jar{}
	}
	j.byURL[jar.URL] = jar
}

// open gives the jar at a URL, or what a base throws that cannot read it.
func (j *Jars) open(url string) (Jar, *exception) {
	jar := j.find(url)
	switch {
	case !strings.Contains(url, ":"):
		return jar, &exception{class: "java.net.MalformedURLException", message: "no protocol: " + url}
	case jar.Missing && strings.HasPrefix(url, "file:"):
		file := strings.TrimPrefix(strings.TrimPrefix(url, "file:"), "//")
		return jar, &exception{class: "java.io.FileNotFoundException", message: file + " (No such file or directory)"}
	case jar.Missing:
		return jar, &exception{class: "java.io.FileNotFoundException", message: url}
	}
	return jar, nil
}

func (j *Jars) find(url string) Jar {
	j.mu.Lock()
	jar, ok := j.byURL[url]
	j.mu.Unlock()
	if !ok {
		jar = guess(url)
	}
	if jar.MainClass == "" {
		jar.MainClass = jar.Name + ".Main"
	}
	if jar.Metaspace == 0 {
		jar.Metaspace = 1 << 20
	}
	return jar
}

// guess reads name and version off a file's name.
func guess(url string) Jar {
	name, ok := strings.CutSuffix(path.Base(url), "-ark-biz.jar")
	at := strings.LastIndexByte(name, '-')
	if !ok || at < 1 || at == len(name)-1 {
		return Jar{URL: url, Missing: true}
	}
	return Jar{URL: url, Name: name[:at], Version: name[at+1:]}
}
