package dispatch_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/probe"
)

// Every QEMU of this machine says and does with the stub what it does without.
func TestEveryQEMU(t *testing.T) {
	if !dispatch.Supported() {
		t.Skip("the stub is for Linux on amd64")
	}
	qemus, err := filepath.Glob("/usr/bin/qemu-*-static")
	if err != nil {
		t.Fatal(err)
	}
	if len(qemus) == 0 {
		emulationtest.Unavailable(t, "there is no /usr/bin/qemu-*-static; install qemu-user-static")
	}
	programs := make(map[string][]byte)
	for _, arch := range emulation.Arches() {
		programs["qemu-"+arch.Name+"-static"] = probe.Program(arch)
	}
	for _, path := range qemus {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if dest, err := filepath.EvalSymlinks(path); err == nil {
				path = dest
			}
			with := injected(t, path)
			run := func(args ...string) (plain, stub []byte) {
				t.Helper()
				for i, qemu := range []string{path, with} {
					cmd := exec.CommandContext(t.Context(), qemu, args...)
					cmd.Args[0] = "qemu"
					out, err := cmd.CombinedOutput()
					if err != nil && cmd.ProcessState.ExitCode() < 0 {
						t.Fatalf("%s %q: %v", qemu, args, err)
					}
					if i == 0 {
						plain = out
					} else {
						stub = out
					}
				}
				return plain, stub
			}
			if plain, stub := run("--version"); !bytes.Equal(plain, stub) || !bytes.Contains(stub, []byte("version")) {
				t.Errorf("--version: %q without the stub, %q with", plain, stub)
			}
			text := programs[filepath.Base(path)]
			if text == nil {
				return
			}
			file := filepath.Join(t.TempDir(), "program")
			writeFile(t, file, text, 0o755)
			if plain, stub := run("-0", "by hand", file); !bytes.Equal(plain, stub) || string(stub) != "by hand\n" {
				t.Errorf("a program: %q without the stub, %q with", plain, stub)
			}
		})
	}
}

// Programs of every architecture are found by their build-ids: ELF files of both
// classes and byte orders.
func TestEveryArchitecture(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	native, err := emulation.ParseArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range emulationtest.Foreign(t) {
		t.Run(arch.Name, func(t *testing.T) {
			path, err := arch.FindQEMU()
			if err != nil {
				t.Fatal(err)
			}
			register(t, table, arch.Handler(injected(t, path)))
			b := newBox(t)
			b.write(t, tool("probe"), probe.Program(native), 0o755)
			for id, want := range map[string]dispatch.Kind{
				knownID: dispatch.Native, unknownID: dispatch.Unknown, "": dispatch.NoBuildID,
			} {
				b.write(t, "/probe", withBuildID(t, arch, id), 0o755)
				out, err := b.command(t, "/probe", "it", "/probe").CombinedOutput() // it executes itself
				if err != nil || string(out) != "it\n/probe\n" {
					t.Errorf("%s: %q, %v", want, out, err)
				}
				// A native program executes the foreign one, which is native again.
				if got := b.kinds(t); !slices.Equal(got, []dispatch.Kind{want, want}) {
					t.Errorf("with the build-id %q: %v, want %s", id, got, want)
				}
			}
		})
	}
}

// withBuildID returns the probe's program for the architecture with the build-id
// in a note behind another one; without notes for "".
func withBuildID(t testing.TB, arch emulation.Arch, id string) []byte {
	t.Helper()
	file := bytes.Clone(probe.Program(arch))
	if id == "" {
		return file
	}
	return addNotes(file, note(file, 1, "GNU", make([]byte, 16)), note(file, 3, "Go", unhex(t, id)),
		note(file, 3, "GNU", unhex(t, id)))
}

func byteOrder(file []byte) binary.ByteOrder {
	if file[5] == 2 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// note makes an ELF note. A name is padded, as is a description.
func note(file []byte, kind uint32, name string, description []byte) []byte {
	order := byteOrder(file)
	out := make([]byte, 12)
	order.PutUint32(out, uint32(len(name)+1))
	order.PutUint32(out[4:], uint32(len(description)))
	order.PutUint32(out[8:], kind)
	for _, part := range [][]byte{append([]byte(name), 0), description} {
		out = append(out, part...)
		out = append(out, make([]byte, -len(part)&3)...)
	}
	return out
}

// addNotes gives the ELF file a PT_NOTE with the notes. Its program headers move
// to the end.
func addNotes(file []byte, notes ...[]byte) []byte {
	order := byteOrder(file)
	file, all := bytes.Clone(file), bytes.Join(notes, nil)
	if file[4] == 1 { // 32 bits
		table, count := order.Uint32(file[28:]), order.Uint16(file[44:])
		headers := bytes.Clone(file[table : table+32*uint32(count)])
		header := make([]byte, 32)
		order.PutUint32(header, 4)
		order.PutUint32(header[16:], uint32(len(all)))
		file = append(file, make([]byte, -len(file)&7)...)
		order.PutUint32(header[4:], uint32(len(file)))
		file = append(file, all...)
		order.PutUint32(file[28:], uint32(len(file)))
		order.PutUint16(file[44:], count+1)
		return append(append(file, headers...), header...)
	}
	table, count := order.Uint64(file[32:]), order.Uint16(file[56:])
	headers := bytes.Clone(file[table : table+56*uint64(count)])
	header := make([]byte, 56)
	order.PutUint32(header, 4)
	order.PutUint64(header[32:], uint64(len(all)))
	file = append(file, make([]byte, -len(file)&7)...)
	order.PutUint64(header[8:], uint64(len(file)))
	file = append(file, all...)
	file = append(file, make([]byte, -len(file)&7)...)
	order.PutUint64(file[32:], uint64(len(file)))
	order.PutUint16(file[56:], count+1)
	return append(append(file, headers...), header...)
}

// Whatever a file says of itself, QEMU gets it.
func TestMalformedPrograms(t *testing.T) {
	inBox(t, func(t *testing.T, b box) {
		arch, path := qemu(t, "arm64")
		plain, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b.write(t, "/qemu", plain, 0o755)
		id := unhex(t, knownID)
		base := bytes.Clone(probe.Program(arch))
		good := addNotes(base, note(base, 3, "GNU", id))
		table := int(binary.LittleEndian.Uint64(good[32:]))
		header := table + 56*int(binary.LittleEndian.Uint16(good[56:])-1)
		notes := int(binary.LittleEndian.Uint64(good[header+8:]))
		huge := bytes.Repeat([]byte{0xff}, 8)
		far := append(bytes.Clone(base), make([]byte, 8192)...)
		for name, test := range map[string]struct {
			file []byte
			want dispatch.Kind
		}{
			"good":               {good, dispatch.Native},
			"short id":           {addNotes(base, note(base, 3, "GNU", id[:7])), dispatch.NoBuildID},
			"id of 8 bytes":      {addNotes(base, note(base, 3, "GNU", id[:8])), dispatch.Unknown},
			"id of 32 bytes":     {addNotes(base, note(base, 3, "GNU", make([]byte, 32))), dispatch.Unknown},
			"long id":            {addNotes(base, note(base, 3, "GNU", make([]byte, 33))), dispatch.NoBuildID},
			"another owner":      {addNotes(base, note(base, 3, "GNV", id)), dispatch.NoBuildID},
			"no notes at all":    {addNotes(base), dispatch.NoBuildID},
			"many notes":         {addNotes(base, make([]byte, 4096)), dispatch.NoBuildID},
			"name size":          {edit(good, notes, huge[:4]...), dispatch.NoBuildID},
			"id size":            {edit(good, notes+4, huge[:4]...), dispatch.NoBuildID},
			"both sizes":         {edit(good, notes, huge...), dispatch.NoBuildID},
			"notes far away":     {edit(good, header+8, huge...), dispatch.NoBuildID},
			"negative offset":    {edit(good, header+8, 0, 0, 0, 0, 0, 0, 0, 0x80), dispatch.NoBuildID},
			"huge notes":         {edit(good, header+32, huge...), dispatch.Native}, // as the kernel, as far as they go
			"notes at the end":   {edit(good, header+8, byte(len(good)), byte(len(good)>>8)), dispatch.NoBuildID},
			"headers beyond 4 k": {addNotes(far, note(base, 3, "GNU", id)), dispatch.NoBuildID},
			"headers far away":   {edit(good, 32, 0, 0, 0, 0x10), dispatch.NoBuildID},
			"many headers":       {edit(good, 56, 0xff, 0xff), dispatch.NoBuildID},
			"size of headers":    {edit(good, 54, 1), dispatch.NoBuildID},
			"cut off":            {good[:40], dispatch.NoBuildID},
			"only a header":      {good[:64], dispatch.NoBuildID},
		} {
			t.Run(name, func(t *testing.T) {
				b.write(t, "/file", test.file, 0o755)
				b.remove(t, tool(dispatch.AnyName))
				native, err := emulation.ParseArch("amd64")
				if err != nil {
					t.Fatal(err)
				}
				b.write(t, tool(dispatch.AnyName), probe.Program(native), 0o755)
				got, err := output(b.command(t, "/file", "/file"))
				want, plainErr := output(b.command(t, "/qemu", filepath.Base(path), "/file")) // it names itself
				if !bytes.Equal(got, want) || code(err) != code(plainErr) {
					t.Errorf("%q, %v; with QEMU alone %q, %v", got, err, want, plainErr)
				}
				if kinds := b.kinds(t); !slices.Equal(kinds, []dispatch.Kind{test.want}) {
					t.Errorf("kinds %v, want %s", kinds, test.want)
				}
			})
		}
	})
}

// output runs a command, but not for long: some files hang some QEMUs.
func output(cmd *exec.Cmd) (out []byte, err error) {
	var buffer bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buffer, &buffer
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	err = cmd.Wait()
	return buffer.Bytes(), err
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
