package buildkit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	// Address schemes beyond unix and tcp register themselves.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// dialTimeout bounds the first answer of a daemon. BuildKit's client connects
// lazily and would wait for ever on an address that swallows packets.
const dialTimeout = 10 * time.Second

// A daemon that froze or a network that went away is noticed after about 20 s;
// 10 s is the floor that grpc-go sets for a client's pings.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// Node is a connection to one BuildKit daemon.
type Node struct {
	address string
	client  *client.Client
	// platforms as the daemon listed them, its own first.
	platforms []ocispec.Platform
}

// Dial connects to the daemon at address and asks which platforms it can run.
// It fails with an [*Error] of kind [NodeLost] when nothing answers, or with the
// cause of ctx.
func Dial(ctx context.Context, address string) (*Node, error) {
	c, err := client.New(ctx, address, client.WithGRPCDialOption(grpc.WithKeepaliveParams(
		keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout})))
	if err != nil {
		return nil, unreachable(address, err)
	}
	node := &Node{address: address, client: c}
	if node.platforms, err = node.list(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, errors.Join(cause, c.Close())
		}
		return nil, errors.Join(unreachable(address, err), c.Close())
	}
	return node, nil
}

func (n *Node) list(ctx context.Context) ([]ocispec.Platform, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer in %s", dialTimeout))
	defer cancel()
	workers, err := n.client.ListWorkers(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	if len(workers) == 0 {
		return nil, errors.New("the daemon has no worker")
	}
	var list []ocispec.Platform
	for _, p := range workers[0].Platforms { // builds go to the first worker
		list = append(list, platforms.Normalize(p))
	}
	return list, nil
}

// Platforms are those that the daemon can run, its own first.
func (n *Node) Platforms() []ocispec.Platform { return n.platforms }

// Native is the daemon's own platform: what BUILDPLATFORM means there.
func (n *Node) Native() ocispec.Platform {
	if len(n.platforms) == 0 {
		return platforms.Normalize(platforms.DefaultSpec())
	}
	return n.platforms[0]
}

// Close ends the connection.
func (n *Node) Close() error { return n.client.Close() }
