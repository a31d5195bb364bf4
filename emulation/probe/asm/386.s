#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVL	0(SP), SI // argc
	LEAL	4(SP), DI // argv
	MOVL	0(DI), CX
	TESTL	CX, CX
	JZ	finish

	MOVL	CX, DX
length:
	MOVBLZX	(DX), AX
	INCL	DX
	TESTL	AX, AX
	JNZ	length
	MOVB	$NEWLINE, -1(DX)
	SUBL	CX, DX
	MOVL	$1, BX
	MOVL	$4, AX // write
	INT	$0x80

	CMPL	SI, $1
	JLE	finish
	LEAL	4(DI)(SI*4), DX // the environment
	LEAL	4(DI), CX
	MOVL	(CX), BX
	MOVL	$11, AX // execve
	INT	$0x80
	MOVL	$NOT_STARTED, BX
	JMP	exit

finish:
	MOVL	$201, AX // geteuid32
	INT	$0x80
	MOVL	AX, BX
	ANDL	$ID_BITS, BX
exit:
	MOVL	$1, AX // exit
	INT	$0x80
	UNDEF
