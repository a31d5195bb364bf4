package transfer

import (
	"net/url"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/fsutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Provider lets a daemon have the directories that it asks for by name.
type Provider struct{ dirs filesync.DirSource }

var _ session.Attachable = (*Provider)(nil)

// NewProvider returns a provider of dirs.
func NewProvider(dirs filesync.DirSource) *Provider { return &Provider{dirs} }

// Register implements session.Attachable.
func (p *Provider) Register(server *grpc.Server) { filesync.RegisterFileSyncServer(server, p) }

// DiffCopy answers a daemon that wants a directory, or what patterns select of it.
func (p *Provider) DiffCopy(to filesync.FileSync_DiffCopyServer) error {
	request, _ := metadata.FromIncomingContext(to.Context()) // nil has no values
	name := ""
	if names := values(request, "dir-name"); len(names) > 0 {
		name = names[0]
	}
	files, found := p.dirs.LookupDir(name)
	if !found {
		return status.Errorf(codes.NotFound, "no access allowed to dir %q", name)
	}
	files, err := fsutil.NewFilterFS(files, &fsutil.FilterOpt{
		IncludePatterns: values(request, "include-patterns"),
		ExcludePatterns: values(request, "exclude-patterns"),
		FollowPaths:     values(request, "followpaths"),
	})
	if err != nil {
		return err
	}
	return send(to.Context(), to, files)
}

// TarStream is of daemons that are older than all that are supported.
func (p *Provider) TarStream(filesync.FileSync_TarStreamServer) error {
	return status.Error(codes.Unimplemented, "archives of directories are not sent; use a newer BuildKit daemon")
}

// values returns a request's values of a key. They are escaped if they would be no
// header otherwise.
func values(request metadata.MD, key string) []string {
	list := request.Get(key)
	if escaped := request.Get(key + "-encoded"); len(escaped) == 0 || escaped[0] != "1" {
		return list
	}
	plain := make([]string, len(list))
	for i, value := range list {
		plain[i], _ = url.QueryUnescape(value) // empty if it cannot be one
	}
	return plain
}
