/* With what a program is emulated although there is a tool: what counts for all. */

/* How the program was executed: letters of record.go. */
enum kind {
	NATIVE = 'N',
	UNKNOWN = 'U',
	NO_BUILD_ID = 'I',
	ENVIRONMENT = 'E',
	LOCALE = 'L',
	SECURE = 'S',
	CLOSURE = 'C',
	PRELOAD = 'P',
	PLUGIN = 'G',
	ARGUMENTS = 'A',
	EXEC_FAILED = 'F',
};

/* What the kernel says of the program. */
struct start {
	long argc;
	char **argv;		/* argv[1] is the path, argv[2] the first argument */
	char **environment;
	int program;		/* its descriptor */
	bool secure;
};

/*
 * Variables with which a program is not the same natively: everything that begins
 * so. All are read by what the program is loaded with, or by QEMU.
 */
static const char environment_rules[] =
	/* Foreign libraries, which a native process cannot load (fakeroot, eatmydata). */
	"LD_PRELOAD=\0"
	"LD_AUDIT=\0"
	"LD_LIBRARY_PATH=\0"
	"LD_ORIGIN_PATH=\0"
	"LD_DYNAMIC_WEAK=\0"
	"LD_PROFILE\0"
	"LD_HWCAP_MASK=\0"
	"LD_ASSUME_KERNEL=\0"
	/* The loader says what it does, or (ldd) only that: it would tell of the tool. */
	"LD_TRACE_\0"
	"LD_DEBUG\0"
	"LD_SHOW_AUXV=\0"
	"LD_VERBOSE=\0"
	"LD_WARN=\0"
	"LD_VERIFY\0"
	/* The C library's allocator and its tuning, by names that differ by machine. */
	"GLIBC_TUNABLES=\0"
	"MALLOC_\0"
	/* Data for the machine that the C library was made for. */
	"LOCPATH=\0"
	"GCONV_PATH=\0"
	"GETCONF_DIR=\0"
	/* Who sets QEMU's options wants QEMU. */
	"QEMU_\0"
	/* The user's own switch. */
	"MABUILD_ASSIST=0\0";

static bool environment_fits(char **environment)
{
	for (; *environment; environment++)
		for (const char *rule = environment_rules; *rule; rule += length(rule) + 1)
			if (has_prefix(*environment, rule))
				return false;
	return true;
}

/*
 * The tool has no gconv modules, so only what needs none: ASCII and UTF-8. The
 * files of locales have the byte order of their machine, so that for another one
 * only those count that have no files, or that do not matter.
 */
static bool locale_known(const char *name, bool big_endian)
{
	if (!*name || equal(name, "C") || equal(name, "POSIX"))
		return true;
	if (big_endian)
		return equal(name, "C.UTF-8") || equal(name, "C.utf8");
	return has_suffix(name, ".utf-8") || has_suffix(name, ".utf8");
}

/* LC_ALL decides alone; otherwise every category can be of another locale. */
static bool locale_fits(char **environment, bool big_endian)
{
	bool fits = true;

	for (; *environment; environment++) {
		const char *text = *environment;

		if (has_prefix(text, "LC_ALL=") && text[7])
			return locale_known(text + 7, big_endian);
		if (!has_prefix(text, "LC_") && !has_prefix(text, "LANG="))
			continue;
		while (*text && *text++ != '=')
			;
		fits = fits && locale_known(text, big_endian);
	}
	return fits;
}
