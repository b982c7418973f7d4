package javabase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// Runtime is a version of the runtime and what it can do.
type Runtime struct {
	// Koupleless is the version of koupleless-base-starter.
	Koupleless string
	// SpringBoot is the version of Spring Boot that it runs on.
	SpringBoot string
	// Announces says that the runtime posts its heartbeat itself (2.1.8 and
	// newer), so that the base's application need not.
	Announces bool
	// MQTT adds the runtime's MQTT tunnel to the base.
	//
	// NB: no runtime that has it was on the registry when this was written, so
	// this and [MQTT] follow the runtime's published source and were never run.
	MQTT bool
}

// The runtimes that are tested. Both need JDK 17; neither announces itself.
var (
	Boot3 = Runtime{Koupleless: "2.1.6", SpringBoot: "3.2.12"}
	Boot2 = Runtime{Koupleless: "1.2.2", SpringBoot: "2.7.18"}
)

// String names the runtime, for logs and directories.
func (r Runtime) String() string {
	s := "koupleless-" + r.Koupleless + "-boot-" + r.SpringBoot
	if r.MQTT {
		s += "-mqtt"
	}
	return s
}

// mavenArgs are the arguments that choose this runtime.
func (r Runtime) mavenArgs() []string {
	args := []string{"-Dkoupleless.version=" + r.Koupleless, "-Dspring-boot.version=" + r.SpringBoot}
	if r.MQTT {
		args = append(args, "-Pmqtt")
	}
	return args
}

// minJava is the oldest JDK for which the sources compile.
const minJava = 17

var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// Available tells why bases cannot be built and run here: no Java, one too old,
// no compiler, no Maven. It names all that is missing, and gives nil if nothing is.
func Available(ctx context.Context) error {
	var errs []error
	if _, err := exec.LookPath("mvn"); err != nil {
		errs = append(errs, fmt.Errorf("find maven: %w", err))
	}
	if _, err := exec.LookPath(javaTool("javac")); err != nil {
		errs = append(errs, fmt.Errorf("find the java compiler: %w", err))
	}
	out, err := exec.CommandContext(ctx, javaTool("java"), "-version").CombinedOutput()
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("run java: %w", err))...)
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return errors.Join(append(errs, fmt.Errorf("read the version of java from %.80q", out))...)
	}
	if v, err := strconv.Atoi(string(m[1])); err != nil || v < minJava {
		errs = append(errs, fmt.Errorf("use java %s: %d is the oldest that works", m[1], minJava))
	}
	return errors.Join(errs...)
}

// javaTool finds a tool of the JDK where Maven finds it: in JAVA_HOME, else in PATH.
func javaTool(name string) string {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", name)
	}
	return name
}
