#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOV	0(X2), X8 // argc
	ADD	$8, X2, X9 // argv
	MOV	0(X9), X11
	BEQZ	X11, finish

	MOV	X11, X12
length:
	MOVBU	0(X12), X13
	ADD	$1, X12
	BNEZ	X13, length
	MOV	$NEWLINE, X13
	MOVB	X13, -1(X12)
	SUB	X11, X12
	MOV	$1, X10
	MOV	$64, X17 // write
	ECALL

	MOV	$1, X13
	BGE	X13, X8, finish
	ADD	$8, X9, X11
	SLL	$3, X8, X12
	ADD	X11, X12 // the environment
	MOV	0(X11), X10
	MOV	$221, X17 // execve
	ECALL
	MOV	$NOT_STARTED, X10
	JMP	exit

finish:
	MOV	$175, X17 // geteuid
	ECALL
	AND	$ID_BITS, X10
exit:
	MOV	$93, X17 // exit
	ECALL
	WORD	$0 // undefined
