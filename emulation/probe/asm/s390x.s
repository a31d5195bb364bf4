#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVD	0(R15), R6 // argc
	MOVD	$8(R15), R7 // argv
	MOVD	0(R7), R3
	CMPBEQ	R3, $0, finish

	MOVD	R3, R4
length:
	MOVBZ	0(R4), R5
	ADD	$1, R4
	CMPBNE	R5, $0, length
	MOVD	$NEWLINE, R5
	MOVB	R5, -1(R4)
	SUB	R3, R4
	MOVD	$1, R2
	MOVD	$4, R1 // write
	SYSCALL

	CMPBLE	R6, $1, finish
	MOVD	$8(R7), R3
	SLD	$3, R6, R4
	ADD	R3, R4 // the environment
	MOVD	0(R3), R2
	MOVD	$11, R1 // execve
	SYSCALL
	MOVD	$NOT_STARTED, R2
	BR	exit

finish:
	MOVD	$201, R1 // geteuid
	SYSCALL
	AND	$ID_BITS, R2
exit:
	MOVD	$1, R1 // exit
	SYSCALL
	UNDEF
