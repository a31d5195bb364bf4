#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVV	0(R29), R16 // argc
	ADDV	$8, R29, R17 // argv
	MOVV	0(R17), R5
	BEQ	R5, finish

	MOVV	R5, R6
length:
	MOVBU	0(R6), R8
	ADDV	$1, R6
	BNE	R8, length
	MOVV	$NEWLINE, R8
	MOVB	R8, -1(R6)
	SUBV	R5, R6
	MOVV	$1, R4
	MOVV	$5001, R2 // write
	SYSCALL

	SUBV	$1, R16, R8
	BLEZ	R8, finish
	ADDV	$8, R17, R5
	SLLV	$3, R16, R6
	ADDV	R5, R6 // the environment
	MOVV	0(R5), R4
	MOVV	$5057, R2 // execve
	SYSCALL
	MOVV	$NOT_STARTED, R4
	JMP	exit

finish:
	MOVV	$5105, R2 // geteuid
	SYSCALL
	AND	$ID_BITS, R2, R4
exit:
	MOVV	$5058, R2 // exit
	SYSCALL
	BREAK
