package parity

import (
	"strings"
)

// Case is one command line and what is compared after it was run by each program.
type Case struct {
	// Section is the heading that the case is under.
	Section string
	// Args is the command line behind `buildx build` and `mabuild`: words, separated
	// by blanks. Words in braces are places of the program that runs it, see [Lab].
	Args string
	// Files are what is in the working directory. A name that ends in .tar is an
	// archive of the files whose names continue it: a.tar/Dockerfile.
	Files map[string]string
	// Env is added to the environment, NAME=VALUE with places.
	Env []string
	// Stdin is the file that is standard input. Empty: there is none.
	Stdin string
	// Before is a command line that the same program runs first, with success.
	Before string
	// Prune empties the daemon's cache behind Before. Such cases run alone.
	Prune bool
	// Fails is buildx's exit code. A case whose programs fail without it is a mistake.
	Fails int
	// Look is what is compared beside exit codes, see [Looks].
	Look []string
	// Times compares times as well. Without it they are left out: programs run one
	// after the other.
	Times bool
	// Differs are the differences that there have to be.
	Differs []Difference
	// Note is why the case is as it is, for readers of the table. Optional.
	Note string
}

// Difference is a documented one: facts that are not the same, and why.
type Difference struct {
	// Fact is the name of the facts; a * is any text.
	Fact string
	// Buildx and Mabuild are the values; a * is any text, "-" is a fact that is missing.
	Buildx, Mabuild string
	// Reason is one of [Reasons].
	Reason Reason
}

// Looks are the words that a Look of a [Case] begins with, and what they compare. A
// place follows them: a reference, a file, a directory, or - for standard output.
func Looks() map[string]string {
	return map[string]string{
		"image":  "an image in a registry: the index and the order of its entries, manifests, annotations, layers, configurations and attestations",
		"oci":    "the same of an OCI layout, a directory or an archive",
		"docker": "the same of an archive for docker load, and its manifest.json",
		"files":  "a directory: names, modes and contents",
		"tar":    "an archive: names, kinds, modes, owners and contents",
		"json":   "a JSON file: its keys and values",
		"text":   "a file or standard output, word by word",
		"fresh":  "whether a file is another one than Before made: the step ran again",
		"cache":  "whether there is a cache",
		"kept":   "whether the image store of the program has an image",
	}
}

// matches reports whether text has the form of a pattern in which * is any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, found := strings.CutPrefix(text, parts[0])
	if !found {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		if _, rest, found = strings.Cut(rest, part); !found {
			return false
		}
	}
	return strings.HasSuffix(rest, last)
}
