// Package toolbox makes, checks and keeps the native tools that emulated steps are
// given in place of the target's own.
//
// A program of the target is known by its GNU build-id. For some of them a toolbox
// has a native program that writes the same bytes; the stub of package dispatch
// executes that instead of having QEMU translate the other one. Which programs these
// may be is the policy, one table in policy.go; which native program is the same is
// found by the twin rule; no list of build-ids is written by hand.
//
// # From a base to a step
//
//	wanted, _ := toolbox.Detect(readFile)                      // trixie-base, trixie, go1.26.8, or why none
//	text, _ := toolbox.Recipe{Suite: "trixie", Base: "debian:trixie-slim@sha256:…",
//		Platform: "linux/arm64", Host: "amd64"}.Dockerfile()   // built by BuildKit, natively
//	…  RUN mabuild toolbox layout …                             // Layout or LayoutGo, in that build
//	store := toolbox.Open(dir)
//	store.Install(ctx, tar, "")                                // what the build exports
//	view, _ := store.View("arm64", false)                      // mounted at /dev/.mabuild, before or after
//	defer view.Release()
//
// The build takes the image that the user's own step runs on, for the host and for
// the target. Of the target's nothing is executed, its files are read. An image is
// older than the archive that it was made from, and a tool goes with the libraries of
// one of them alone, so there are up to three toolboxes of a release with slots of
// their own:
//
//	trixie-base     what the image brings, with the libraries of the untouched native
//	                image: seconds, without a network. Another image wants another one
//	                ([Store.Missing]).
//	trixie          what the archive has by now, and the compilers: those that cross are
//	                installed on the native image, which that upgrades in part, and the
//	                target's own packages are downloaded
//	trixie-install  the compilers again, installed on the native image without any
//	                upgrade, as steps do that begin with the image. It is made where the
//	                archive has another version of a library that they load: after every
//	                security update of zlib, until the image is made anew
//
// What cannot be had is left out, and the toolbox says so.
//
// # Classes
//
// The tools of class proven are on where nothing else is said. Those of class optin
// must be asked for, and are only in toolboxes that were made for somebody who did: they
// are as large as all others. The table says what some of them wait for. What is never
// native, and why, is in the table as well.
//
// # The twin rule
//
//	package       the same name, or before Debian 13 the name with the triplet for the
//	              compiler's: cpp-12 and cpp-12-aarch64-linux-gnu
//	source        the same name without -cross and -cross-ports
//	version       the same of the source, without crossN and +bN
//	Built-Using   of a cross compiler, if it says so, that same version
//	file          the same path, /gcc-cross/ for /gcc/
//
// So Debian 13's compiler has a twin (14.2.0-19 and 14.2.0-19cross1), and Debian
// 12's has none (12.2.0-14+deb12u1 and 12.2.0-14cross1): its cross compiler lacks a fix
// of code generation. Refusals are in the toolbox, with both versions and the reason.
//
// A build-id says nothing of the libraries that a program loads. The libraries of a
// tool, but for libc, are looked up in the target's packages, and the stub compares
// them with those of the step's root file system (the closure).
//
// # What is written into the programs
//
//	all        the loader's name: /dev/.mabuild/t/ld.so
//	ld.so      its directories and files: /dev/.mabuild/t/lib/x/ and so on, each as long
//	           as what was there
//	cc1(plus)  the directories of headers; after that both compilers must have the
//	           same list of them
//	libbfd     the directory of plugins: the toolbox has the LTO plugin of its compiler
//
// The character t is the suite's slot: toolboxes of several suites are side by side
// in one view, an image's and its archive's too. Go's tools are linked statically and
// stay as they are.
//
// # Limits
//
// A program can be the same in general and another with some arguments or variables.
// Lines of the policy have limits for that (limits.go, with the reasons): in a view
// they are the tool's rules, which the stub keeps to. A compiler is emulated with
//
//	--output-pch, -Winvalid-pch, -fpch-…, -include of a header with a .gch beside it
//	-fmodule…
//	-fopenmp, -fopenacc, -foffload=…, -foffload-abi…
//	-march=native, -mcpu=native, -mtune=native
//	-iprefix, -iwithprefix, -isysroot; GCC_EXEC_PREFIX, GCC_ROOT, G++_ROOT, BINUTILS_ROOT
//	-fplugin, -specs (the stub's own rule)
//
// the archiver and its like where Clang's or another plugin is in libbfd's directories;
// the linker and they where -plugin is not the one that the toolbox's is the twin of; and
// one of Go's tools without GOARCH in the environment, for which it compiles for the
// machine that it runs on. The go command always sets it.
//
// Interpreters that were asked for are emulated unless the script that they are started
// with is by its name one of these, behind options that are known and have no operand:
//
//	python3.X  -m compileall, -m py_compile, and the files of these modules; not with -j,
//	           PYTHONPATH, PYTHONHOME, PYTHONPLATLIBDIR
//	node       tsc, terser; not with NODE_OPTIONS, NODE_V8_COVERAGE, NODE_COMPILE_CACHE
//
// Python's bytecode is the same: compared were the 598 modules of Debian 13's and the 544
// of Debian 12's by -m, and some 220 of them by the file. What a module is loaded with
// could change the flags of references in it, and natively the same modules are loaded.
// What python does before the script, as lines of .pth files have it, it does natively.
//
// Precompiled headers belong to one compiler, by a checksum of it. A native compiler
// ignores one that QEMU has made: it reads the header itself and writes the same code,
// but warns with -Winvalid-pch, and -MD then lists the header, which it else does not.
// So compilers that make or use one are emulated where the arguments show it, as those
// of CMake and Meson do. An #include that finds a .gch cannot be seen: it is ignored.
//
// Variables with directories that are read by the compiler itself (CPATH,
// C_INCLUDE_PATH, CPLUS_INCLUDE_PATH, OBJC_INCLUDE_PATH, DEPENDENCIES_OUTPUT) mean the
// same natively, and those of the driver (COMPILER_PATH, LIBRARY_PATH) are read by the
// driver, which is emulated.
//
// # What stays different
//
// Go counts the starts of its tools in files below ~/.config/go/telemetry/local; their
// names have the platform, so these say linux-amd64. They are statistics, and no two
// builds have the same.
//
// # On disk
//
// A toolbox is a directory with box.json and one directory named by the slot. The
// box.json lists every file with mode, size and sha256, so its own sha256 is the
// toolbox's digest; equal packages give an equal digest, whenever and wherever. All
// times are zero. [Store] has the layout of the engine's directory. What comes from a
// build is checked file by file before it gets a name; later, a file that was written
// to is noticed by its size, mode or time, and the view is not used.
//
// A view is all toolboxes of an architecture, those for images first, else the newest; a
// tool joins it if all that it needs is there with the bytes that it was made with. A
// view is there before any toolbox is, and only grows: a step that has it mounted finds
// what is installed while it runs. First come the files of a tool, then the directory of
// its build-id by one rename, so a lookup finds a whole tool or none. A toolbox that
// does not go with what is there makes another view, for the steps to come. Today's
// policy is asked again for every tool, and its limits are the view's: a tool which it
// has stopped to trust is in no view, and one that it limits is limited in all, however
// old the toolbox.
//
// # What this package does not do
//
// It starts no build, mounts nothing and runs no tool. It is for hosts that package
// dispatch has a stub for.
package toolbox
