#include <stdint.h>

double ratio(double a, double b);
double narrow(double x);
int digits(char *out, double x);
const char *name(uint32_t key);
uint64_t hash(const char *text);
