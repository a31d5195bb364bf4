// Package parity compares mabuild with buildx, command line by command line.
//
// A [Case] is data: the words that are the same for both programs, files, what is
// compared when they have run, and the differences that there have to be with the
// reason for each. [Cases] are all of them. A [Lab] is a stock buildkitd with a
// registry, on which [Lab.Run] runs a case with one program and then with the other:
//
//	lab, err := parity.Start(ctx, parity.Options{Mabuild: path, Tools: tools})
//	…
//	result, err := lab.Run(ctx, parity.Case{
//		Args:  "-t {REF} --push .",
//		Files: map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"},
//		Look:  []string{"image {REF}"},
//	})
//
// What a run leaves is taken apart into [Facts], each with a name and a value, like
// "REF linux/arm64 config.config.Env[0]". [Compare] reports facts that differ without
// being documented, and documented differences that are gone. Digests that depend on
// the time of the run are named after their role ("digest of REF"), so that it counts
// where a digest is written and not which one it is; layers have the digests that they
// have: what a step made comes out of the daemon's cache for the second program, if it
// asks for the same operation.
//
// [WriteTable] makes docs/parity.md of the results. The test is all of this: it fails
// when the page does not say what is found, and writes it with -update (make parity).
//
// # A new case
//
// Add it to the table of its section, without Differs, and run
//
//	go test ./parity -run 'TestParity/case/.*WORD'
//
// as root. What it reports is a mistake of mabuild or has a reason that users can be
// told: then it becomes a [Difference].
package parity
