package contexts

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil"
	digest "github.com/opencontainers/go-digest"
)

// source is what BuildKit would fetch. Sources that are equal are fetched once.
type source struct {
	url string // of a file or an archive, empty for git

	remote   string // for the git program
	ref      string
	subdir   string
	checksum string // of the commit, or of the file
	byCommit bool
}

// IsRemote reports whether BuildKit takes a build context for a URL. A directory of
// that name goes first.
func IsRemote(context string) bool {
	if isHTTP(context) {
		return true
	}
	_, git, _ := dfgitutil.ParseGitRef(context)
	return git
}

func isHTTP(context string) bool {
	return strings.HasPrefix(context, "http://") || strings.HasPrefix(context, "https://")
}

// parse reads a build context as the command line has it.
func parse(context string) (source, error) {
	ref, git, err := dfgitutil.ParseGitRef(context)
	switch {
	case git && err != nil:
		return source{}, &Error{
			URL: display(context), Err: errors.New(printable(err.Error())),
			Hint: "write URL#REF:SUBDIR, or URL?ref=…&subdir=…&checksum=…",
		}
	case git:
		s := source{ref: ref.Ref, checksum: ref.Checksum, byCommit: ref.FetchByCommit}
		return s.git(ref.Remote, ref.SubDir)
	case isHTTP(context):
		return source{url: context}.http()
	}
	return source{}, &Error{
		URL: display(context), Err: errors.New("neither a git nor an http(s) URL"),
		Hint: "give a directory, https://HOST/REPOSITORY.git, git@HOST:REPOSITORY or the URL of a tar archive",
	}
}

// parseOp reads a source as BuildKit's frontend describes it.
func parseOp(op *pb.SourceOp) (source, error) {
	if isHTTP(op.GetIdentifier()) {
		return source{url: op.Identifier, checksum: op.Attrs[pb.AttrHTTPChecksum]}.http()
	}
	rest, ok := strings.CutPrefix(op.GetIdentifier(), "git://")
	if !ok {
		return source{}, fmt.Errorf("reading %s: only git and http sources can be fetched", display(op.GetIdentifier()))
	}
	where, fragment, _ := strings.Cut(rest, "#")
	ref, subdir, _ := strings.Cut(fragment, ":")
	remote := op.Attrs[pb.AttrFullRemoteURL]
	if remote == "" {
		remote = "https://" + where
	}
	s := source{ref: ref, checksum: op.Attrs[pb.AttrGitChecksum], byCommit: op.Attrs[pb.AttrGitFetchByCommit] == "true"}
	return s.git(remote, subdir)
}

// git completes a source, in the form that both spellings of it share.
func (s source) git(remote, subdir string) (source, error) {
	if !gitutil.IsGitTransport(remote) {
		remote = "https://" + remote // github.com/OWNER/NAME
	}
	parsed, err := gitutil.ParseURL(remote)
	if err != nil {
		return s, &Error{URL: display(remote), Err: errors.New(printable(err.Error())), Hint: "check the URL"}
	}
	s.remote, s.subdir = parsed.Remote, strings.TrimPrefix(path.Join("/", subdir), "/")
	switch {
	case strings.HasPrefix(s.ref, "-"):
		err = fmt.Errorf("%q is no name of a branch, tag or commit", s.ref)
	case strings.ContainsFunc(s.remote+s.ref+s.subdir, isControl):
		err = errors.New("control characters in the URL")
	case s.checksum != "" && strings.Trim(s.checksum, "0123456789abcdefABCDEF") != "":
		err = fmt.Errorf("the checksum %q is no commit", s.checksum)
	case s.byCommit && !gitutil.IsCommitSHA(s.ref) && !gitutil.IsCommitSHA(s.checksum):
		err = errors.New("fetch-by-commit needs the whole commit in checksum=")
	}
	if err != nil {
		return s, &Error{URL: s.String(), Err: err, Hint: "write URL#REF:SUBDIR, or URL?ref=…&subdir=…&checksum=…"}
	}
	return s, nil
}

func (s source) http() (source, error) {
	u, err := url.Parse(s.url)
	if err == nil && u.Host == "" {
		err = errors.New("no host in the URL")
	}
	if err == nil && s.checksum != "" {
		err = digest.Digest(s.checksum).Validate()
	}
	if err != nil {
		if bad := (*url.Error)(nil); errors.As(err, &bad) {
			err = bad.Err // without the URL
		}
		return s, &Error{URL: display(s.url), Err: err, Hint: "check the URL"}
	}
	return s, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// String is for people: there are no credentials in it.
func (s source) String() string {
	if s.url != "" {
		return display(s.url)
	}
	text := Redact(s.remote)
	if s.ref != "" || s.subdir != "" {
		text += "#" + printable(s.ref)
	}
	if s.subdir != "" {
		text += ":" + printable(s.subdir)
	}
	return text
}

// pinned is the URL of a commit. Every version of BuildKit reads it.
func (s source) pinned(commit string) string {
	text := s.remote + "#" + commit
	if s.subdir != "" {
		text += ":" + s.subdir
	}
	return text
}

// display drops credentials, and the query: signed URLs have them there.
func display(url string) string {
	url, _, found := strings.Cut(url, "?")
	if url = printable(url); found {
		url += "?…"
	}
	return url
}
