// Command judge says of module zips what golang.org/x/mod says of them.
//
// It reads frames from standard input: the length of "path@version" (4 bytes, little endian) and that text, the length
// of the zip (4 bytes) and the zip. For each it writes 65 bytes, in the order of the frames: 1 or 0 for accepted or not,
// the h1, and the SHA-256 over the lines "hex(SHA-256)  name\n" of the unpacked files in byte order of their names.
//
// Accepted means: zip.Unzip succeeds, and so does dirhash.HashZip.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

type frame struct {
	of     string
	zip    []byte
	answer chan [65]byte
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("judge: ")
	root, err := os.MkdirTemp(scratch(), "modmesh-judge-")
	if err != nil {
		log.Fatal(err)
	}
	err = run(root)
	os.RemoveAll(root)
	if err != nil {
		log.Fatal(err)
	}
}

// scratch is a folder in memory where there is one: a hundred thousand zips are unpacked.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func run(root string) error {
	frames := make(chan frame)
	answers := make(chan chan [65]byte, 64)
	for i := range runtime.GOMAXPROCS(0) {
		dir := filepath.Join(root, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o777); err != nil {
			return err
		}
		go func() {
			for f := range frames {
				f.answer <- judge(dir, f)
			}
		}()
	}
	failed := make(chan error, 1)
	go func() {
		failed <- feed(frames, answers)
		close(frames)
		close(answers)
	}()
	out := bufio.NewWriter(os.Stdout)
	for answer := range answers {
		line := <-answer
		if _, err := out.Write(line[:]); err != nil {
			return err
		}
	}
	if err := <-failed; err != nil {
		return err
	}
	return out.Flush()
}

func feed(frames chan<- frame, answers chan<- chan [65]byte) error {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		of, err := field(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		zip, err := field(in)
		if err != nil {
			return fmt.Errorf("a frame is cut off: %w", err)
		}
		f := frame{string(of), zip, make(chan [65]byte, 1)}
		answers <- f.answer
		frames <- f
	}
}

func field(in io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, err
	}
	bytes := make([]byte, binary.LittleEndian.Uint32(size[:]))
	_, err := io.ReadFull(in, bytes)
	return bytes, err
}

func judge(dir string, f frame) (answer [65]byte) {
	h1, contents, err := accept(dir, f)
	if err != nil {
		if os.Getenv("JUDGE_VERBOSE") != "" {
			log.Print(err)
		}
		return answer
	}
	answer[0] = 1
	copy(answer[1:33], h1)
	copy(answer[33:], contents)
	return answer
}

func accept(dir string, f frame) (h1, contents []byte, err error) {
	path, version, ok := strings.Cut(f.of, "@")
	if !ok {
		return nil, nil, errors.New("no version")
	}
	file, unpacked := filepath.Join(dir, "zip"), filepath.Join(dir, "unpacked")
	if err := os.WriteFile(file, f.zip, 0o666); err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(unpacked)
	if err := zip.Unzip(unpacked, module.Version{Path: path, Version: version}, file); err != nil {
		return nil, nil, err
	}
	sum, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		return nil, nil, err
	}
	h1, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	if err != nil {
		log.Fatal(err)
	}
	return h1, digest(unpacked), nil
}

// digest names what is really on disk, by no code that the verdict came from.
func digest(root string) []byte {
	var names []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	lines := make(map[string]string)
	for i, path := range names {
		content, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			log.Fatal(err)
		}
		names[i] = filepath.ToSlash(name)
		lines[names[i]] = fmt.Sprintf("%x  %s\n", sha256.Sum256(content), names[i])
	}
	slices.Sort(names)
	all := sha256.New()
	for _, name := range names {
		io.WriteString(all, lines[name])
	}
	return all.Sum(nil)
}
