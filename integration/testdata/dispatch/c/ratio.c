#include <math.h>
#include <stdio.h>
#include "parts.h"

/* The compiler folds these, in other widths than this machine has. */
static const double tiny = 1.0 / 3 * 1e-300;
static const long double wide = 1.0L / 3 + 1e-30L;

double ratio(double a, double b) { return sqrt(a / b) * 0.1 + tiny; }
double narrow(double x) { return (double)(x * wide); }
int digits(char *out, double x) { return sprintf(out, "%.17g", x); }
