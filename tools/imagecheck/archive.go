package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// An archive is an OCI image layout: blobs by their digests, and an index.
// https://github.com/opencontainers/image-spec
type archive struct {
	entries map[string][]byte // by path
	// digests are those of the indexes and manifests that the layout names, sorted: one of
	// podman and buildah, one for each architecture of docker. They are never none.
	digests []string
}

// descriptor names a blob.
type descriptor struct {
	Digest   string   `json:"digest"`
	Platform platform `json:"platform"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// manifest is an index, which lists manifests, or the manifest of an image.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
}

// image is the configuration of an image, with its manifest.
type image struct {
	platform

	Config struct {
		User       string            `json:"User"`
		Entrypoint []string          `json:"Entrypoint"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
	layers []descriptor
}

// file is a regular file of an image.
type file struct {
	name    string
	mode    os.FileMode
	content []byte
}

// maxBlob is how large a blob may be, in bytes.
const maxBlob = 512 << 20

// open reads an archive.
func open(name string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	files, err := untar(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	a := &archive{entries: map[string][]byte{}}
	for _, f := range files {
		a.entries[f.name] = f.content
	}
	content, isLayout := a.entries["index.json"]
	if !isLayout {
		return nil, fmt.Errorf("%s is no OCI archive: it has no index.json, which docker writes since version 25", name)
	}
	var index manifest
	if err := json.Unmarshal(content, &index); err != nil {
		return nil, fmt.Errorf("read index.json of %s: %w", name, err)
	}
	if len(index.Manifests) == 0 {
		return nil, fmt.Errorf("%s has no image", name)
	}
	for _, d := range index.Manifests {
		a.digests = append(a.digests, d.Digest)
	}
	slices.Sort(a.digests)
	return a, nil
}

// blob gives what has a digest.
func (a *archive) blob(digest string) ([]byte, error) {
	algorithm, sum, _ := strings.Cut(digest, ":")
	content := a.entries["blobs/"+algorithm+"/"+sum]
	if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("blob %s has digest %x", digest, got)
	}
	return content, nil
}

func (a *archive) decode(digest string, into any) error {
	content, err := a.blob(digest)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// image gives the image for an architecture of Linux.
func (a *archive) image(arch string) (image, error) {
	manifests, err := a.manifests()
	if err != nil {
		return image{}, err
	}
	for _, m := range manifests {
		var img image
		if err := a.decode(m.Config.Digest, &img); err != nil {
			return image{}, err
		}
		if img.platform == (platform{Architecture: arch, OS: "linux"}) {
			img.layers = m.Layers
			return img, nil
		}
	}
	return image{}, fmt.Errorf("it has no image for linux/%s", arch)
}

// manifests gives those of all images.
func (a *archive) manifests() ([]manifest, error) {
	var all []manifest
	for unread := slices.Clone(a.digests); len(unread) > 0; unread = unread[1:] {
		var m manifest
		if err := a.decode(unread[0], &m); err != nil {
			return nil, err
		}
		for _, d := range m.Manifests { // of an index
			unread = append(unread, d.Digest)
		}
		if len(m.Manifests) == 0 {
			all = append(all, m)
		}
	}
	return all, nil
}

// files gives the regular files of an image, of all its layers.
func (a *archive) files(img image) ([]file, error) {
	var all []file
	for _, layer := range img.layers {
		content, err := a.blob(layer.Digest)
		if err != nil {
			return nil, err
		}
		var in io.Reader = bytes.NewReader(content)
		if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
			if in, err = gzip.NewReader(in); err != nil {
				return nil, err
			}
		}
		files, err := untar(in)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

// untar gives the regular files of a tar.
func untar(in io.Reader) ([]file, error) {
	var files []file
	for t := tar.NewReader(in); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(t, maxBlob))
		if err != nil {
			return nil, err
		}
		files = append(files, file{path.Clean(header.Name), header.FileInfo().Mode(), content})
	}
}
