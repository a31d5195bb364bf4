// Package show writes plans for people and for programs.
//
// [Text] is one screen: a row per stage, a column per platform, the emulated steps
// and the findings below.
//
//	Dockerfile · 3 stages · native linux/amd64 · QEMU for linux/arm64
//
//	  STAGE   FROM          amd64     arm64
//	  assets  node:22       ● 2 RUN   = amd64
//	  build   golang:1.26   ● 1 RUN   ▲ 1 RUN
//	  final   debian:12     ● copy    ● copy
//
// A mark says how a stage runs for a platform: ● natively, ▲ emulated, = not again
// because it is shared with the platform named, ✗ not at all because its base is
// not made for the platform, — not needed.
//
// [JSON] has everything that the plan knows. Its fields are added to, never renamed.
package show
