// Command mabuild builds one Dockerfile for several platforms and delivers one
// image index.
//
//	mabuild --platform linux/amd64,linux/arm64 -t REF --push .
//
// needs no Docker, no running BuildKit and no registered QEMU: it starts the
// BuildKit that it carries in a namespace with QEMU handlers of its own, builds
// all platforms at the same time, pushes every image by its digest, writes the
// index under every tag as the last step and prints the index's digest.
// Progress goes to standard error; standard output has the result alone.
//
// Exit codes:
//
//	0    done
//	1    the build failed
//	2    wrong usage: a flag, a platform, an output
//	3    a stage runs commands on a platform that cannot be run or emulated
//	4    the plan cannot be satisfied: a base is not made for a platform, say
//	5    the BuildKit daemon was lost or does not answer
//	6    a registry refused or does not answer
//	130  interrupted (143: terminated)
package main
