// Package patient is an HTTP transport that waits when a registry asks it to.
//
// containerd's registry client repeats a request that was answered with 429 at
// once, five times, and then gives up; it doesn't read Retry-After
// (containerd#10447). [Transport] sits below that client and takes the decision
// away from it:
//
//	answer                            what happens
//	429, 503                          wait as told, else with growing pauses, and repeat
//	408, 502, 504                     the same for requests without a body
//	500                               repeated once, for requests without a body
//	408, 500, 502, 504 to an upload   *StatusError at once: it may have been stored
//	other 4xx and 5xx                 *StatusError at once, with the registry's words
//	401, 404 and 405 on reading       passed on, because the client above handles them
//	connection broken                 *BrokenError at once
//
// A Retry-After is honoured as seconds and as a date, which is read relative to
// the answer's own Date, so that a wrong clock on either side doesn't matter. It
// holds for the whole host: requests that other goroutines want to send to it
// wait too. All waiting of one operation comes out of its [Budget].
//
// A request that makes no progress is cancelled: when no answer comes, when an
// answer stops in the middle, and when the server stops reading an upload.
//
// The transport also guards where requests go: an https registry can't send the
// client to plain http, and no registry can send it to a link-local address or,
// unless it is there itself, to this machine.
package patient
