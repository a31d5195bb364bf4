// Package header reads what an ELF file says about the machine that it is for.
//
// It reads forward only, from a stream: the file header, the program headers, the
// name of the interpreter, and two notes that tell more than the machine does: the
// x86-64 level that the code needs (.note.gnu.property) and the version of the ARM
// architecture (.ARM.attributes). The file is never held; what a file claims about
// itself bounds nothing that is allocated.
package header
