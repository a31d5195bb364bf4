package buildkit

import (
	"io"

	"github.com/moby/buildkit/session/upload"
	"google.golang.org/grpc"
)

// ArchiveURL is what a daemon calls an archive that its client sends. The name tells
// archives apart; it should be the same for the same bytes.
func ArchiveURL(name string) string { return "http://buildkit-session/" + name }

// uploads serves one archive to a daemon, as often as that asks for it.
type uploads struct {
	open func() (io.ReadCloser, error)
}

func (u *uploads) Register(server *grpc.Server) { upload.RegisterUploadServer(server, u) }

// Pull satisfies BuildKit's UploadServer.
func (u *uploads) Pull(stream upload.Upload_PullServer) error {
	archive, err := u.open()
	if err != nil {
		return err
	}
	defer archive.Close()
	buffer := make([]byte, 1<<20)
	for {
		n, err := archive.Read(buffer)
		if n > 0 {
			if err := stream.SendMsg(&upload.BytesMessage{Data: buffer[:n]}); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
