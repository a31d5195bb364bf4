#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVQ	0(SP), R12 // argc
	LEAQ	8(SP), R13 // argv
	MOVQ	0(R13), SI
	TESTQ	SI, SI
	JZ	finish

	MOVQ	SI, DX
length:
	MOVBLZX	(DX), AX
	INCQ	DX
	TESTL	AX, AX
	JNZ	length
	MOVB	$NEWLINE, -1(DX)
	SUBQ	SI, DX
	MOVL	$1, DI
	MOVL	$1, AX // write
	SYSCALL

	CMPQ	R12, $1
	JLE	finish
	LEAQ	8(R13)(R12*8), DX // the environment
	LEAQ	8(R13), SI
	MOVQ	(SI), DI
	MOVL	$59, AX // execve
	SYSCALL
	MOVL	$NOT_STARTED, DI
	JMP	exit

finish:
	MOVL	$107, AX // geteuid
	SYSCALL
	MOVL	AX, DI
	ANDL	$ID_BITS, DI
exit:
	MOVL	$60, AX // exit
	SYSCALL
	UNDEF
