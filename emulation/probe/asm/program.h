// The program that package probe runs for every architecture, one source each,
// all with the same shape and no stack, data or relocations of their own:
//
//	write(1, argv[0] and a newline)
//	if argc > 1: execve(argv[1], argv + 1, environment), and
//	             exit(NOT_STARTED) when that fails
//	exit(geteuid() & ID_BITS)
//
// Linux starts a program with argc at the stack pointer and argv behind it,
// then NULL and the environment. The newline takes the place of the NUL at the
// end of argv[0], so that one write does it. An empty argv, which kernels
// before 5.18 allow, prints nothing.

#include "textflag.h"

#define NEWLINE 10
#define NOT_STARTED 125
#define ID_BITS 0x7f
