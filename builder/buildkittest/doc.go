// Package buildkittest serves a scripted BuildKit control API in the test
// process.
//
// BuildKit's own client talks to a [Server] as it talks to a daemon: it lists
// workers, opens sessions, solves and reads status over gRPC on a unix socket.
// Only what a daemon would do with a request is the test's to say:
//
//	server := buildkittest.New(t, buildkittest.Options{
//		Solve: func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
//			solve.Report(&client.SolveStatus{Vertexes: …})
//			dir, err := solve.Local(ctx, "context")
//			…
//			return buildkittest.Image(desc), nil
//		},
//	})
//	node, err := buildkit.Dial(ctx, server.Address())
//
// Errors reach the client with their details, as a daemon's do: those of
// BuildKit's solver/errdefs say which step and which line failed. [Server.Kill]
// ends the server as a crash would.
//
// What the server does not do: it runs no frontend, knows no cache keys and no
// gateway, and exports nothing by itself. An [Options.Solve] that is to export
// writes to the session, as an exporter does.
package buildkittest
