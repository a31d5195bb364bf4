package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// Build-ids of the programs in the tests: the tool has a native twin, the driver has
// none.
const (
	driverID = "00000000000000000000000000000000000000d1"
	toolID   = "0000000000000000000000000000000000000701"
	twinID   = "0000000000000000000000000000000000000702"
)

// lab is an engine with programs to run.
type lab struct {
	opts     engine.Options
	client   *client.Client
	programs string // driver, tool and twin
	box      string // the digest of the toolbox
	// session provides them. One for all builds, because its name is a part of the
	// digest of every step that needs it: a client that tries again does the same.
	session *session.Session
}

// newLab starts an engine, with the twin of the tool if tools is set.
func newLab(t *testing.T, tools bool, config string) *lab {
	t.Helper()
	if !dispatch.Supported() {
		t.Skip("programs are not dispatched on this machine")
	}
	l := &lab{opts: options(t), programs: buildProbes(t)}
	if config != "" {
		l.opts.ConfigFile = filepath.Join(t.TempDir(), "buildkitd.toml")
		writeFile(t, l.opts.ConfigFile, config, 0o644)
	}
	if tools {
		l.addTools(t)
	}
	lease := acquire(t, l.opts)
	var err error
	if l.client, err = client.New(t.Context(), lease.Address()); err != nil {
		t.Fatal(err)
	}
	l.open(t)
	t.Cleanup(func() {
		if err := errors.Join(l.session.Close(), l.client.Close(), lease.Release()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// open makes the session.
func (l *lab) open(t *testing.T) {
	t.Helper()
	files, err := fsutil.NewFS(l.programs)
	if err != nil {
		t.Fatal(err)
	}
	if l.session, err = session.NewSession(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	l.session.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files}))
	go func() {
		_ = l.session.Run(context.WithoutCancel(t.Context()), grpchijack.Dialer(l.client.ControlClient()))
	}()
}

// addTools installs a toolbox with the twin, for the tool and, as one that has to be
// opted in to, for a tool of another build-id.
func (l *lab) addTools(t *testing.T) {
	t.Helper()
	optIn := twinOf(twinID)
	optIn.Path, optIn.Package, optIn.Class = "/usr/bin/openssl", "openssl", toolbox.OptIn
	l.install(t, twinOf(toolID), optIn)
}

// twinOf is the tool for a program with that build-id.
func twinOf(buildID string) toolbox.Tool {
	return toolbox.Tool{
		BuildID: buildID, Path: "/bin/dash", Names: []string{"tool"}, Class: toolbox.Proven, // the store asks its policy
		Package: "dash", Version: "1", File: "t/tool", Needs: []string{},
	}
}

// install makes a toolbox of these tools, whose files are all the twin.
func (l *lab) install(t *testing.T, tools ...toolbox.Tool) {
	t.Helper()
	dir := t.TempDir()
	twin, err := os.ReadFile(filepath.Join(l.programs, "twin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "t"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "t", "tool"), string(twin), 0o755)
	sum := sha256.Sum256(twin)
	box, err := json.Marshal(toolbox.Box{
		Format: 1, Kind: toolbox.Debian, Suite: "test", Arch: "arm64", Host: "amd64", Slot: "t", Policy: toolbox.PolicyVersion(),
		Tools: tools,
		Files: []toolbox.File{{Path: "t/tool", Mode: 0o755, Size: int64(len(twin)), SHA256: hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, toolbox.BoxName), string(box), 0o644)
	installed, err := toolbox.Open(l.opts.State.Toolboxes()).InstallDir(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	l.box = installed.Digest
}

// programsVariable says where a test that another one runs has its programs.
const programsVariable = "ENGINETEST_PROGRAMS"

// probes are built by the first test that needs them, and removed by TestMain.
var probes struct {
	once sync.Once
	dir  string
	err  error
}

// buildProbes returns the directory with the programs.
func buildProbes(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		return dir
	}
	probes.once.Do(func() { probes.dir, probes.err = makeProbes(context.WithoutCancel(t.Context())) })
	if probes.err != nil {
		t.Fatal(probes.err)
	}
	return probes.dir
}

func makeProbes(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "mabuild-probes-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // ordinary users run them, too
	}
	if err != nil {
		return dir, err
	}
	for _, program := range []struct{ name, arch, id string }{
		{"driver", "arm64", driverID}, {"tool", "arm64", toolID}, {"twin", "amd64", twinID},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, program.name),
			"-ldflags=-s -w -B 0x"+program.id, "./testdata/probe")
		cmd.Env = append(os.Environ(), "GOARCH="+program.arch, "GOOS=linux", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("building %s: %w\n%s", program.name, err, out)
		}
	}
	return dir, nil
}

// built is what came of a build.
type built struct {
	err     error
	steps   []dispatch.Step // in the order in which they ended
	wants   []string        // what tools they could have had
	cached  int
	files   map[string][]byte // of the OCI archive
	seconds float64
}

// dockerfile is the start of every test's.
const dockerfile = "FROM scratch\nCOPY driver tool /\n"

// build builds the Dockerfile's rest for arm64.
func (l *lab) build(t *testing.T, rest string, attrs map[string]string) built {
	t.Helper()
	return l.buildHearing(t.Context(), t, rest, attrs, func() {})
}

// buildHearing calls heard when a step writes something.
func (l *lab) buildHearing(ctx context.Context, t *testing.T, rest string, attrs map[string]string, heard func()) built {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "Dockerfile"), dockerfile+rest, 0o644)
	files, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	opt := client.SolveOpt{
		Frontend: "dockerfile.v0",
		FrontendAttrs: map[string]string{
			"platform": "linux/arm64", "build-arg:SOURCE_DATE_EPOCH": "1700000000",
			"local-sessionid:context": l.session.ID(),
		},
		LocalMounts: map[string]fsutil.FS{"dockerfile": files},
		Session:     []session.Attachable{secretsprovider.FromMap(map[string][]byte{"token": []byte("secret")})},
		Exports: []client.ExportEntry{{
			// Compressing under the race detector would be most of what the tests do.
			Type: client.ExporterOCI, Attrs: map[string]string{"rewrite-timestamp": "true", "compression": "uncompressed"},
			Output: func(map[string]string) (io.WriteCloser, error) { return nopCloser{&archive}, nil },
		}},
	}
	maps.Copy(opt.FrontendAttrs, attrs)
	var result built
	statuses := make(chan *client.SolveStatus)
	var group errgroup.Group
	began := time.Now()
	group.Go(func() error {
		_, err := l.client.Solve(ctx, nil, opt, statuses)
		return err
	})
	for status := range statuses {
		for _, vertex := range status.Vertexes {
			if vertex.Cached {
				result.cached++
			}
		}
		for range status.Logs {
			heard()
		}
		for _, s := range status.Statuses {
			if strings.HasPrefix(s.ID, dispatch.WantStatus) {
				result.wants = append(result.wants, s.Name)
			}
			if !strings.HasPrefix(s.ID, dispatch.StepStatus) {
				continue
			}
			var step dispatch.Step
			if err := json.Unmarshal([]byte(s.Name), &step); err != nil {
				t.Errorf("reading the record of a step: %v", err)
			}
			result.steps = append(result.steps, step)
		}
	}
	result.err = group.Wait()
	result.seconds = time.Since(began).Seconds()
	result.files = unpack(t, &archive)
	return result
}

// must is a build that succeeds.
func (l *lab) must(t *testing.T, rest string, attrs map[string]string) built {
	t.Helper()
	b := l.build(t, rest, attrs)
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func unpack(t *testing.T, archive io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

// diffIDs are those of the image's layers.
func (b built) diffIDs(t *testing.T) []string {
	t.Helper()
	for _, body := range b.files {
		var image ocispec.Image
		if json.Unmarshal(body, &image) != nil || image.RootFS.Type != "layers" {
			continue
		}
		var ids []string
		for _, id := range image.RootFS.DiffIDs {
			ids = append(ids, id.String())
		}
		return ids
	}
	t.Fatal("the archive has no image")
	return nil
}

// contains reports whether a file of the archive has the text.
func (b built) contains(text string) bool {
	for _, body := range b.files {
		if strings.Contains(string(body), text) {
			return true
		}
	}
	return false
}
