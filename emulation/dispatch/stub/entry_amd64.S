/*
 * Where the kernel enters QEMU once the stub is in it. The stack is the one that
 * the kernel made for QEMU, and QEMU gets it as it was, or with one option more.
 */
	.section .header, "ax"

/* The first bytes of the blob. Inject goes by them, and sets both numbers. */
	.ascii	"MBSTUB01"
distance:				/* from here to QEMU's own entry */
	.long	0
processor:				/* whether QEMU is told which it emulates: 1 */
	.long	0

	.globl	_start
_start:
	xor	%ebp, %ebp		/* no frame above this one */
	mov	%rsp, %rbx		/* survives the call */
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	dispatch
	mov	%rbx, %rsp
	test	%al, %al
	jz	1f
	cmpl	$0, processor(%rip)
	je	1f
	/* argc and argv[0] move down, for two arguments behind them. */
	mov	(%rsp), %rax
	mov	8(%rsp), %rcx
	lea	option(%rip), %rdx
	mov	%rdx, (%rsp)
	lea	model(%rip), %rdx
	mov	%rdx, 8(%rsp)
	add	$2, %rax
	push	%rcx
	push	%rax
1:
	xor	%ebx, %ebx
	xor	%edx, %edx		/* System V ABI: no function for atexit */
	lea	distance(%rip), %rax
	movslq	distance(%rip), %rcx
	add	%rcx, %rax
	jmp	*%rax

option:	.asciz	"-cpu"
model:	.asciz	"max,pauth-impdef=on"

	.section .note.GNU-stack, "", @progbits
