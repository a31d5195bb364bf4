/*
 * Where the kernel enters QEMU once the stub is in it. The stack is the one that
 * the kernel made for QEMU, and QEMU gets it as it was.
 */
	.section .header, "ax"

/* The first bytes of the blob. Inject goes by them, and sets the distance. */
	.ascii	"MBSTUB01"
distance:				/* from here to QEMU's own entry */
	.quad	0

	.globl	_start
_start:
	xor	%ebp, %ebp		/* no frame above this one */
	mov	%rsp, %rbx		/* survives the call */
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	dispatch
	mov	%rbx, %rsp
	xor	%ebx, %ebx
	xor	%edx, %edx		/* System V ABI: no function for atexit */
	lea	distance(%rip), %rax
	add	distance(%rip), %rax
	jmp	*%rax

	.section .note.GNU-stack, "", @progbits
