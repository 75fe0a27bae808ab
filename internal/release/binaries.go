package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// targets are the systems and processors that binaries are made for.
var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

type target struct{ system, processor string }

func (t target) String() string { return t.system + "/" + t.processor }

// binaries are those of the command in one clone of the repository. The same commit, version
// and Go release give the same bytes, in any directory and on any system.
type binaries struct {
	root    string    // the clone
	out     string    // where the archives go
	version string    // what --version says
	at      time.Time // of every file in an archive
	env     []string  // in addition to this process's and to what all builds have
}

const commandDir = "cmd/graphtoken"

// makeBinaries makes the archives of the targets in the directory dist of the clone at root,
// and their checksums. With check, it makes each binary a second time, in another directory
// with another build cache, and compares.
func makeBinaries(ctx context.Context, root, version, only string, check bool) error {
	wanted := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return only != "" && t.String() != only })
	if len(wanted) == 0 {
		return fmt.Errorf("there are no binaries for %q: name one of %v", only, targets)
	}
	if !semver.IsValid(version) {
		return fmt.Errorf("%q is no version, such as v0.1.0", version)
	}
	changed, err := output(ctx, command{dir: root}, "git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("what isn't committed would be in the binaries, and nobody could make them again:\n%s", changed)
	}
	at, err := commitTime(ctx, root)
	if err != nil {
		return err
	}
	b := &binaries{root: root, out: filepath.Join(root, "dist"), version: version, at: at}
	if err := errors.Join(os.RemoveAll(b.out), os.MkdirAll(b.out, 0o755)); err != nil {
		return err
	}
	var again *binaries
	if check {
		dir, err := os.MkdirTemp("", "graphtoken-binaries-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if again, err = b.elsewhere(ctx, dir); err != nil {
			return err
		}
	}
	var sums strings.Builder
	for _, t := range wanted {
		binary, err := b.build(ctx, t)
		if err != nil {
			return err
		}
		if again != nil {
			if err := again.same(ctx, t, binary); err != nil {
				return err
			}
		}
		name, err := b.pack(t, binary)
		if err != nil {
			return err
		}
		archive, err := os.ReadFile(filepath.Join(b.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(archive), name)
		fmt.Printf("%s: %.1f MB, packed %.1f MB\n", name, float64(len(binary))/1e6, float64(len(archive))/1e6)
	}
	return os.WriteFile(filepath.Join(b.out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// commitTime is SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/),
// or the time of the commit.
func commitTime(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = output(ctx, command{dir: root}, "git", "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is a number of seconds: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// elsewhere returns the same binaries, made in a clone below dir and with an empty cache.
func (b *binaries) elsewhere(ctx context.Context, dir string) (*binaries, error) {
	again := *b
	again.root, again.out = filepath.Join(dir, "clone"), filepath.Join(dir, "out")
	again.env = append(slices.Clone(b.env), "GOCACHE="+filepath.Join(dir, "cache"))
	_, err := output(ctx, command{}, "git", "clone", "--quiet", b.root, again.root)
	return &again, errors.Join(err, os.MkdirAll(again.out, 0o755))
}

// same returns an error unless the target's binary has these bytes here, too.
func (b *binaries) same(ctx context.Context, t target, binary []byte) error {
	here, err := b.build(ctx, t)
	if err == nil && !bytes.Equal(here, binary) {
		err = fmt.Errorf("two builds for %s differ: something of the directory, the cache or the time is in one", t)
	}
	return err
}

// build makes the target's binary.
//
// The settings that change a binary are all named here. The directory is not in the binary
// (-trimpath), and neither is the state of the clone (-buildvcs=false): the version says
// which commit it is. The linker leaves out the symbols that only a debugger needs.
func (b *binaries) build(ctx context.Context, t target) ([]byte, error) {
	file := filepath.Join(b.out, b.name(t)+".bin")
	defer os.Remove(file)
	env := append([]string{
		"GOWORK=off", "CGO_ENABLED=0", "GOOS=" + t.system, "GOARCH=" + t.processor, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOEXPERIMENT=", "GOFIPS140=off",
	}, b.env...)
	_, err := output(ctx, command{dir: filepath.Join(b.root, filepath.FromSlash(commandDir)), env: env},
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid= -X main.stamped="+b.version, "-o", file, ".")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

func (b *binaries) name(t target) string {
	return fmt.Sprintf("graphtoken_%s_%s_%s", b.version, t.system, t.processor)
}

// pack writes the target's archive, and returns its name: a zip for Windows, and else a
// tar.gz. The licence and the command's README are in it, too.
func (b *binaries) pack(t target, binary []byte) (name string, err error) {
	program := "graphtoken"
	if t.system == "windows" {
		program += ".exe"
	}
	files := []packed{{program, 0o755, binary}}
	for name, path := range map[string]string{"LICENSE": "LICENSE", "README.md": commandDir + "/README.md"} {
		data, err := os.ReadFile(filepath.Join(b.root, filepath.FromSlash(path)))
		if err != nil {
			return "", err
		}
		files = append(files, packed{name, 0o644, data})
	}
	slices.SortFunc(files, func(a, b packed) int { return strings.Compare(a.name, b.name) })
	var archive bytes.Buffer
	if t.system == "windows" {
		name, err = b.name(t)+".zip", zipOf(&archive, files, b.at)
	} else {
		name, err = b.name(t)+".tar.gz", tarOf(&archive, files, b.at)
	}
	if err != nil {
		return "", err
	}
	return name, os.WriteFile(filepath.Join(b.out, name), archive.Bytes(), 0o644)
}

// packed is a file in an archive.
type packed struct {
	name string
	mode os.FileMode
	data []byte
}

func tarOf(to *bytes.Buffer, files []packed, at time.Time) error {
	compressed, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: at, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), compressed.Close())
}

func zipOf(to *bytes.Buffer, files []packed, at time.Time) error {
	w := zip.NewWriter(to)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(f.mode)
		entry, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return w.Close()
}
