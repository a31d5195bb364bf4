#include <inttypes.h>
#include <stdio.h>
#include "parts.h"
#if __has_include("config.h")
#include "config.h"
#endif

int main(void)
{
	char text[64];

	digits(text, narrow(ratio(1, 3)));
	printf("%s %s %" PRIx64 " %s\n", text, name(40), hash("abc"), __FILE__);
	return 0;
}
