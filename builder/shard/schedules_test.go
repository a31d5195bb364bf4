package shard_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

const (
	longestLag = 4 * time.Second
	patience   = 5 * time.Second
)

// Cases 54 and 56: whatever happens to whom and when, the names of the image are
// absent or lead to all of it, and one run makes one image. SHARD_SEED repeats a run,
// SHARD_SCHEDULE one schedule of it.
func TestSchedules(t *testing.T) {
	schedules := 1000
	if testing.Short() {
		schedules = 200
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SHARD_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SHARD_SEED=%d", seed)
	ws, config := newWorlds(t), t.TempDir()
	var requests, kills, byFirst atomic.Int64
	run := func(number int) error {
		s := newSchedule(ws, config, seed, number)
		err := s.run()
		requests.Add(int64(s.requests))
		kills.Add(int64(s.kills))
		if s.byFirst {
			byFirst.Add(1)
		}
		if err != nil {
			return fmt.Errorf("SHARD_SCHEDULE=%d: %w", number, err)
		}
		return nil
	}
	if text := os.Getenv("SHARD_SCHEDULE"); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(number); err != nil {
			t.Error(err)
		}
		return
	}
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for number := range schedules {
		group.Go(func() error { return run(number) })
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d schedules, %d requests, %d kills; %d images were complete before the killed jobs ran again",
		schedules, requests.Load(), kills.Load(), byFirst.Load())
	if kills.Load() < int64(schedules)/4 || byFirst.Load() < int64(schedules)/10 {
		t.Error("the schedules are not wild enough")
	}
}

// schedule is one run of a CI with its jobs.
type schedule struct {
	*world
	ws     *worlds
	name   string
	config string
	truth  http.Handler // the registry without its lag
	seen   http.Handler // the registry as everybody sees it

	platforms []ocispec.Platform
	names     []string
	attested  bool
	// stable builds give the same image again. Those that don't run again only when
	// the registry shows what the attempt before did; see "Re-runs" in doc.go.
	stable bool

	digests map[digest.Digest]bool // that names of the image ever led to
	broken  error                  // the first violation
	byFirst bool                   // the image was made before the last attempts
}

func newSchedule(ws *worlds, config string, seed uint64, number int) *schedule {
	random := rand.New(rand.NewPCG(seed, uint64(number)))
	s := &schedule{
		world: newWorld(random), ws: ws, name: fmt.Sprintf("s%d", number), config: config,
		truth: registrytest.Memory(), digests: map[digest.Digest]bool{},
		attested: random.IntN(3) == 0, stable: random.IntN(2) == 0,
	}
	for _, name := range []string{"amd64", "arm64", "s390x", "riscv64"}[:[]int{1, 2, 2, 2, 3, 3, 4}[random.IntN(7)]] {
		s.platforms = append(s.platforms, ocispec.Platform{OS: "linux", Architecture: name})
	}
	s.names = []string{ws.host() + "/app:1", ws.host() + "/app:latest", ws.host() + "/copy:1"}[:[]int{1, 1, 1, 2, 3}[random.IntN(5)]]
	lag := &registrytest.Lag{
		Next: s.truth, Now: s.time,
		Delay: func() time.Duration { return time.Duration(random.Int64N(int64(longestLag))) },
	}
	if random.IntN(3) == 0 {
		lag.Delay = func() time.Duration { return 0 }
	}
	if random.IntN(3) == 0 {
		lag.Early = func() bool { return random.IntN(2) == 0 }
	}
	if random.IntN(3) == 0 {
		s.faults = 20
	}
	s.registry, s.written = lag, s.check
	s.seen = lag
	if lag.Early != nil {
		s.seen = s.truth // not everybody sees the same
	}
	return s
}

// job is one runner's part of a schedule.
type job struct {
	*runner
	platform int
	attempts []attempt // the last one is never killed, and only made if the others all were
	killed   bool      // in its last attempt
	err      error
}

// attempt is one process of a job.
type attempt struct {
	killAt int
	late   bool
	build  time.Duration
	image  built
}

func (s *schedule) run() error {
	var jobs []*job
	for i := range s.platforms {
		jobs = append(jobs, s.newJob(len(jobs), i))
		if s.stable && s.rand.IntN(6) == 0 {
			jobs = append(jobs, s.newJob(len(jobs), i)) // the same platform twice
		}
	}
	for _, j := range jobs {
		s.start(func() { s.work(j, len(j.attempts)-1) })
	}
	s.world.run()
	anyKilled := slices.ContainsFunc(jobs, func(j *job) bool { return j.killed })
	s.byFirst = len(s.digests) > 0
	for _, j := range jobs {
		if j.err != nil {
			return fmt.Errorf("job %d: %w", j.id, j.err)
		}
	}
	if !anyKilled && !s.byFirst {
		return errors.New("nobody was killed at last, and nobody made the image")
	}
	for _, j := range jobs {
		if j.killed {
			s.start(func() { s.work(j, 1) })
		}
	}
	s.world.run()
	for _, j := range jobs {
		if j.err != nil {
			return fmt.Errorf("job %d: %w", j.id, j.err)
		}
	}
	for _, name := range s.names {
		if _, err := s.complete(name); err != nil {
			return fmt.Errorf("in the end: %w", err)
		}
	}
	return s.broken
}

func (s *schedule) newJob(id, platform int) *job {
	const attempts = 4
	j := &job{runner: &runner{world: s.world, id: id}, platform: platform}
	for n := range attempts {
		a := attempt{late: s.rand.IntN(2) == 0, build: time.Duration(s.rand.Int64N(int64(patience)))}
		if n < attempts-1 && s.rand.IntN(2) == 0 {
			a.killAt = 1 + s.rand.IntN(25)
		}
		seed := fmt.Sprint(platform)
		if !s.stable {
			seed = fmt.Sprint(platform, "/", n)
			if n > 0 {
				a.build += longestLag
			}
		}
		a.image = buildImage(s.platforms[platform], seed, s.attested)
		j.attempts = append(j.attempts, a)
	}
	return j
}

// work runs a job up to so many times, until it isn't killed.
func (s *schedule) work(j *job, times int) {
	for range times {
		next := j.attempts[0]
		j.attempts = j.attempts[1:]
		j.requests, j.killAt, j.late = 0, next.killAt, next.late
		err := s.attempt(j, next.build, next.image)
		j.killed = errors.Is(err, errKilled)
		if !j.killed {
			j.err = err
			return
		}
	}
}

// attempt builds, pushes, announces, and makes the image if it can.
func (s *schedule) attempt(j *job, build time.Duration, image built) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	j.cancel = cancel
	if err := j.sleep(ctx, build); err != nil {
		return err
	}
	s.push(image)
	agent := fmt.Sprintf("%s/%d", s.name, j.id)
	s.ws.register(agent, j.runner)
	client := registry.New(registry.Options{
		ConfigDir: s.config, UserAgent: agent, Clock: j.clock(), Parallel: 1,
	})
	defer client.CloseIdleConnections()
	meeting, err := shard.New(shard.Options{
		Registry: client, Names: s.names, Run: "1", Plan: shard.Plan{"the Dockerfile": "FROM scratch"},
		Platforms: s.platforms, Annotations: map[string]string{"created": image.seed},
		Patience: patience, Clock: j.clock(),
	})
	if err != nil {
		return err
	}
	publisher := shard.Publisher{Meeting: meeting}
	_, err = publisher.Publish(ctx, image.descs)
	return err
}

// push is what the engine does, which is not part of this: it writes the manifests by
// digest.
func (s *schedule) push(image built) {
	for _, name := range s.names {
		repository, _ := cutTag(strings.TrimPrefix(name, s.ws.host()))
		for i, desc := range image.descs {
			put := httptest.NewRequest(http.MethodPut, "/v2"+repository+"/manifests/"+desc.Digest.String(), bytes.NewReader(image.bodies[i]))
			put.Header.Set("Content-Type", desc.MediaType)
			s.registry.ServeHTTP(httptest.NewRecorder(), put)
		}
	}
}

// check is called after every write that the registry has accepted.
func (s *schedule) check(path string) {
	repository, tag, ok := strings.Cut(strings.TrimPrefix(path, "/v2/"), "/manifests/")
	if !ok || strings.Contains(tag, ":") || strings.HasPrefix(tag, "mabuild-") {
		return
	}
	got, err := s.complete(s.ws.host() + "/" + repository + ":" + tag)
	s.digests[got] = true
	if err == nil && len(s.digests) > 1 {
		err = fmt.Errorf("the run made several images: %v", s.digests)
	}
	s.broken = cmp.Or(s.broken, err)
}

// complete returns what a name of the image leads to, and what of it is missing.
func (s *schedule) complete(name string) (digest.Digest, error) {
	repository, tag := cutTag(name)
	repository = strings.TrimPrefix(repository, s.ws.host()+"/")
	body, err := read(s.truth, repository, tag)
	if err != nil {
		return "", err
	}
	var doc ocispec.Index
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", err
	}
	images := 0
	for _, desc := range doc.Manifests {
		if _, err := read(s.seen, repository, desc.Digest.String()); err != nil {
			return "", err
		}
		if desc.Platform.OS == "unknown" {
			continue
		}
		if images >= len(s.platforms) || desc.Platform.Architecture != s.platforms[images].Architecture {
			return "", fmt.Errorf("%s has %s at %d", name, desc.Platform.Architecture, images)
		}
		images++
	}
	single := len(s.platforms) == 1 && !s.attested
	if single == (images > 0) || !single && images != len(s.platforms) {
		return "", fmt.Errorf("%s has %d of %d images", name, images, len(s.platforms))
	}
	return digest.FromBytes(body), nil
}

func read(from http.Handler, repository, object string) ([]byte, error) {
	answer := httptest.NewRecorder()
	from.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v2/"+repository+"/manifests/"+object, nil))
	if answer.Code != http.StatusOK {
		return nil, fmt.Errorf("the registry has no %s in %s: %d", object, repository, answer.Code)
	}
	return answer.Body.Bytes(), nil
}
