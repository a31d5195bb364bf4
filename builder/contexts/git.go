package contexts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/util/gitutil"
)

// repository is one commit of a git repository, bare: nothing is checked out, so no
// file of it reaches this machine under a name of its choice.
type repository struct {
	git     git
	files   git  // has the files that were read, if partial is set
	partial bool // git has no files
	whole   bool // do not try to leave out files
	source  source

	ref    string // whole name, or the commit
	object string // what ref is: a commit, or an annotated tag
	commit string

	mu    sync.Mutex
	trees map[string]map[string]entry // by directory
}

// clone fetches what a source means right now.
func (c *Client) clone(ctx context.Context, s source, dir string) (*repository, error) {
	r := &repository{git: git{program: c.opts.Git, dir: dir, secret: c.opts.Secret}, source: s, trees: make(map[string]map[string]entry)}
	if err := r.git.init(ctx, s.remote, "sha1"); err != nil {
		return nil, err
	}
	if err := r.resolve(ctx); err != nil {
		return nil, err
	}
	if len(r.object) == 64 { // only now known
		r.git.dir = filepath.Join(dir, "long")
		if err := r.git.init(ctx, s.remote, formatOf(r.object)); err != nil {
			return nil, err
		}
	}
	if err := r.fetch(ctx); err != nil {
		return nil, err
	}
	commit, err := r.git.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", r.object+"^{commit}")
	if err != nil {
		return nil, &hintError{fmt.Errorf("%s is no commit", r.object), "name a branch, a tag or a commit"}
	}
	r.commit = strings.TrimSpace(string(commit))
	if s.checksum != "" && !strings.HasPrefix(r.object, s.checksum) && !strings.HasPrefix(r.commit, s.checksum) {
		return nil, checksumError(s.checksum, r.commit)
	}
	return r, r.checkSubdir(ctx)
}

func checksumError(want, got string) error {
	return &hintError{fmt.Errorf("the checksum is %s, but the reference is commit %s", want, got), "change checksum= if that is the commit that you want"}
}

// defaultBranch is in the answer to ls-remote --symref.
var defaultBranch = regexp.MustCompile(`(?m)^ref: refs/heads/(\S+)\tHEAD$`)

// resolve finds the object of the reference, with BuildKit's preferences: a branch
// goes before a tag of the same name.
func (r *repository) resolve(ctx context.Context) error {
	s := r.source
	switch {
	case gitutil.IsCommitSHA(s.ref):
		r.ref, r.object = s.ref, s.ref
		if !strings.HasPrefix(s.ref, s.checksum) {
			return checksumError(s.checksum, s.ref)
		}
		return nil
	case s.byCommit:
		r.ref, r.object = s.ref, s.checksum
		if r.ref == "" {
			r.ref = s.checksum
		} else if !strings.HasPrefix(r.ref, "refs/") {
			r.ref = "refs/heads/" + r.ref
		}
		return nil
	}
	ref := s.ref
	if ref == "" {
		answer, err := r.git.run(ctx, "ls-remote", "--symref", "--", "origin", "HEAD")
		if err != nil {
			return err
		}
		found := defaultBranch.FindSubmatch(answer)
		if found == nil {
			return &hintError{errors.New("the server names no default branch"), "name one: add #BRANCH to the URL"}
		}
		ref = string(found[1])
	}
	answer, err := r.git.run(ctx, "ls-remote", "--", "origin", ref, ref+"^{}")
	if err != nil {
		return err
	}
	r.ref, r.object = choose(ref, answer)
	if r.object == "" {
		hint := "check the name of the branch or tag, e.g. with git ls-remote"
		if len(ref) >= 7 && strings.Trim(ref, "0123456789abcdef") == "" {
			hint = "a commit needs all of its 40 digits"
		}
		return &hintError{fmt.Errorf("the repository has no branch or tag %q", printable(ref)), hint}
	}
	return nil
}

// choose picks a reference from the answer to ls-remote.
func choose(ref string, answer []byte) (name, object string) {
	objects := make(map[string]string)
	for line := range bytes.Lines(answer) {
		object, name, _ := strings.Cut(strings.TrimRight(string(line), "\n"), "\t")
		if gitutil.IsCommitSHA(object) {
			objects[name] = object
		}
	}
	for _, name := range []string{
		"refs/" + strings.TrimPrefix(ref, "refs/"),
		"refs/heads/" + strings.TrimPrefix(ref, "refs/heads/"),
		"refs/tags/" + strings.TrimPrefix(ref, "refs/tags/"),
	} {
		if object := objects[name]; object != "" {
			return name, object
		}
	}
	return "", ""
}

var fetchCommand = []string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"}

// fetch gets the object and its folders. Files come when they are read, if the
// server can do that.
func (r *repository) fetch(ctx context.Context) error {
	const local = "refs/mabuild/context"
	wanted := []string{r.object}
	if strings.HasPrefix(r.ref, "refs/") && !r.source.byCommit {
		// A server need not give out an object by its digest, but has to by its name. In
		// between the name may have come to mean another one.
		wanted = []string{r.ref, r.object}
	}
	var failed error
	for _, what := range wanted {
		// What is only on top of a name can be had shallow and without files from most
		// servers, but not over the old http protocol.
		for _, how := range [][]string{{"--depth=1", "--filter=blob:none"}, {"--depth=1"}, nil} {
			if r.whole && len(how) == 2 {
				continue
			}
			args := slices.Concat(fetchCommand, how, []string{"--", "origin", "+" + what + ":" + local})
			_, failed = r.git.run(ctx, args...)
			r.partial = len(how) == 2
			if r.partial {
				// Git has noted that it may fetch what is missing whenever it comes across it;
				// with a server of plain files it would start itself without end.
				if err := r.git.configure(r.source.remote); err != nil {
					return err
				}
			}
			if failed == nil || !shallowRefused(failed) {
				break
			}
		}
		if failed != nil && !unadvertised(failed) {
			return failed
		}
		if failed == nil && r.has(ctx, local) {
			return nil
		}
	}
	// A commit that has no name: it may be below one.
	r.partial = false
	_, failed = r.git.run(ctx, append(slices.Clone(fetchCommand), "--", "origin", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")...)
	switch {
	case failed != nil:
		return failed
	case !r.has(ctx, r.object):
		return &hintError{fmt.Errorf("the repository has no commit %s", r.object), "check the commit; it may not be pushed yet, or be gone after a forced push"}
	}
	return nil
}

// has reports whether a name means the object that is wanted.
func (r *repository) has(ctx context.Context, name string) bool {
	found, err := r.git.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{object}")
	return err == nil && strings.TrimSpace(string(found)) == r.object
}

func (r *repository) checkSubdir(ctx context.Context) error {
	at := ""
	for _, part := range strings.Split(r.source.subdir, "/") {
		if part == "" {
			continue
		}
		at = path.Join(at, part)
		e, err := r.entry(ctx, at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = &hintError{fmt.Errorf("there is no folder %s in commit %.12s: %w", at, r.commit, fs.ErrNotExist), "check the folder after the colon, or in subdir="}
		case err != nil:
		case e.mode&modeSubmodule == modeSubmodule:
			err = &hintError{fmt.Errorf("%s is a submodule in commit %.12s", at, r.commit), "give the URL of the submodule's own repository"}
		case !e.mode.IsDir(): // BuildKit follows no link here
			err = &hintError{fmt.Errorf("%s is no folder in commit %.12s", at, r.commit), "check the folder after the colon, or in subdir="}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) describe(c *Context) {
	c.Kind, c.Commit, c.Ref, c.Pinned = Git, r.commit, r.ref, r.source.pinned(r.commit)
}

// dockerfiles lists some files that look like one.
func (r *repository) dockerfiles(ctx context.Context) []string {
	listed, err := r.git.run(ctx, "ls-tree", "-r", "-z", "--name-only", "--full-tree", r.commit)
	if err != nil {
		return nil
	}
	var found []string
	for name := range strings.SplitSeq(string(listed), "\x00") {
		inside, ok := strings.CutPrefix(name, strings.TrimPrefix(r.source.subdir+"/", "/"))
		if ok && isDockerfile(inside) && len(found) < maxCandidates {
			found = append(found, printable(inside))
		}
	}
	return found
}

// metadata is what BuildKit says of the source.
func (r *repository) metadata(ctx context.Context, objects bool) (*sourceresolver.ResolveGitResponse, error) {
	response := &sourceresolver.ResolveGitResponse{Ref: r.ref, Checksum: r.object}
	if r.commit != r.object {
		response.CommitChecksum = r.commit
	}
	if !objects {
		return response, nil
	}
	var err error
	if response.CommitObject, err = r.git.run(ctx, "cat-file", "commit", r.commit); err != nil {
		return nil, err
	}
	if r.commit != r.object {
		response.TagObject, err = r.git.run(ctx, "cat-file", "tag", r.object)
	}
	return response, err
}
