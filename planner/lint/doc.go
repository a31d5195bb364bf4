// Package lint finds what is wrong with a Dockerfile that is built for several
// platforms.
//
// It takes a plan of package exact, which says what really happens for every
// platform, and adds rules about what commands do: they read scripts with a parser
// for shells and look at the files of the build context.
//
//	plan, err := exact.Plan(ctx, options)
//	…
//	for _, f := range lint.Findings(plan, lint.Options{Dockerfile: text, Context: root.FS()}) {
//		fmt.Printf("%s:%d: %s\n", f.File, f.Line, f.Message)
//	}
//
// # Rules
//
// Those of package exact and of BuildKit are in the plan. This package adds:
//
//	arg-undeclared   warning  RUN uses TARGETARCH or the like without ARG
//	cache-id-empty   error    the id of a cache names a platform, but is the same for all
//	cache-shared     warning  platforms share a cache that they cannot share
//	arch-url         warning  a download for one architecture on several
//	host-binary      error    a program of another platform in the build context
//	goarm-variant    error    GOARM=v7; a warning if arm/v6 is built without GOARM
//	const-target     warning  a compiler is told to build for one architecture
//	checksum-single  warning  one checksum for the downloads of several platforms
//	ignore-unknown   note     a comment ignores a rule that does not exist
//
// A page for each is in docs/lints; the Dockerfiles there are the test of the rules.
// A finding has to be right nearly always, so a rule is silent where it cannot
// tell: scripts that no parser for POSIX shells or bash reads, that set variables
// from elsewhere, or that ask for the machine; stages that name several
// architectures; commands for Windows.
//
// # Comments
//
// "# mabuild: ignore=RULE,RULE" in the block of comments right above an instruction
// suppresses findings on all lines of that instruction, those of package exact and
// of BuildKit included. "all" stands for every rule. What a trigger (ONBUILD)
// does stands at the FROM that sets it off, and so does the comment.
//
// # Limits
//
// Scripts beyond 64 KiB or with more than 100 levels of brackets are not read. Of the
// context, at most 20,000 names and the first 20 bytes of 2,000 files are, fewer if
// the ignore file is long. What is beyond is taken to be fine. Symbolic links are not
// followed, unless Options.Context hides that they are links.
//
// Stages that the target does not reach have no steps in the plan, and so no
// findings about commands.
package lint
