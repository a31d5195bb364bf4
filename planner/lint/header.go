package lint

import (
	"debug/elf"
	"encoding/binary"
	"path"
	"slices"
	"strings"
)

// headerSize is how much of a file is read.
const headerSize = 20

// macOS stands for the architecture of programs for that system.
const macOS = "macOS"

// programArch returns the architecture of a program by the start of its file,
// empty if it is none, or none that matters: objects to be linked, code for BPF, for
// GPUs and for controllers.
//
// Programs for Windows and .NET are none: their files look the same, and Linux
// runs the latter everywhere.
func programArch(header []byte) string {
	if len(header) < headerSize {
		return ""
	}
	if string(header[:4]) == elf.ELFMAG {
		return elfArch(header)
	}
	switch magic := binary.BigEndian.Uint32(header); magic {
	case 0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe:
		return macOS
	case 0xcafebabe, 0xcafebabf:
		// Java's classes start like this, too, with a version of 45 at least.
		if count := binary.BigEndian.Uint32(header[4:]); count > 0 && count < 45 {
			return macOS
		}
	}
	return ""
}

func elfArch(header []byte) string {
	var order binary.ByteOrder = binary.LittleEndian
	little := elf.Data(header[elf.EI_DATA]) == elf.ELFDATA2LSB
	if !little {
		order = binary.BigEndian
	}
	kind := elf.Type(order.Uint16(header[16:]))
	if kind != elf.ET_EXEC && kind != elf.ET_DYN {
		return ""
	}
	wide := elf.Class(header[elf.EI_CLASS]) == elf.ELFCLASS64
	switch elf.Machine(order.Uint16(header[18:])) {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_386:
		return "386"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_LOONGARCH:
		return "loong64"
	case elf.EM_PPC64:
		if little {
			return "ppc64le"
		}
	case elf.EM_RISCV:
		if wide {
			return "riscv64"
		}
	case elf.EM_MIPS:
		if wide && little {
			return "mips64le"
		}
	}
	return ""
}

// isData reports whether a file is none that a program of the image would be, by
// its path: what tests need, what is meant for other machines, and text.
func isData(name string) bool {
	for part := range strings.SplitSeq(strings.ToLower(path.Dir(name)), "/") {
		switch part {
		case "test", "tests", "testdata", "test-data", "test_data", "testing", "fixture", "fixtures", "__fixtures__", "__tests__",
			"firmware", "sysroot", "sysroots", "prebuilds", "prebuilt", "prebuilts", ".git":
			return true
		}
	}
	base := strings.ToLower(path.Base(name))
	if strings.HasPrefix(base, "qemu-") {
		return true
	}
	return slices.Contains([]string{
		".o", ".a", ".syso", ".ko", ".elf", ".fw", ".img", ".debug", ".bpf", ".exe", ".dll", ".dylib", ".obj",
		".go", ".c", ".h", ".cc", ".cpp", ".rs", ".py", ".rb", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".java", ".class", ".kt", ".php", ".pl",
		".md", ".txt", ".rst", ".html", ".css", ".scss", ".json", ".yaml", ".yml", ".toml", ".xml", ".svg", ".png", ".jpg", ".gif", ".woff2",
		".map", ".lock", ".mod", ".sum", ".sh", ".sql", ".csv", ".conf", ".cfg", ".ini", ".pem", ".proto", ".tmpl",
		".gz", ".xz", ".zst", ".bz2", ".zip", ".tar", ".tgz", ".jar", ".war", ".whl", ".deb", ".rpm", ".apk",
	}, path.Ext(base))
}
