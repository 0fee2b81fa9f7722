/* What a static program finds when it starts, in terms that are the same on Linux and in an image: stack, auxiliary
 * vector, program headers, thread-local storage, brk, relocations. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;
extern char _end[];
void _start(void);

static _Thread_local uint64_t initialised = 0x1122334455667788, zero[1000];
static _Thread_local __attribute__((aligned(256))) char strict[256];
static int (*const relocated[])(const char *) = {puts};
static const char *const names[] = {"one", "two", "three"};
static char large_bss[3 << 20];
static char data[5000] = "data";
const char rodata[9000] = "constants";

static void say(const char *what, int right)
{
    printf("%s: %s\n", what, right ? "yes" : "no");
}

static unsigned long entry(const unsigned long *vector, unsigned long type)
{
    for (; vector[0] != AT_NULL; vector += 2)
        if (vector[0] == type)
            return vector[1];
    return 0;
}

static void headers(const unsigned long *vector)
{
    const ElfW(Phdr) *header = (const void *)entry(vector, AT_PHDR);
    unsigned long count = entry(vector, AT_PHNUM), loads = 0, threads = 0, wx = 0;

    say("size of program headers", entry(vector, AT_PHENT) == sizeof(*header));
    for (unsigned long i = 0; i < count; i++) {
        loads += header[i].p_type == PT_LOAD;
        threads += header[i].p_type == PT_TLS;
        wx += header[i].p_type == PT_LOAD && (header[i].p_flags & 3) == 3;
    }
    printf("%lu segments, %lu of threads, %lu both writable and executable\n", loads, threads, wx);
}

static void vector_entries(const unsigned long *vector)
{
    const unsigned char *random = (const void *)entry(vector, AT_RANDOM);
    const char *path = (const char *)entry(vector, AT_EXECFN), *platform = (const char *)entry(vector, AT_PLATFORM);
    int different = 0;

    for (int i = 1; i < 16; i++)
        different += random[i] != random[0];
    say("random bytes", different > 5);
    say("entry", entry(vector, AT_ENTRY) == (unsigned long)_start);
    say("no interpreter", entry(vector, AT_BASE) == 0);
    printf("page %lu, ticks %lu, flags %lu, secure %lu\n", entry(vector, AT_PAGESZ), entry(vector, AT_CLKTCK),
           entry(vector, AT_FLAGS), entry(vector, AT_SECURE));
    printf("file name ends with %s; platform %s\n", strrchr(path, '/') + 1, platform);
    say("capabilities", (entry(vector, AT_HWCAP) & (1 << 26)) != 0); /* SSE2 */
    say("signal stack", entry(vector, AT_MINSIGSTKSZ) >= 1024);
}

static void memory(void)
{
    char *start = (char *)syscall(SYS_brk, 0), *block; /* by number: musl has no sbrk */
    int bad = 0;

#ifndef __pie__ /* Linux puts it elsewhere then */
    say("brk begins behind the program", start >= _end);
#endif
    say("brk grows", syscall(SYS_brk, start + (1 << 20)) == (long)start + (1 << 20));
    memset(start, 1, 1 << 20);
    for (size_t i = 0; i < sizeof(large_bss); i++)
        bad += large_bss[i] != 0;
    for (size_t i = 5; i < sizeof(data); i++)
        bad += data[i] != 0;
    memset(large_bss, 7, sizeof(large_bss));
    memset(data + 5, 7, sizeof(data) - 5);
    printf("%d bytes of bss and data were not zero; %s, %s\n", bad, data, rodata);
    say("text cannot become writable and is as it was",
        mprotect((void *)((uintptr_t)_start & -4096ul), 4096, PROT_READ | PROT_EXEC) == 0);
    block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("mmap", block != MAP_FAILED);
    munmap(block, 1 << 20);
    block = malloc(10 << 20);
    memset(block, 2, 10 << 20);
    block = realloc(block, 30 << 20);
    say("realloc", block[9 << 20] == 2);
    free(block);
}

static __attribute__((constructor)) void constructor(void)
{
    printf("constructor\n");
}

static void at_exit(void)
{
    printf("at exit\n");
}

int main(int argc, char **argv)
{
    const unsigned long *vector;
    char **variable = environ;
    volatile double two = 2;

    atexit(at_exit);
    printf("%d: %s", argc, argv[0]);
    for (int i = 1; i < argc; i++)
        printf(" <%s>", argv[i]);
    printf("\nHOME %s, TERM %s\n", getenv("HOME"), getenv("TERM"));
    while (*variable)
        variable++;
    vector = (const unsigned long *)(variable + 1);
    headers(vector);
    vector_entries(vector);
    say("thread-local data", initialised == 0x1122334455667788 && zero[999] == 0 && (uintptr_t)strict % 256 == 0);
    initialised = 0;
    relocated[0](names[argc % 3]);
    printf("%.15g\n", sqrt(two) + sin(two));
    memory();
    say("the program cannot be written to", open("/proc/self/exe", O_RDWR) == -1 && errno == ETXTBSY &&
                                                truncate("/proc/self/exe", 0) == -1 && errno == ETXTBSY);
    errno = 0;
    say("errno", read(-1, data, 1) == -1 && errno == EBADF);
    fflush(stdout);
    return 5;
}
