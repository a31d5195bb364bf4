/*
 * With what a program is emulated although there is a tool: what the tool's own
 * rules say, the lines of the file .args. Package dispatch's documentation has them.
 */

enum {
	MAX_RULES = 4095,	/* paths.go has the same */
	MAX_ARGUMENT = 4096,	/* where it matters how long one is */
	MAX_FILE = 1 << 20,	/* of arguments */
};

/* The rules, each ended by a zero byte. */
struct rules {
	char text[MAX_RULES + 1];
	const char *end;
	bool files;		/* @FILE has more arguments in it */
};

#define FOR_EACH(rule, rules) \
	for (const char *rule = (rules)->text; rule < (rules)->end; rule += length(rule) + 1)

/* Reads the file. None is no rule; one that is not whole cannot be kept to. */
static bool read_rules(const char *file, struct rules *rules)
{
	long size = read_text(file, rules->text, MAX_RULES);

	rules->end = rules->text;
	rules->files = false;
	if (size < 0)
		return size == -ENOENT;
	if (size > 0 && rules->text[size - 1] != '\n')
		return false;
	for (char *at = rules->text; at; at = cut(at, '\n'))
		;
	rules->end = rules->text + size;
	FOR_EACH(rule, rules)
		rules->files |= equal(rule, "files");
	return true;
}

/* Returns what is behind the rule's first word, if it is that one; or 0. */
static const char *operand(const char *rule, const char *word)
{
	return has_prefix(rule, word) ? rule + length(word) : NULL;
}

/* Returns the last value of the variable, which is the one that QEMU takes; or 0. */
static const char *variable(char **environment, const char *name)
{
	const char *value = NULL;

	for (; *environment; environment++)
		if (has_prefix(*environment, name) && (*environment)[length(name)] == '=')
			value = *environment + length(name) + 1;
	return value;
}

/* Reports whether it is one of the words; one that ends with "=" is any that begin so. */
static bool is_listed(const char *words, const char *text)
{
	while (*words) {
		const char *at = text;

		for (; *words && *words != ' ' && *at == *words; at++)
			words++;
		if ((!*words || *words == ' ') && at > text && (!*at || at[-1] == '='))
			return true;
		while (*words && *words++ != ' ')
			;
	}
	return false;
}

/*
 * Reports whether the first argument that is no option is by its base name one of
 * the words, and all options before it are. Behind it are the script's own.
 */
static bool starts_script(const struct start *start, const char *words)
{
	for (long i = 3; i < start->argc; i++) {
		const char *argument = start->argv[i];

		if (*argument != '-')
			return is_listed(words, base_name(argument));
		if (!is_listed(words, argument))
			return false;
	}
	return false;
}

/* Reports whether the directory, if there is one, has nothing but that file. */
static bool has_only(const char *words)
{
	char directory[MAX_RULES + 1], entries[1024];
	long size = append(directory, 0, words);
	const char *name = cut(directory, ' ');
	int fd = open(directory, O_RDONLY | O_DIRECTORY);
	bool only = true;

	if (fd < 0)
		return fd == -ENOENT;
	while (only && (size = call(SYS_GETDENTS64, fd, (long)entries, sizeof entries, 0)) > 0)
		for (const char *e = entries; e < entries + size; e += number((const uint8_t *)e + 16, 2, false))
			only = only && (equal(e + 19, ".") || equal(e + 19, "..") || (name && equal(e + 19, name)));
	close(fd);
	return only && size == 0;
}

/* The rules that are not about each argument. A rule that is not known is not kept. */
static enum kind judge_rule(const char *rule, const struct start *start)
{
	const char *text;

	if ((text = operand(rule, "set "))) {
		text = variable(start->environment, text);
		return text && *text ? NATIVE : ENVIRONMENT;
	}
	if ((text = operand(rule, "unset ")))
		return variable(start->environment, text) ? ENVIRONMENT : NATIVE;
	if ((text = operand(rule, "script ")))
		return starts_script(start, text) ? NATIVE : ARGUMENTS;
	if ((text = operand(rule, "only ")))
		return has_only(text) ? NATIVE : CLOSURE;
	if (operand(rule, "refuse ") || operand(rule, "beside ") || operand(rule, "plugin ") || equal(rule, "files"))
		return NATIVE;
	return ARGUMENTS;
}

static bool is_plugin(const char *argument)
{
	return equal(argument, "-plugin") || equal(argument, "--plugin");
}

/* One argument. Without a next one it is from a file, where none is behind it. */
static enum kind judge_argument(const char *argument, const char *next, const struct rules *rules)
{
	char path[MAX_ARGUMENT + MAX_RULES + 1];

	if (has_prefix(argument, "-fplugin") || has_prefix(argument, "-specs") ||
	    has_prefix(argument, "--specs") || has_prefix(argument, "-plugin=") ||
	    has_prefix(argument, "--plugin="))
		return PLUGIN;
	FOR_EACH(rule, rules) {
		const char *text = operand(rule, "refuse ");

		if (text && has_prefix(argument, text))
			return ARGUMENTS;
		if (!(text = operand(rule, "beside ")) || !has_prefix(text, argument) || text[length(argument)] != ' ')
			continue;
		if (!next || length(next) > MAX_ARGUMENT)
			return ARGUMENTS;
		append(path, append(path, 0, next), text + length(argument) + 1);
		if (accessible(path, F_OK))
			return ARGUMENTS;
	}
	return NATIVE;
}

/* Arguments that follow each other, each ended by a zero byte. */
static enum kind judge_list(const char *list, const char *end, const struct rules *rules)
{
	for (; list < end; list += length(list) + 1) {
		enum kind kind = is_plugin(list) ? PLUGIN : judge_argument(list, NULL, rules);

		if (kind != NATIVE)
			return kind;
		if (*list == '@')
			return ARGUMENTS;
	}
	return NATIVE;
}

/*
 * Makes spaces zero bytes, and returns what is behind the last of them: 0 if there
 * is none. What is in quotes could be anything.
 */
static char *split(char *text, size_t size)
{
	char *end = NULL;

	for (char *at = text; at < text + size; at++) {
		if (!*at || *at == '\'' || *at == '"' || *at == '\\')
			return NULL;
		if (*at == ' ' || (*at >= '\t' && *at <= '\r')) {
			*at = 0;
			end = at + 1;
		}
	}
	return end;
}

/* A file of arguments. One that cannot be read twice, as a pipe, is not read. */
static enum kind judge_file(const char *path, const struct rules *rules)
{
	char text[MAX_ARGUMENT + 1];
	long offset = 0, size = -1;
	int fd = open(path, O_RDONLY);
	enum kind kind = fd < 0 ? ARGUMENTS : NATIVE;

	while (kind == NATIVE && (size = call(SYS_PREAD, fd, (long)text, MAX_ARGUMENT, offset)) > 0) {
		if (size < MAX_ARGUMENT)
			text[size++] = ' ';
		char *end = split(text, size);

		if (!end || offset > MAX_FILE)
			kind = ARGUMENTS;
		else
			kind = judge_list(text, end, rules);
		offset += end - text;
	}
	if (fd >= 0)
		close(fd);
	return kind == NATIVE && size < 0 ? ARGUMENTS : kind;
}

/* Reports whether it is the plugin that the toolbox's own is the twin of. */
static bool is_known_plugin(const char *path, const struct rules *rules)
{
	if (!has_suffix(path, "/liblto_plugin.so"))
		return false;
	FOR_EACH(rule, rules) {
		const char *id = operand(rule, "plugin ");

		if (id && has_build_id(path, id))
			return true;
	}
	return false;
}

/*
 * A native compiler or linker loads native plugins only. It is given the toolbox's
 * own one for link-time optimisation; with any other the program is emulated.
 */
static enum kind judge_arguments(const struct start *start, struct tool *tool, const struct rules *rules)
{
	bool replaceable = accessible(tool->plugin, F_OK);

	FOR_EACH(rule, rules) {
		enum kind kind = judge_rule(rule, start);

		if (kind != NATIVE)
			return kind;
	}
	for (long i = 3; i < start->argc; i++) {
		const char *argument = start->argv[i], *next = i + 1 < start->argc ? start->argv[i + 1] : "";
		enum kind kind = judge_argument(argument, next, rules);

		if (kind == NATIVE && *argument == '@' && (replaceable || rules->files))
			kind = judge_file(argument + 1, rules);
		if (kind != NATIVE)
			return kind;
		if (!is_plugin(argument))
			continue;
		if (!replaceable || tool->plugin_argument || !is_known_plugin(next, rules))
			return PLUGIN;
		tool->plugin_argument = ++i;
	}
	return NATIVE;
}
