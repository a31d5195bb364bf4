#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVV	0(R3), R23 // argc
	ADDV	$8, R3, R24 // argv
	MOVV	0(R24), R5
	BEQ	R5, finish

	MOVV	R5, R6
length:
	MOVBU	0(R6), R7
	ADDV	$1, R6
	BNE	R7, length
	MOVV	$NEWLINE, R7
	MOVB	R7, -1(R6)
	SUBV	R5, R6
	MOVV	$1, R4
	MOVV	$64, R11 // write
	SYSCALL

	MOVV	$1, R7
	BGE	R7, R23, finish
	ADDV	$8, R24, R5
	SLLV	$3, R23, R6
	ADDV	R5, R6 // the environment
	MOVV	0(R5), R4
	MOVV	$221, R11 // execve
	SYSCALL
	MOVV	$NOT_STARTED, R4
	JMP	exit

finish:
	MOVV	$175, R11 // geteuid
	SYSCALL
	AND	$ID_BITS, R4
exit:
	MOVV	$93, R11 // exit
	SYSCALL
	BREAK
