// Package transfer offers directories of this machine to a BuildKit daemon.
//
// It speaks the protocol of BuildKit's filesync and fsutil: [Provider] is what
// filesync.NewFSSyncProvider is, [Open] what fsutil.NewFS is, and what is sent is the
// same. Two things differ. fsutil keeps every path three times, in maps, which is
// 70 MB of a process for 200,000 files; here it is a table of some 10 bytes a file,
// in which daemons find what they ask for, and hard links what they lead to. And a file
// that cannot be read is an error here; of fsutil the daemon gets an empty one, or waits
// for it for ever.
package transfer
