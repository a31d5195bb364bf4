package buildkit

import (
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/util/staticfs"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

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
