/*
 * The first program of the Linux guest that images are compared with (tests/bench/guest.py). It runs one program,
 * measures it from the moment before execve to the moment when it has been waited for, and switches the machine off.
 * What it has to say goes through QEMU's isa-debugcon at port 0x502, as an image's record does (core/record.h), in the
 * same JSON lines:
 *
 *     {"kind":"stats","status":N,"late":BOOLEAN,"ticks":N,"ns":N,"peak":BYTES,"faults":N,"calibration":N}
 *     {"kind":"sample","ns":N,"resident":[BYTES,BYTES,0],"faults":N}        every INTERVAL, if one is given
 *     {"kind":"output","text":"..."}                                        what the program printed
 *     {"kind":"error","text":"..."}                                         what this program could not do
 *
 * /bench/arguments and /bench/environment hold strings that end with a zero byte; the first argument is the program's
 * path. /bench/interval: nanoseconds between samples, or nothing. /bench/limit: seconds after which the program is
 * ended, late, so that what it has printed is not lost. The program prints into a file in memory, so that no device is
 * part of what is measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD_PORT 0x502
#define EXIT_PORT 0x501
#define WORDS_MAX 4096
#define CALIBRATION_LOOP 50000u /* of two instructions each: short, so that some of them are not interrupted */
#define CALIBRATION_TRIES 16
#define SETTLE_NS 200000000 /* for what the kernel put off while it booted */
#define OUTPUT "/bench/output"

static pid_t program;
static volatile sig_atomic_t late;

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static uint64_t nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void record(const char *text, size_t length)
{
    __asm__ volatile("rep outsb" : "+S"(text), "+c"(length) : "d"((uint16_t)RECORD_PORT) : "memory");
}

static __attribute__((format(printf, 1, 2))) void record_format(const char *format, ...)
{
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    record(text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

/* The inside of a JSON string: bytes beyond ASCII as Latin-1 has them, so that any output arrives. */
static void record_escaped(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] < 0x20 || bytes[i] >= 0x7f || bytes[i] == '"' || bytes[i] == '\\')
            record_format("\\u%04x", bytes[i]);
        else
            record((const char *)&bytes[i], 1);
    }
}

static _Noreturn void power_off(int status)
{
    outb((unsigned char)status, EXIT_PORT);
    for (;;)
        pause();
}

static _Noreturn void fail(const char *what)
{
    record_format("{\"kind\":\"error\",\"text\":\"%s: %s\"}\n", what, strerror(errno));
    power_off(1);
}

static void mount_or_fail(const char *type, const char *target)
{
    mkdir(target, 0755);
    if (mount(type, target, type, 0, NULL) != 0 && errno != EBUSY)
        fail(target);
}

/* All of a file, and a zero byte behind it. */
static char *read_file(const char *path, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    char *text;
    size_t done = 0;
    ssize_t got;

    if (fd < 0 || fstat(fd, &status) != 0 || (text = malloc((size_t)status.st_size + 1)) == NULL)
        fail(path);
    while (done < (size_t)status.st_size && (got = read(fd, text + done, (size_t)status.st_size - done)) > 0)
        done += (size_t)got;
    close(fd);
    *length = done;
    text[done] = '\0';
    return text;
}

static char **read_words(const char *path)
{
    static char *words[2 * WORDS_MAX];
    static size_t used;
    char **first = words + used;
    size_t length, count = 0;
    char *text = read_file(path, &length);

    for (char *word = text; word < text + length && count < WORDS_MAX - 1; word += strlen(word) + 1)
        first[count++] = word;
    first[count] = NULL;
    used += count + 1;
    return first;
}

/* Ticks an instruction takes. */
static double calibrate(void)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < CALIBRATION_TRIES; i++) {
        uint64_t count = CALIBRATION_LOOP, start = ticks();

        __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(count));
        if (ticks() - start < least)
            least = ticks() - start;
    }
    return (double)least / (2.0 * CALIBRATION_LOOP);
}

static void settle(uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
}

struct moment {
    uint64_t ticks, ns;
};

static struct moment now(void)
{
    return (struct moment){ticks(), nanoseconds()};
}

/* In the child; *start is shared with the parent. */
static _Noreturn void run_program(char **arguments, char **environment, struct moment *start)
{
    int input = open("/dev/null", O_RDONLY), output = open(OUTPUT, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (input < 0 || output < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        fail(OUTPUT);
    close(input);
    close(output);
    if (iopl(0) != 0) /* a process that may use ports pays for that at the end of each call */
        fail("iopl");
    *start = now();
    execve(arguments[0], arguments, environment);
    fail(arguments[0]);
}

/* What /proc says of the program now: resident bytes, in small and large pages, and faults so far. */
static void sample(pid_t child, const struct moment *start)
{
    char path[64], text[4096];
    unsigned long minor = 0, major = 0, resident = 0, huge = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", child);
    file = fopen(path, "re");
    while (file != NULL && fgets(text, sizeof(text), file) != NULL) {
        sscanf(text, "Rss: %lu", &resident);
        sscanf(text, "AnonHugePages: %lu", &huge);
    }
    if (file != NULL)
        fclose(file);
    snprintf(path, sizeof(path), "/proc/%d/stat", child);
    file = fopen(path, "re");
    if (file != NULL && fgets(text, sizeof(text), file) != NULL)
        sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %lu %*u %lu", &minor, &major);
    if (file != NULL)
        fclose(file);
    if (resident != 0)
        record_format("{\"kind\":\"sample\",\"ns\":%llu,\"resident\":[%lu,%lu,0],\"faults\":%lu}\n",
                      (unsigned long long)(nanoseconds() - start->ns), (resident - huge) << 10, huge << 10,
                      minor + major);
}

static void end_program(int signal)
{
    (void)signal;
    late = 1;
    kill(program, SIGKILL);
}

static void limit_time(double seconds)
{
    struct itimerval limit = {.it_value.tv_sec = (time_t)seconds,
                              .it_value.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};

    if (sigaction(SIGALRM, &(struct sigaction){.sa_handler = end_program, .sa_flags = SA_RESTART}, NULL) != 0 ||
        setitimer(ITIMER_REAL, &limit, NULL) != 0)
        fail("setitimer");
}

static void wait_for(pid_t child, const struct moment *start, uint64_t interval, int *status, struct rusage *usage)
{
    pid_t ended;

    while ((ended = wait4(child, status, interval ? WNOHANG : 0, usage)) == 0) {
        sample(child, start);
        settle(interval);
    }
    if (ended < 0)
        fail("wait4");
}

static void tell_output(void)
{
    size_t length;
    char *text = read_file(OUTPUT, &length);

    for (size_t from = 0; from < length; from += 65536) {
        record_format("{\"kind\":\"output\",\"text\":\"");
        record_escaped((unsigned char *)text + from, length - from < 65536 ? length - from : 65536);
        record_format("\"}\n");
    }
}

int main(void)
{
    struct moment *start, end;
    struct rusage usage;
    char **arguments, **environment;
    size_t length;
    uint64_t interval;
    double calibration, limit;
    int status = 0;

    if (iopl(3) != 0)
        return 1;
    mount_or_fail("proc", "/proc");
    mount_or_fail("sysfs", "/sys");
    mount_or_fail("devtmpfs", "/dev");
    mount_or_fail("tmpfs", "/tmp");
    arguments = read_words("/bench/arguments");
    environment = read_words("/bench/environment");
    interval = strtoull(read_file("/bench/interval", &length), NULL, 10);
    limit = strtod(read_file("/bench/limit", &length), NULL);
    start = mmap(NULL, sizeof(*start), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        fail("mmap");
    calibration = calibrate();
    settle(SETTLE_NS);
    program = fork();
    if (program < 0)
        fail("fork");
    if (program == 0)
        run_program(arguments, environment, start);
    limit_time(limit);
    wait_for(program, start, interval, &status, &usage);
    end = now();
    tell_output();
    record_format("{\"kind\":\"stats\",\"status\":%d,\"late\":%s,\"ticks\":%llu,\"ns\":%llu,\"peak\":%ld,"
                  "\"faults\":%ld,\"calibration\":%.6f}\n",
                  WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), late ? "true" : "false",
                  (unsigned long long)(end.ticks - start->ticks), (unsigned long long)(end.ns - start->ns),
                  usage.ru_maxrss << 10, usage.ru_minflt + usage.ru_majflt, calibration);
    power_off(0);
}
