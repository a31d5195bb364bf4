// Package transfer offers directories of this machine to a BuildKit daemon.
//
// It speaks the protocol of BuildKit's filesync and fsutil: [Provider] is what
// filesync.NewFSSyncProvider is, [Open] what fsutil.NewFS is, and what is sent is the
// same. Only the memory differs. fsutil keeps every path three times, in maps, which is
// 70 MB of a process for 200,000 files; here it is a table of some 10 bytes a file,
// in which daemons find what they ask for, and hard links what they lead to.
package transfer
