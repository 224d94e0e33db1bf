// Command sumdb looks up records of a checksum database as the go command does: with the Client of
// golang.org/x/mod/sumdb, over HTTP, from any state in which a client can be.
//
// It reads one job after the other from standard input, each a line of JSON, and answers each with a line of JSON. With
// vulnerable.mod in place of go.mod it is built with the last golang.org/x/mod that falls for CVE-2026-56864 and
// CVE-2026-56865.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb"
)

// A job is one client, or many that begin alike, and what is looked up.
type job struct {
	// URL is where the database is, as the go command has it: GOPROXY/sumdb/NAME.
	URL string `json:"url"`
	// Key is the database's verifier key.
	Key string `json:"key"`
	// Latest is the signed tree head that the client holds at first; empty for a fresh one.
	Latest string `json:"latest"`
	// Cache is the folder with the client's tiles and records; empty for one that has lost them.
	Cache string `json:"cache"`
	// Each has every lookup made by a client of its own, which begins in the state above and whose end is forgotten.
	// Without it one client makes all of them, in their order, and what it learns is kept in Cache.
	Each bool `json:"each"`
	// Lookups are the modules, each "path@version".
	Lookups []string `json:"lookups"`
}

// A result is what a client made of one lookup.
type result struct {
	// Lines are what it would compare a go.sum with.
	Lines []string `json:"lines"`
	// Error is empty when it is content.
	Error string `json:"error"`
	// Latest is the signed tree head that it holds afterwards.
	Latest string `json:"latest"`
}

// parallel is how many clients work at a time.
const parallel = 8

var web = &http.Client{
	Timeout:   time.Minute,
	Transport: &http.Transport{MaxIdleConnsPerHost: 4 * parallel},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("sumdb: ")
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var j job
		if err := in.Decode(&j); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(j.do()); err != nil {
			log.Fatal(err)
		}
	}
}

func (j *job) do() []result {
	results := make([]result, len(j.Lookups))
	if !j.Each {
		c := newClient(j)
		db := sumdb.NewClient(c)
		for i, of := range j.Lookups {
			results[i] = c.lookup(db, of)
		}
		return results
	}
	places := make(chan bool, parallel)
	var all sync.WaitGroup
	for i, of := range j.Lookups {
		places <- true
		all.Add(1)
		go func() {
			defer all.Done()
			c := newClient(j)
			results[i] = c.lookup(sumdb.NewClient(c), of)
			<-places
		}()
	}
	all.Wait()
	return results
}

// A client is the world of one sumdb.Client.
type client struct {
	job *job

	mu       sync.Mutex
	latest   []byte
	files    map[string][]byte
	security string
}

func newClient(j *job) *client {
	return &client{job: j, latest: []byte(j.Latest), files: make(map[string][]byte)}
}

func (c *client) lookup(db *sumdb.Client, of string) (r result) {
	path, version, _ := strings.Cut(of, "@")
	for _, version := range []string{version, version + "/go.mod"} {
		lines, err := db.Lookup(path, version)
		if err != nil {
			r.Error = err.Error()
		}
		r.Lines = append(r.Lines, lines...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.security != "" {
		r.Error += "\n" + c.security
	}
	r.Latest = string(c.latest)
	return r
}

func (c *client) ReadRemote(path string) ([]byte, error) {
	answer, err := web.Get(c.job.URL + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, answer.Status, body)
	}
	return body, err
}

func (c *client) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(c.job.Key), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest, nil
}

func (c *client) WriteConfig(file string, old, new []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !bytes.Equal(old, c.latest) {
		return sumdb.ErrWriteConflict
	}
	c.latest = new
	return nil
}

func (c *client) ReadCache(file string) ([]byte, error) {
	c.mu.Lock()
	data, ok := c.files[file]
	c.mu.Unlock()
	if ok {
		return data, nil
	}
	if c.job.Cache == "" {
		return nil, errors.New("no cache")
	}
	return os.ReadFile(c.path(file))
}

func (c *client) WriteCache(file string, data []byte) {
	if !c.job.Each && c.job.Cache != "" {
		if err := os.MkdirAll(filepath.Dir(c.path(file)), 0o777); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(c.path(file), data, 0o666); err != nil {
			log.Fatal(err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[file] = data
}

func (c *client) path(file string) string {
	return filepath.Join(c.job.Cache, filepath.FromSlash(file))
}

func (c *client) Log(string) {}

func (c *client) SecurityError(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.security = text
}
