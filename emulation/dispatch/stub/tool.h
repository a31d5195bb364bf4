/* The tool for a program, and the libraries that the root file system must have. */

#define ID_DIR "/dev/.mabuild/id/"
/* Tools for some of the same programs, that go with other libraries. As long as ID_DIR. */
#define OTHER_DIR "/dev/.mabuild/or/"

enum {
	MAX_NAME = 255,		/* NAME_MAX */
	MAX_CLOSURE = 8191,	/* paths.go has the same */
	MAX_PATH = sizeof ID_DIR + 2 * MAX_ID + sizeof "/" + MAX_NAME,
};

struct tool {
	char path[MAX_PATH];
	char closure[MAX_PATH];
	char rules[MAX_PATH];
	char plugin[MAX_PATH];
	long plugin_argument;	/* which argument to replace by plugin; 0 for none */
};

/*
 * Sets the paths of the tool, and reports whether there is one. A tool that is
 * itself emulated is none: it would be executed in its own place for ever.
 */
static bool find_tool(struct tool *tool, const char *dir, const struct identity *identity, const char *program)
{
	const char *name = base_name(program);

	if (has_prefix(program, ID_DIR) || has_prefix(program, OTHER_DIR))
		return false;
	size_t at = append_hex(tool->path, append(tool->path, 0, dir), identity);

	at = append(tool->path, at, "/");
	copy(tool->closure, tool->path, at);
	append(tool->closure, at, ".req");
	copy(tool->rules, tool->path, at);
	append(tool->rules, at, ".args");
	copy(tool->plugin, tool->path, at);
	append(tool->plugin, at, ".plugin");
	tool->plugin_argument = 0;

	/* A tool of the same name keeps the process's name. Dots begin our own files. */
	if (*name && *name != '.' && length(name) <= MAX_NAME) {
		append(tool->path, at, name);
		if (accessible(tool->path, X_OK))
			return true;
	}
	append(tool->path, at, "_");
	return accessible(tool->path, X_OK);
}

/* Reports whether a file of the root file system has that build-id. */
static bool has_build_id(const char *path, const char *want)
{
	struct identity identity;
	char hex[2 * MAX_ID + 1];
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return false;
	identify(fd, &identity);
	close(fd);
	append_hex(hex, 0, &identity);
	return identity.size > 0 && equal(hex, want);
}

/* Cuts the line at the character, and returns what is behind; 0 if it is not there. */
static char *cut(char *line, char at)
{
	for (; *line; line++)
		if (*line == at) {
			*line = 0;
			return line + 1;
		}
	return NULL;
}

/*
 * Reads a whole file, and returns its size or an error. It has to be text, and at
 * most so long. A pipe is not read, whose contents are the program's.
 */
static long read_text(const char *path, char *text, size_t limit)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return fd;
	long size = call(SYS_PREAD, fd, (long)text, limit + 1, 0);
	close(fd);
	if (size < 0)
		return size;
	if ((size_t)size > limit)
		return -EFBIG;
	text[size] = 0;
	return length(text) == (size_t)size ? size : -EINVAL;
}

/* Reports whether all libraries are what the closure file says. */
static bool closure_fits(const char *file)
{
	char text[MAX_CLOSURE + 1];
	long size = read_text(file, text, MAX_CLOSURE);

	if (size < 0)
		return size == -ENOENT;
	for (char *line = text, *next; *line; line = next) {
		next = cut(line, '\n');
		char *path = cut(line, ' ');

		if (!next || !path || !has_build_id(path, line))
			return false;
	}
	return true;
}
