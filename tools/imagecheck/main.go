// Command imagecheck checks container images, each an OCI archive: that they are one
// (the same digest), small, of one program that is no root's and of each architecture, and
// that the program runs where there is nothing else. It prints the program's checksum, by
// which images of several tools are compared. Usage: imagecheck [-max MB] [-archs LIST] ARCHIVE...
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

func main() {
	limit := flag.Int64("max", 60, "`megabytes` that an image may have, unpacked")
	archs := flag.String("archs", "amd64,arm64", "architectures that there must be")
	version := flag.String("version", "", "what the program must answer to --version; anything where it is empty")
	flag.Parse()
	if err := check(flag.Args(), strings.Split(*archs, ","), *limit*1e6, *version); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check checks all archives and tells of each image.
func check(archives, archs []string, limit int64, version string) error {
	if len(archives) == 0 {
		return errors.New("name an archive")
	}
	var first []string
	for i, path := range archives {
		a, err := open(path)
		if err != nil {
			return err
		}
		if i == 0 {
			first = a.digests
		} else if !slices.Equal(a.digests, first) {
			return fmt.Errorf("%s has digest %s, but %s has %s: the build cannot be repeated", archives[0], first, path, a.digests)
		}
		if i > 0 {
			continue
		}
		if err := a.check(archs, limit, version); err != nil {
			return fmt.Errorf("check %s: %w", path, err)
		}
	}
	fmt.Printf("%d builds, one digest: %s\n", len(archives), strings.Join(first, " "))
	return nil
}

// check checks the image of each architecture.
func (a *archive) check(archs []string, limit int64, version string) error {
	for _, arch := range archs {
		img, err := a.image(arch)
		if err != nil {
			return err
		}
		files, err := a.files(img)
		if err != nil {
			return err
		}
		if err := errors.Join(img.faults(), oneProgram(files, arch, limit)); err != nil {
			return fmt.Errorf("linux/%s: %w", arch, err)
		}
		said, err := versionOf(arch, files[0], version)
		if err != nil {
			return fmt.Errorf("linux/%s: %w", arch, err)
		}
		fmt.Printf("linux/%s: %.1f MB, sha256:%x, user %s, --version: %s\n",
			arch, float64(len(files[0].content))/1e6, sha256.Sum256(files[0].content), img.Config.User, said)
	}
	return nil
}

// versionOf runs a program that is of this machine's architecture, and gives what it says of
// its version, which is to be the one that is wanted; "" for any.
func versionOf(arch string, program file, want string) (string, error) {
	if arch != runtime.GOARCH {
		return "not run here", nil
	}
	said, err := runAlone(program)
	if err == nil && want != "" && said != want {
		err = fmt.Errorf("--version says %q, want %q", said, want)
	}
	return said, err
}
