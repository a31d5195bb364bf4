/* Says for which machine it was compiled and on which it runs. */
#include <stdio.h>
#include <sys/utsname.h>

#if defined(__x86_64__)
#define COMPILED_FOR "x86_64"
#elif defined(__aarch64__)
#define COMPILED_FOR "aarch64"
#else
#define COMPILED_FOR "another machine"
#endif

int main(void)
{
	struct utsname host;

	if (uname(&host) != 0) {
		perror("uname");
		return 1;
	}
	printf("Hello from %s, compiled for %s\n", host.machine, COMPILED_FOR);
	return 0;
}
