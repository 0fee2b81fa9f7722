/* What C programs need of the libc and the linker beside system calls. Prints the same on Linux. */
#include <complex.h>
#include <ctype.h>
#include <dlfcn.h>
#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

static _Thread_local int counter = 41;
static _Thread_local __attribute__((aligned(64))) char aligned[64];
static _Thread_local char zeros[5000];
static const char *order = "";

static __attribute__((constructor(101))) void first(void)
{
    order = "first";
}

static __attribute__((constructor(102))) void second(void)
{
    printf("constructors: %s, then second\n", order);
}

static __attribute__((destructor)) void last(void)
{
    printf("destructor\n");
}

static void at_exit_1(void)
{
    printf("registered first, runs last\n");
}

static void at_exit_2(void)
{
    printf("registered last, runs first\n");
}

static void mathematics(void)
{
    volatile double x = 0.7, big = 1e22, none = 0, infinite, invalid;
    volatile long double l = 2.0L;
    double complex z = cexp(I * x);

    printf("%.17g %.17g %.17g %.17g\n", sin(x), exp(x), pow(x, 3.3), atan2(x, -x));
    printf("%.17g %.17g %.17g\n", sin(big), lgamma(x), erf(x));
    printf("%.20Lg %La %Lf\n", sqrtl(l), l, expl(l));
    printf("%.15g%+.15gi %.15g\n", creal(z), cimag(z), cabs(z));
    feclearexcept(FE_ALL_EXCEPT);
    infinite = 1 / none;
    printf("%f %d", infinite, fetestexcept(FE_DIVBYZERO | FE_INVALID) == FE_DIVBYZERO);
    invalid = sqrt(-1 - none);
    printf(" %d %d\n", isnan(invalid), fetestexcept(FE_INVALID) != 0);
    fesetround(FE_UPWARD);
    printf("%.17g", x / 3);
    fesetround(FE_TONEAREST);
    printf(" %.17g %ld\n", x / 3, lrint(x * 5));
    printf("%.17g %a %lld\n", strtod("0x1.8p3", NULL), 0.1, (long long)strtoull("18446744073709551615", NULL, 0));
}

static void locales(void)
{
    wchar_t wide[16];
    char text[32] = "";
    struct tm day = {.tm_year = 126, .tm_mon = 10, .tm_mday = 22, .tm_hour = 8};
    const char *set = setlocale(LC_ALL, "C.UTF-8");

    printf("locale: %s\n", set ? set : "none");
    printf("%zu wide characters, upper case %d, %lc\n", mbstowcs(wide, "h\303\251\342\202\254", 16),
           (int)towupper(0xe9), (wint_t)0x20ac);
    printf("invalid: %zd\n", mbstowcs(wide, "\377", 16));
    strftime(text, sizeof(text), "%A %d %B %Y %H:%M", &day);
    printf("%s; point %s\n", text, localeconv()->decimal_point);
    printf("none: %s\n", setlocale(LC_ALL, "xx_YY.UTF-8") ? "set" : "refused");
    printf("back: %s\n", setlocale(LC_ALL, "C"));
}

static void libraries(void)
{
    void *handle = dlopen("/nowhere/libnothing.so", RTLD_NOW);
    const char *error = dlerror();

    printf("dlopen: %s, %s\n", handle ? "opened" : "NULL", error && *error ? "with a message" : "without one");
    printf("dlsym: %s\n", dlsym(RTLD_DEFAULT, "no_such_name") ? "found" : "NULL");
}

static void environment(void)
{
    extern char **environ;
    const char *old = getenv("QUIRE_TEST");
    int count = 0;

    printf("getenv: %s\n", old ? old : "in the environment"); /* on Linux nobody has put it there */
    setenv("QUIRE_NEW", "value", 1);
    putenv("QUIRE_PUT=other");
    unsetenv("QUIRE_TEST");
    for (char **variable = environ; *variable; variable++)
        count += strncmp(*variable, "QUIRE_", 6) == 0;
    printf("%d of ours: %s %s %s\n", count, getenv("QUIRE_NEW"), getenv("QUIRE_PUT"),
           getenv("QUIRE_TEST") ? "there" : "gone");
}

static jmp_buf back;

static volatile int stay;

static void jump(int value)
{
    if (stay)
        return;
    if (value < 3)
        jump(value + 1);
    longjmp(back, value);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int main(int argc, char **argv)
{
    int numbers[] = {5, 3, 9, 1}, where;

    (void)argc;
    atexit(at_exit_1);
    atexit(at_exit_2);
    counter++;
    printf("thread-local: %d, aligned %d, zero %d\n", counter, (uintptr_t)aligned % 64 == 0, zeros[4999]);
    printf("argv[0] %s, argv[argc] %s\n", argv[0] ? "there" : "gone", argv[argc] ? "there" : "NULL");
    mathematics();
    locales();
    libraries();
    environment();
    where = setjmp(back);
    if (where == 0)
        jump(0);
    printf("jumped back with %d\n", where);
    qsort(numbers, 4, sizeof(int), compare);
    printf("%d %d %d %d %d\n", numbers[0], numbers[1], numbers[2], numbers[3], isalpha('x') != 0);
    fflush(stdout);
    exit(7);
}
