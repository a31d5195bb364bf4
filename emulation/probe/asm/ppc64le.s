#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVD	0(R1), R14 // argc
	ADD	$8, R1, R15 // argv
	MOVD	0(R15), R4
	CMP	R4, $0
	BEQ	finish

	MOVD	R4, R5
length:
	MOVBZ	0(R5), R6
	ADD	$1, R5
	CMP	R6, $0
	BNE	length
	MOVD	$NEWLINE, R6
	MOVB	R6, -1(R5)
	SUB	R4, R5
	MOVD	$1, R3
	SYSCALL	$4 // write

	CMP	R14, $1
	BLE	finish
	ADD	$8, R15, R4
	SLD	$3, R14, R5
	ADD	R4, R5 // the environment
	MOVD	0(R4), R3
	SYSCALL	$11 // execve
	MOVD	$NOT_STARTED, R3
	BR	exit

finish:
	SYSCALL	$49 // geteuid
	ANDCC	$ID_BITS, R3
exit:
	SYSCALL	$1 // exit
	UNDEF
