package tunneltest

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
	// FailWith makes its main throw an IllegalStateException of that message.
	FailWith string `json:"failWith"`
	// Port is a fixed port that it opens; a second module with it cannot start.
	Port int `json:"port"`
	// Plain is a module without Spring.
	Plain bool `json:"plain"`
	// Missing: there is no such file.
	Missing bool `json:"missing"`
	// Metaspace that it uses, in bytes. Default 1 MiB.
	Metaspace int64 `json:"metaspace"`
	// Start is how long it starts; 0 takes the base's.
	Start time.Duration `json:"start"`
}

// Jars are the jars that bases find at URLs. One that was not added is what its
// file's name says, name-version-ark-biz.jar; other files are missing.
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

func (j *Jars) find(url string) Jar {
	j.mu.Lock()
	jar, ok := j.byURL[url]
	j.mu.Unlock()
	if ok {
		return jar
	}
	name, ok := strings.CutSuffix(path.Base(url), "-ark-biz.jar")
	at := strings.LastIndexByte(name, '-')
	if !ok || at < 1 {
		return Jar{URL: url, Missing: true}
	}
	return Jar{URL: url, Name: name[:at], Version: name[at+1:]}
}
