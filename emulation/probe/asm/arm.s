#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVW	0(R13), R4 // argc
	ADD	$4, R13, R5 // argv
	MOVW	(R5), R1
	CMP	$0, R1
	BEQ	finish

	MOVW	R1, R2
length:
	MOVBU	(R2), R3
	ADD	$1, R2
	CMP	$0, R3
	BNE	length
	MOVW	$NEWLINE, R3
	MOVB	R3, -1(R2)
	SUB	R1, R2
	MOVW	$1, R0
	MOVW	$4, R7 // write
	SWI	$0

	CMP	$1, R4
	BLE	finish
	ADD	$4, R5, R1
	ADD	R4<<2, R1, R2 // the environment
	MOVW	(R1), R0
	MOVW	$11, R7 // execve
	SWI	$0
	MOVW	$NOT_STARTED, R0
	B	exit

finish:
	MOVW	$201, R7 // geteuid32
	SWI	$0
	AND	$ID_BITS, R0
exit:
	MOVW	$1, R7 // exit
	SWI	$0
	WORD	$0xe7f000f0 // undefined
