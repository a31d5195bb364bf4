// Package record makes a report.Build of what BuildKit says while it builds.
//
//	r := record.New(record.Options{ID: rand.Text(), File: "Dockerfile", Context: "."})
//	r.Expect(plan, assists)             // if there is a plan
//	r.Observe("linux/arm64", status)    // every status of every job; nil when it ended
//	build := r.Build(record.Outcome{Err: err, Names: names, Digest: digest, Images: images})
//
// The plan gives steps their lines, their platforms and whether they are emulated.
// Steps are found in it by their digest, or by their name where that is another one,
// as in a job with native tools. Without a plan, or for what is not in it, there is
// what BuildKit tells: a name, times and inputs.
//
// A step that several jobs share is one step, and not cached if one of them ran it. If
// a job fails, what stops beside it is cancelled and not failed.
//
// # Inputs
//
// BuildKit does not say what its own steps wait for, such as exporting an image, nor
// that pulling a base waits for what the registry says of it. So a step without inputs
// gets the one that ended last before it in the same job: any for BuildKit's own
// steps, one of BuildKit's own for sources.
//
// # Clocks
//
// Times are the daemon's. If its clock is off by more than some seconds, all times are
// moved so that its first step began when this process heard of it.
package record
