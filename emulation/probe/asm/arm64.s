#include "program.h"

TEXT program(SB), NOSPLIT|NOFRAME, $0
	MOVD	0(RSP), R19 // argc
	ADD	$8, RSP, R20 // argv
	MOVD	(R20), R1
	CBZ	R1, finish

	MOVD	R1, R2
length:
	MOVBU	(R2), R3
	ADD	$1, R2
	CBNZ	R3, length
	MOVD	$NEWLINE, R3
	MOVB	R3, -1(R2)
	SUB	R1, R2
	MOVD	$1, R0
	MOVD	$64, R8 // write
	SVC

	CMP	$1, R19
	BLE	finish
	ADD	$8, R20, R1
	ADD	R19<<3, R1, R2 // the environment
	MOVD	(R1), R0
	MOVD	$221, R8 // execve
	SVC
	MOVD	$NOT_STARTED, R0
	B	exit

finish:
	MOVD	$175, R8 // geteuid
	SVC
	AND	$ID_BITS, R0
exit:
	MOVD	$93, R8 // exit
	SVC
	UNDEF
