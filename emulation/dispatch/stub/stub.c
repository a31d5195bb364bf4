/*
 * The stub that runs in QEMU's process before QEMU does.
 *
 * binfmt_misc (flags P and O) starts QEMU with the arguments
 *
 *	QEMU, path of the program, argv[0] of the program, its other arguments
 *
 * and with an open descriptor of the program in the auxiliary vector. The stub
 * reads the program's GNU build-id there, executes the tool that is known for it,
 * or returns: QEMU then goes on as if nothing had been. It must never fail, has
 * no libc, no data that is written and none that is relocated.
 *
 * The rules and their reasons are in the Go package's documentation; the names of
 * paths are those of paths.go, the record is that of record.go.
 */
#include "system.h"
#include "identity.h"
#include "tool.h"
#include "rules.h"
#include "arguments.h"

struct record {
	char magic[4];
	uint8_t kind, id_size, unused[2];
	uint32_t pid, parent;
	uint64_t time, cpu;	/* nanoseconds */
	uint8_t id[MAX_ID];
	char path[64];		/* the end of it */
};
_Static_assert(sizeof(struct record) == 128, "record.go has another size");

#define LOG_PATH "/dev/.mabuild.log"
#define PRELOAD_PATH "/etc/ld.so.preload"

/* Decides. The first rule that is broken is the reason. */
static enum kind judge_tool(const struct start *start, struct tool *tool)
{
	struct rules rules;

	if (!read_rules(tool->rules, &rules))
		return ARGUMENTS;
	enum kind kind = judge_arguments(start, tool, &rules);

	if (kind == NATIVE && !closure_fits(tool->closure))
		return CLOSURE;
	return kind;
}

static enum kind judge(const struct start *start, const struct identity *identity, struct tool *tool)
{
	if (!identity->size)
		return NO_BUILD_ID;
	if (!find_tool(tool, ID_DIR, identity, start->argv[1]))
		return UNKNOWN;
	if (start->secure)
		return SECURE;
	if (!environment_fits(start->environment))
		return ENVIRONMENT;
	if (!locale_fits(start->environment, identity->big_endian))
		return LOCALE;
	if (accessible(PRELOAD_PATH, F_OK))
		return PRELOAD;
	enum kind kind = judge_tool(start, tool);

	if (kind == CLOSURE && find_tool(tool, OTHER_DIR, identity, start->argv[1]))
		kind = judge_tool(start, tool);
	return kind;
}

/* ---- The log ------------------------------------------------------------ */

/* A write beyond the limit for files would be a signal that ends the process. */
static int open_log(void)
{
	uint64_t limit[2] = { 0, 0 };

	call(SYS_GETRLIMIT, RLIMIT_FSIZE, (long)limit, 0, 0);
	if (limit[0] != ~(uint64_t)0)
		return -1;
	return open(LOG_PATH, O_WRONLY | O_APPEND | O_NOFOLLOW);
}

/* One write with O_APPEND: records of other processes are before or behind. */
static void write_record(int log, enum kind kind, const struct start *start, const struct identity *identity)
{
	struct record record;
	const char *path = start->argv[1];
	size_t size = length(path);

	if (log < 0)
		return;
	for (size_t i = 0; i < sizeof record; i++)
		((uint8_t *)&record)[i] = 0;
	copy(record.magic, "MBX1", sizeof record.magic);
	record.kind = kind;
	record.id_size = identity->size;
	record.pid = call(SYS_GETPID, 0, 0, 0, 0);
	record.parent = call(SYS_GETPPID, 0, 0, 0, 0);
	record.time = clock(CLOCK_MONOTONIC);
	record.cpu = clock(CLOCK_PROCESS_CPUTIME_ID);
	copy(record.id, identity->id, identity->size);
	if (size > sizeof record.path) {
		path += size - sizeof record.path;
		size = sizeof record.path;
	}
	copy(record.path, path, size);
	call(SYS_WRITE, log, (long)&record, sizeof record, 0);
}

/* ---- Start -------------------------------------------------------------- */

/* Reports whether binfmt_misc started the process, with the flags P and O. */
static bool read_start(uint64_t *stack, struct start *start)
{
	enum { AT_NULL = 0, AT_EXECFD = 2, AT_FLAGS = 8, AT_SECURE = 23, PRESERVE_ARGV0 = 1 };
	char **end;
	bool preserved = false;

	start->argc = stack[0];
	start->argv = (char **)(stack + 1);
	start->environment = start->argv + start->argc + 1;
	start->program = -1;
	start->secure = false;
	for (end = start->environment; *end; end++)
		;
	for (uint64_t *a = (uint64_t *)(end + 1); a[0] != AT_NULL; a += 2) {
		if (a[0] == AT_EXECFD)
			start->program = a[1];
		else if (a[0] == AT_FLAGS)
			preserved = a[1] & PRESERVE_ARGV0;
		else if (a[0] == AT_SECURE)
			start->secure = a[1];
	}
	return preserved && start->argc >= 3 && start->program >= 0;
}

/*
 * QEMU turns the order of the variables around (util/envlist.c), which env(1) shows
 * and which chooses between two of one name.
 */
static void turn_around(char **list)
{
	char **end = list;

	while (*end)
		end++;
	for (end--; list < end; list++, end--) {
		char *other = *list;

		*list = *end;
		*end = other;
	}
}

/* Executes the tool; returns only if the kernel does not, and then all is as before. */
static void execute(const struct start *start, const struct tool *tool)
{
	char **plugin = tool->plugin_argument ? &start->argv[tool->plugin_argument] : NULL;
	char *old = plugin ? *plugin : NULL;

	if (plugin)
		*plugin = (char *)tool->plugin;
	turn_around(start->environment);
	call(SYS_FCNTL, start->program, F_SETFD, FD_CLOEXEC, 0);
	call(SYS_EXECVE, (long)tool->path, (long)(start->argv + 2), (long)start->environment, 0);
	call(SYS_FCNTL, start->program, F_SETFD, 0, 0);
	turn_around(start->environment);
	if (plugin)
		*plugin = old;
}

/*
 * Called by entry_amd64.S. Returning means QEMU: true, with the processor that is
 * named there, unless the step names one.
 */
__attribute__((used)) bool dispatch(uint64_t *stack)
{
	struct start start;
	struct identity identity;
	struct tool tool;

	if (!read_start(stack, &start))
		return false;
	identify(start.program, &identity);
	int log = open_log();
	enum kind kind = judge(&start, &identity, &tool);

	if (kind == NATIVE) {
		write_record(log, NATIVE, &start, &identity);
		execute(&start, &tool);
		kind = EXEC_FAILED;
	}
	write_record(log, kind, &start, &identity);
	if (log >= 0)
		close(log);
	/* QEMU reads the header of a program to choose a processor: it may fail there. */
	return identity.elf && !variable(start.environment, "QEMU_CPU");
}
