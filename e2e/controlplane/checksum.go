package controlplane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
)

// A checksum is a SHA-256 or a SHA-512.
type checksum struct{ sum []byte }

// findChecksum reads the checksum of a file: the text is nothing else, or has lines of
// a checksum and a file's name.
func findChecksum(text, file string) (checksum, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		named := len(fields) == 2 && strings.TrimPrefix(fields[1], "*") == file
		if !named && (len(fields) != 1 || strings.TrimSpace(text) != fields[0]) {
			continue
		}
		sum, err := hex.DecodeString(fields[0])
		if err != nil || len(sum) != sha256.Size && len(sum) != sha512.Size {
			break
		}
		return checksum{sum}, nil
	}
	return checksum{}, fmt.Errorf("it has no checksum of %s", file)
}

func (c checksum) hash() hash.Hash {
	if len(c.sum) == sha512.Size {
		return sha512.New()
	}
	return sha256.New()
}

// check compares it with what was read.
func (c checksum) check(read hash.Hash) error {
	if got := read.Sum(nil); !bytes.Equal(got, c.sum) {
		return fmt.Errorf("its checksum is %x, and %x is published", got, c.sum)
	}
	return nil
}

// unpack takes one program out of an archive.
func unpack(archive, member, to string) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("unpack %s: it has no %s", archive, member)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", archive, err)
		}
		if header.Name == member && header.Typeflag == tar.TypeReg {
			return write(to, files, header.Size)
		}
	}
}

// write makes a program of so many bytes.
func write(to string, from io.Reader, size int64) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.CopyN(out, from, size)
	return errors.Join(err, out.Close())
}
