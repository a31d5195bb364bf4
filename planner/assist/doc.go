// Package assist gives emulated commands native tools where that cannot change
// what they make.
//
// Under an emulator a compiler is five to twenty times slower than natively. But
// the kernel starts the builder's own programs in a foreign root file system just
// as well. So for every emulated RUN whose stage descends from an image that a
// [Recipe] knows, read-only mounts put the same tools from the native image of the
// same index over the target's:
//
//	result, err := assist.Plan(ctx, plan, assist.Options{
//		Dockerfile: text, Resolver: resolver, Content: registry, Cache: dir, Context: ".",
//	})
//	for _, step := range result.Steps {
//		fmt.Println(step.Line, step.Recipe, step.Reason, step.Note)
//	}
//	edit, err := result.Apply("linux/arm64") // edit.Text, edit.Contexts
//
// It needs nothing of the engine but named contexts (docker/dockerfile 1.4), so it
// works on any BuildKit. A stock BuildKit without a handler in the kernel is an
// exception, see Options.Kernel.
//
// # What is sent
//
// [Result.Apply] returns the Dockerfile for one job. No line moves: mounts are put
// behind the keyword of RUN, on the same line. Errors and progress keep their
// lines. Before it is returned, the text is parsed again and compared: all other
// instructions, and all else about the edited ones, mean what they meant. BuildKit
// names steps by their text; [StepName] gives the name without the mounts. A step
// of a file with one stage is called [build 2/3] instead of [2/3], since the named
// context counts as a stage.
//
// A job gets mounts in the steps that it emulates. The job of the builder's own
// platform usually gets the original file. Steps that several jobs share stay
// shared: a native step gets no mount in any job, so that its digest is the same;
// an emulated step that several jobs need gets the same mounts in all of them.
// The cache of an assisted step is another one than that of the plain step. What
// follows a step by COPY is found by content again.
//
// The edited text, and the images behind the named contexts, are what provenance
// shows: what was really built.
//
// # What keeps it honest
//
//   - Nothing lands in the image: mounts are no part of a snapshot, they are
//     read-only, and the mountpoint has to exist in the target, so that BuildKit
//     makes none. COPY --from of the directory gets the target's own files.
//   - Both images come from one index, and what they really have is compared:
//     their layers are read from the top until everything is found, each to its
//     end, since its digest is known to be right only then. That takes a download
//     of those layers (for golang one, about 70 MB each) the first time that a
//     pair is seen; after that the answer, which cannot change, is in the cache.
//   - All commands of the stage before are looked at, and COPY and ADD. What could
//     change the tools, or show that they are others, ends the assistance.
//   - What cannot be read in advance (make, scripts) is assisted, with a note. The
//     check of the finished image (builder/verify) is what catches a script that
//     copies the tools: a program of the builder's in a layer of another platform.
//
// Options of a RUN that don't concern files (--network, --security) and USER make no
// difference. ONBUILD of a base can't be edited; a here-document can.
//
// # Recipe go, on by default
//
//	image    GOLANG_VERSION in the environment, the same release in both
//	mount    /usr/local/go/pkg/tool/linux_TARGET from …/linux_NATIVE: compile, link,
//	         asm, cgo, cover, vet and, before Go 1.25, some more
//	proof    VERSION equal, byte for byte, and what the configuration says; the same
//	         names in both directories; each a program of its platform; the native
//	         ones static; built with the same settings and without GO_LDSO, the
//	         loader that a linker built on Alpine uses for its own machine only
//
// The go command stays emulated, mostly. It passes the target to its tools in GOARCH, and
// runs everything else (C compilers for cgo, tests, generators, tools that it
// builds itself) as before. The tools of a release make the same output whichever
// machine they run on, and their part of the cache keys is the version alone, so
// that build caches can be shared with plain builds; of a development version
// neither is true, hence it is refused. A Go that a script replaces unseen is no
// danger: the go command passes its version to the compiler, which insists on it.
//
// One trace is left, in the stage that compiles: Go counts how often its tools are
// started, in files below ~/.config/go/telemetry/local that have a tool's platform
// and the date in their names. They are statistics, and no two builds have the same.
//
// The go command itself is native, if that needs no loader, where every command of
// the RUN is known not to care about its platform:
//
//	go mod download, verify      what is fetched, unpacked and hashed is the same
//	go build                     with CGO_ENABLED=0 before it, or in ENV, and plain flags;
//	                             its tools then come from the native directory, and a
//	                             line with GOARCH in go.env says what to build for
//	git, mkdir, cp, test, …      programs that do not call go, under QEMU as ever
//
// The file go.env is that of the image with the line at its end. It comes as a mount
// of type secret, since a session brings no other files, and an older BuildKit knows
// them, too; a setting in the environment goes before it, as always. The default of
// GOARM, GOARM64 and the like has to be the same in both images. go install (another
// directory when it crosses), go test, run, generate, env and vet, and cgo keep the
// emulated command.
//
// Commands get the tools if they call go, or something that may: make and the
// like, scripts, commands from variables. The mount would be harmless for others,
// but would change their cache keys for nothing.
//
//	not assisted                                       because
//	GOROOT, GOTOOLDIR, GOTOOLCHAIN=go1.x set           other tools would be called
//	go.mod or go.work asks for a newer Go              it is downloaded and runs emulated
//	-toolexec                                          the tools are handed to somebody
//	$(go env GOTOOLDIR)/compile, pkg/tool              without the go command, tools work
//	                                                   for the machine that they run on
//	cp, tar, rm … on /usr/local/go or what it is in    would copy native tools, or fail
//	go install cmd/…, std; make.bash                   writes to the directory
//	go tool dist, go get toolchain@…                   describes or changes the toolchain
//	COPY, ADD to /usr/local/go or what it is in        the proof is about other files
//	a mount there                                      hides the tools
//
// Using /usr/local/go/{bin,lib,misc,src} is fine, for example for wasm_exec.js.
//
// # Recipe java, opt-in
//
// The JDK of the native image (JAVA_HOME, the same JAVA_VERSION and release file,
// the same files but for native libraries, the same links out of it) for commands
// that are only javac, jar, mvn, gradle or ant, beside file tools (mkdir, cp, find,
// …) that do not reach into the JDK. Any other program in the same RUN (java,
// javadoc, make, a script, a package manager) leaves it to QEMU. For mvn, gradle and
// ant the project's build files are searched for what chooses by the machine
// (os.arch, os-maven-plugin, JavaFX, …).
//
// Unlike Go's tools, a JDK needs a loader and libraries that a foreign image does not
// have: BuildKit makes these mountpoints for the time of the command and removes
// them; the layer has no trace. It is not on by default because os.arch is the
// builder's, which plugins can ask for unseen. Images with Debian's library
// directories only.
//
// # Adding a recipe
//
// One file with a type that has Name, Find and Judge, and its name in Parse. Find
// says what to mount by the configurations of the two images, Kit.Prove compares
// what they really have, Judge looks at a command.
//
// # What it does not do
//
// It runs nothing and changes no engine. A tool that a RUN installs itself cannot
// be mounted over. [CompareTars] is the proof by result: build both ways, compare.
package assist
