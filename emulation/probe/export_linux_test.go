package probe

import "github.com/mabuild/mabuild/emulation"

var LargestRange = largestRange

// NewBench puts the programs of an architecture in place.
func NewBench(parent string, arch emulation.Arch) (dir string, other uint32, remove func(), err error) {
	b, err := newBench(parent)
	if err == nil {
		err = b.install(arch)
	}
	if err != nil {
		return "", 0, nil, err
	}
	return b.dir, b.other, b.close, nil
}
