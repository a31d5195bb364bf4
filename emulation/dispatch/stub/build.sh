#!/bin/sh
# Builds the stub into DIRECTORY: sh build.sh DIRECTORY. The bytes depend on the
# compiler and the linker alone; stub_amd64.txt says which ones they were.
set -eu
export LC_ALL=C
here=$(dirname "$0")
out=$1
cc=${CC:-gcc}
object=$out/stub_amd64.elf

# -mgeneral-regs-only: QEMU finds the vector registers as the kernel left them.
# -fno-tree-loop-distribute-patterns: there is no memcpy to call.
"$cc" -std=c11 -Os -Wall -Wextra -ffreestanding -fPIE -fvisibility=hidden \
	-mgeneral-regs-only -fcf-protection=none -fno-stack-protector -fno-stack-clash-protection \
	-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
	-nostdlib -static -Wl,-T,"$here/stub.ld" -Wl,--build-id=none -Wl,-z,noexecstack \
	-o "$object" "$here/entry_amd64.S" "$here/stub.c"
objcopy -O binary "$object" "$out/stub_amd64.bin"
rm "$object"
{
	"$cc" --version | head -n 1
	"$cc" -Wl,--version 2>/dev/null | head -n 1
} >"$out/stub_amd64.txt"
