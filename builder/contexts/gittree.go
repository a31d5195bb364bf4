package contexts

import (
	"context"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modeSubmodule marks what is another repository.
const modeSubmodule = fs.ModeDir | fs.ModeIrregular

// entry looks up a path of the whole commit.
func (r *repository) entry(ctx context.Context, name string) (entry, error) {
	if name == "" {
		return entry{mode: fs.ModeDir}, nil
	}
	dir, base := path.Split(name)
	entries, err := r.list(ctx, strings.TrimSuffix(dir, "/"))
	if err != nil {
		return entry{}, err
	}
	e, ok := entries[base]
	if !ok {
		return e, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if e.mode&fs.ModeSymlink != 0 && e.link == "" {
		link, err := r.content(ctx, e.object, 4096)
		if err != nil {
			return e, err
		}
		e.link = string(link)
	}
	return e, nil
}

// list returns the entries of a folder.
func (r *repository) list(ctx context.Context, dir string) (map[string]entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entries, ok := r.trees[dir]; ok {
		return entries, nil
	}
	tree := r.commit + "^{tree}"
	if dir != "" {
		parent, base := path.Split(dir)
		e, ok := r.trees[strings.TrimSuffix(parent, "/")][base] // looked at before, as paths are walked down
		if !ok || !e.mode.IsDir() || e.mode&modeSubmodule == modeSubmodule {
			return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
		}
		tree = e.object
	}
	listed, err := r.git.run(ctx, "ls-tree", "-z", "--full-tree", tree)
	if err != nil {
		return nil, err
	}
	r.trees[dir] = parseTree(listed)
	return r.trees[dir], nil
}

// parseTree reads the output of ls-tree -z.
func parseTree(listed []byte) map[string]entry {
	entries := make(map[string]entry)
	for record := range strings.SplitSeq(string(listed), "\x00") {
		about, name, ok := strings.Cut(record, "\t")
		fields := strings.Fields(about)
		if !ok || len(fields) != 3 {
			continue
		}
		e := entry{object: fields[2]}
		switch fields[0] {
		case "040000":
			e.mode = fs.ModeDir
		case "120000":
			e.mode = fs.ModeSymlink
		case "160000":
			e.mode = modeSubmodule
		}
		entries[name] = e
	}
	return entries
}

func (r *repository) readFile(ctx context.Context, name string, limit int64, _ bool) ([]byte, error) {
	e, err := find(func(name string) (entry, error) { return r.entry(ctx, path.Join(r.source.subdir, name)) }, name)
	if err != nil {
		return nil, err
	}
	return r.content(ctx, e.object, limit)
}

// content reads a file by its name for git.
func (r *repository) content(ctx context.Context, object string, limit int64) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := r.git
	if r.partial {
		if _, err := r.git.run(ctx, "cat-file", "-e", object); err != nil { // servers may ignore the filter
			if err := r.fetchFile(ctx, object); err != nil {
				return nil, err
			}
			if from = r.files; !r.partial {
				from = r.git
			}
		}
	}
	return from.output(ctx, limit, "cat-file", "blob", object)
}

// fetchFile gets a file into a repository of its own: git refuses to where folders
// are without the files in them. It ends r.partial if the server has files only with
// all others.
func (r *repository) fetchFile(ctx context.Context, object string) error {
	if r.files.dir == "" {
		files := git{program: r.git.program, dir: filepath.Join(r.git.dir, "files"), secret: r.git.secret}
		if err := files.init(ctx, r.source.remote, formatOf(object)); err != nil {
			return err
		}
		r.files = files
	}
	if _, err := r.files.run(ctx, "cat-file", "-e", object); err == nil {
		return nil
	}
	_, err := r.files.run(ctx, append(slices.Clone(fetchCommand), "--", "origin", object)...)
	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	whole := git{program: r.git.program, dir: filepath.Join(r.git.dir, "whole"), secret: r.git.secret}
	if err := whole.init(ctx, r.source.remote, formatOf(object)); err != nil {
		return err
	}
	complete := &repository{git: whole, source: r.source, ref: r.ref, object: r.object, whole: true}
	if err := complete.fetch(ctx); err != nil {
		return err
	}
	r.git, r.partial = whole, false
	return nil
}

// formatOf tells the kind of a repository by the name of one of its objects.
func formatOf(object string) string {
	if len(object) == 64 {
		return "sha256"
	}
	return "sha1"
}
