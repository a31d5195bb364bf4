/* Which program it is: the GNU build-id among the notes of an ELF file. */

enum {
	MIN_ID = 8,		/* bytes of a build-id: ld's shortest hash */
	MAX_ID = 32,		/* ... and mold's longest */
	HEAD_SIZE = 4096,	/* what is read of a program for its headers */
	NOTES_SIZE = 1024,	/* what is read of a segment with notes */
	GO_NOTE_SIZE = 36,	/* of the note that Go's linker puts behind PT_NOTE */
};

/* What the program says of itself. */
struct identity {
	bool elf;		/* it has a whole header */
	bool big_endian;
	size_t size;		/* of the build-id; 0 if there is none */
	uint8_t id[MAX_ID];
};

static uint64_t number(const uint8_t *bytes, int size, bool big_endian)
{
	uint64_t value = 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | bytes[big_endian ? i : size - 1 - i];
	return value;
}

static uint64_t padded(uint64_t size)
{
	return (size + 3) & ~(uint64_t)3;
}

/* Looks for the build-id among notes: ELF, "Note Section". */
static bool find_in_notes(const uint8_t *notes, uint64_t size, struct identity *identity)
{
	bool big = identity->big_endian;

	for (uint64_t at = 0; at + 12 <= size;) {
		uint64_t name_size = number(notes + at, 4, big);
		uint64_t id_size = number(notes + at + 4, 4, big);
		uint64_t type = number(notes + at + 8, 4, big);
		uint64_t id = at + 12 + padded(name_size);

		if (id + id_size > size)
			return false;
		if (type == 3 && name_size == 4 && equal((const char *)notes + at + 12, "GNU")) {
			if (id_size < MIN_ID || id_size > MAX_ID)
				return false;
			copy(identity->id, notes + id, id_size);
			identity->size = id_size;
			return true;
		}
		at = padded(id + id_size);
	}
	return false;
}

static bool find_in_segment(int fd, uint64_t offset, uint64_t size, struct identity *identity)
{
	uint8_t notes[NOTES_SIZE];

	if (size > NOTES_SIZE - GO_NOTE_SIZE)
		size = NOTES_SIZE - GO_NOTE_SIZE;
	long got = call(SYS_PREAD, fd, (long)notes, size + GO_NOTE_SIZE, offset);
	return got > 0 && find_in_notes(notes, got, identity);
}

/*
 * Reads the ELF header and the program headers behind it, of either class and
 * byte order. Headers that are elsewhere count as none.
 */
static void identify(int fd, struct identity *identity)
{
	uint8_t head[HEAD_SIZE];
	long size = call(SYS_PREAD, fd, (long)head, HEAD_SIZE, 0);

	identity->size = 0;
	identity->big_endian = false;
	identity->elf = size >= 64 && has_prefix((const char *)head, "\177ELF");
	if (!identity->elf)
		return;
	bool wide = head[4] == 2, big = identity->big_endian = head[5] == 2;
	uint64_t table = wide ? number(head + 32, 8, big) : number(head + 28, 4, big);
	uint64_t entry = number(head + (wide ? 54 : 42), 2, big);
	uint64_t count = number(head + (wide ? 56 : 44), 2, big);

	if (entry != (wide ? 56 : 32) || table > (uint64_t)size || count > (size - table) / entry)
		return;
	for (const uint8_t *h = head + table; count > 0; count--, h += entry) {
		uint64_t offset = wide ? number(h + 8, 8, big) : number(h + 4, 4, big);
		uint64_t bytes = wide ? number(h + 32, 8, big) : number(h + 16, 4, big);

		if (number(h, 4, big) == 4 /* PT_NOTE */ && find_in_segment(fd, offset, bytes, identity))
			return;
	}
}

/* As append, with the build-id in hexadecimal. */
static size_t append_hex(char *to, size_t at, const struct identity *identity)
{
	const char *digits = "0123456789abcdef";

	for (size_t i = 0; i < identity->size; i++) {
		to[at++] = digits[identity->id[i] >> 4];
		to[at++] = digits[identity->id[i] & 15];
	}
	to[at] = 0;
	return at;
}
