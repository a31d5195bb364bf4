#include <stddef.h>
#include <string.h>
#include "parts.h"

struct pair {
	uint32_t key;
	const char *name;
};

static const struct pair table[] = {{1, "one"}, {2, "two"}, {40, "forty"}};

const char *name(uint32_t key)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].key == key)
			return table[i].name;
	return "?";
}

uint64_t hash(const char *text)
{
	uint64_t sum = 14695981039346656037ull;

	for (size_t i = 0; i < strlen(text); i++)
		sum = (sum ^ (unsigned char)text[i]) * 1099511628211ull;
	return sum;
}
