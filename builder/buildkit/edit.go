package buildkit

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/util/staticfs"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mabuild/mabuild/planner"
)

// Edit is what a job sends instead of the Dockerfile that its [Source] offers.
type Edit struct {
	// Text is the Dockerfile. For errors to name the right lines it has those of the
	// original.
	Text []byte
	// Contexts are named contexts beside those of the source: docker-image://REF by
	// name.
	Contexts map[string]string
	// Secrets are what the text mounts as secrets beside those of the build, by id.
	Secrets map[string][]byte
}

// directories are what a session offers; more can be added while it runs.
type directories struct {
	mu    sync.Mutex
	named map[string]fsutil.FS
}

// LookupDir satisfies filesync.DirSource.
func (d *directories) LookupDir(name string) (fsutil.FS, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	files, ok := d.named[name]
	return files, ok
}

func (d *directories) add(name string, files fsutil.FS) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.named[name] = files
}

// secretFiles answer a daemon that asks for a secret: with those of an edit, or with
// what others have.
type secretFiles struct {
	files map[string][]byte
	next  secrets.SecretsServer // nil if the build has none
}

// withSecrets puts the secrets of an edit before those of a session, which can have
// one server of each kind.
func withSecrets(attachables []session.Attachable, files map[string][]byte) []session.Attachable {
	if len(files) == 0 {
		return attachables
	}
	all := &secretFiles{files: files}
	rest := slices.DeleteFunc(slices.Clone(attachables), func(a session.Attachable) bool {
		server, ok := a.(secrets.SecretsServer)
		if ok {
			all.next = server
		}
		return ok
	})
	return append(rest, all)
}

// Register implements [session.Attachable].
func (s *secretFiles) Register(server *grpc.Server) { secrets.RegisterSecretsServer(server, s) }

// GetSecret implements [secrets.SecretsServer].
func (s *secretFiles) GetSecret(ctx context.Context, request *secrets.GetSecretRequest) (*secrets.GetSecretResponse, error) {
	if file, ok := s.files[request.ID]; ok {
		return &secrets.GetSecretResponse{Data: file}, nil
	}
	if s.next == nil {
		return nil, status.Errorf(codes.NotFound, "secret %s is not given", request.ID)
	}
	return s.next.GetSecret(ctx, request)
}

// edit points a job's Solve at another Dockerfile.
func (s *Source) edit(set map[string]string, job planner.Job, edit *Edit) error {
	files := staticfs.NewFS()
	name := path.Base(s.filename) // in a remote context it can have directories
	set["filename"] = name
	files.Add(name, &fstypes.Stat{}, edit.Text)
	// The frontend looks for an ignore file beside the Dockerfile.
	ignore := name + ".dockerignore"
	original, _ := s.offered.LookupDir(dockerfileName)
	if opened, err := original.Open(ignore); err == nil {
		text, err := io.ReadAll(opened)
		_ = opened.Close() // only read
		if err != nil {
			return fmt.Errorf("reading %s: %w", ignore, err)
		}
		files.Add(ignore, &fstypes.Stat{}, text)
	}
	local := dockerfileName + "-" + strings.ReplaceAll(platforms.FormatAll(job.Platform), "/", "-")
	s.offered.add(local, files)
	set["dockerfilekey"] = local
	set["local-sessionid:"+local] = s.session.ID()
	for name, value := range edit.Contexts {
		set["context:"+name] = value
	}
	return nil
}
