/*
 * The functions that the auxiliary vector leads to, found as a C library finds them, against the system calls of the
 * same names. With the argument "set" the date is changed too.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ll

static long (*get_time)(clockid_t, struct timespec *);
static long (*get_day)(struct timeval *, void *);
static time_t (*get_seconds)(time_t *);
static long (*get_cpu)(unsigned *, unsigned *, void *);

static void show(const char *what, int good)
{
    printf("%s: %s\n", what, good ? "yes" : "no");
}

/* By DT_HASH, so that the table is right too. */
static void *find(const char *name)
{
    const Elf64_Ehdr *elf = (const void *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Phdr *segment = (const void *)((const char *)elf + elf->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    const Elf64_Sym *symbols = NULL;
    const uint32_t *hash = NULL;
    const char *names = NULL, *base = NULL;
    uint32_t code = 0;

    for (int i = 0; i < elf->e_phnum; i++, segment++) {
        if (segment->p_type == PT_LOAD)
            base = (const char *)elf + segment->p_offset - segment->p_vaddr;
        else if (segment->p_type == PT_DYNAMIC)
            dynamic = (const void *)((const char *)elf + segment->p_offset);
    }
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *value = base + dynamic->d_un.d_ptr;

        if (dynamic->d_tag == DT_SYMTAB)
            symbols = value;
        else if (dynamic->d_tag == DT_STRTAB)
            names = value;
        else if (dynamic->d_tag == DT_HASH)
            hash = value;
    }
    for (const char *p = name; *p != '\0'; p++) { /* gABI, hash table */
        code = (code << 4) + (unsigned char)*p;
        code = (code ^ (code & 0xf0000000) >> 24) & 0x0fffffff;
    }
    for (uint32_t i = hash[2 + code % hash[0]]; i != 0; i = hash[2 + hash[0] + i])
        if (strcmp(names + symbols[i].st_name, name) == 0)
            return (void *)(base + symbols[i].st_value);
    return NULL;
}

static long long nanoseconds(struct timespec time)
{
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* The system call itself, whatever the C library does. */
static long long asked(clockid_t clock)
{
    struct timespec time;

    return syscall(SYS_clock_gettime, clock, &time) ? -1 : nanoseconds(time);
}

/* A reading lies between those of the calls before and after it. */
static int agrees(clockid_t clock)
{
    for (int i = 0; i < 1000; i++) {
        struct timespec time;
        long long before = asked(clock), after;

        if (get_time(clock, &time) != 0 || time.tv_nsec < 0 || time.tv_nsec >= SECOND)
            return 0;
        after = asked(clock);
        if (nanoseconds(time) < before || nanoseconds(time) > after)
            return 0;
    }
    return 1;
}

static int day_agrees(void)
{
    struct timeval time;
    struct timezone zone = {.tz_dsttime = 77};
    long long before = asked(CLOCK_REALTIME), between;
    time_t seconds, same;

    if (get_day(&time, NULL) != 0)
        return 0;
    between = time.tv_sec * SECOND + time.tv_usec * 1000;
    seconds = get_seconds(&same);
    return between >= before - 1000 && between <= asked(CLOCK_REALTIME) && seconds == same && seconds >= time.tv_sec &&
           seconds <= asked(CLOCK_REALTIME) / SECOND && get_day(NULL, &zone) == 0 && zone.tz_dsttime != 77;
}

static sigjmp_buf back;

static void leave(int signal)
{
    siglongjmp(back, signal);
}

static int faults(void)
{
    struct sigaction action = {.sa_handler = leave};

    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(back, 1) == 0) {
        get_time(CLOCK_MONOTONIC, (struct timespec *)8);
        return 0;
    }
    signal(SIGSEGV, SIG_DFL);
    return agrees(CLOCK_MONOTONIC);
}

static volatile long long last;
static volatile int ticks, went_back;

static void read_once(void)
{
    struct timespec time;

    get_time(CLOCK_MONOTONIC, &time);
    if (nanoseconds(time) < last)
        went_back = 1;
    last = nanoseconds(time);
}

static void tick(int signal)
{
    long long kept = last;

    (void)signal;
    ticks++;
    read_once();
    last = kept; /* of the reading that was interrupted nobody knows whether it was before */
}

static int survives_signals(void)
{
    const struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500}, never = {.it_value = {0}};
    struct sigaction action = {.sa_handler = tick};
    long long end = asked(CLOCK_MONOTONIC) + SECOND;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (last < end)
        read_once();
    setitimer(ITIMER_REAL, &never, NULL);
    return ticks > 20 && !went_back;
}

static int follows_the_date(void)
{
    struct timespec time = {.tv_sec = 1000000000};

    if (clock_settime(CLOCK_REALTIME, &time) != 0 || get_time(CLOCK_REALTIME, &time) != 0)
        return 0;
    return time.tv_sec >= 1000000000 && time.tv_sec < 1000000100 && agrees(CLOCK_REALTIME) && day_agrees();
}

int main(int argc, char **argv)
{
    const clockid_t clocks[] = {
        CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
        CLOCK_BOOTTIME, CLOCK_TAI};
    struct timespec time;
    unsigned cpu = 77, node = 77;

    get_time = (long (*)(clockid_t, struct timespec *))find("__vdso_clock_gettime");
    get_day = (long (*)(struct timeval *, void *))find("__vdso_gettimeofday");
    get_seconds = (time_t(*)(time_t *))find("__vdso_time");
    get_cpu = (long (*)(unsigned *, unsigned *, void *))find("__vdso_getcpu");
    show("there", get_time != NULL && get_day != NULL && get_seconds != NULL && get_cpu != NULL);
    show("nothing else", find("__vdso_nothing") == NULL);
    for (unsigned i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
        printf("clock %d agrees: %s\n", clocks[i], agrees(clocks[i]) ? "yes" : "no");
    show("the day agrees", day_agrees());
    show("no clock is refused", get_time(99, &time) == -EINVAL && get_time(10, &time) == -EINVAL);
    show("a CPU is told", get_cpu(&cpu, &node, NULL) == 0 && cpu != 77 && node != 77 && get_cpu(NULL, NULL, NULL) == 0);
    show("a wrong pointer is the program's fault", faults());
    show("signals may come in between", survives_signals());
    if (argc > 1 && strcmp(argv[1], "set") == 0)
        show("a new date is told", follows_the_date());
    return 0;
}
