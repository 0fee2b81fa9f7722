/*
 * System calls chosen at random, with arguments that are right, wrong, at the edge of memory, or addresses of the core:
 * whatever comes, the call answers, and the machine goes on.
 *
 *     callfuzz [SECONDS [SEED [trace]]]        trace: every call is printed before it is made
 *
 * What would end, block or damage the program legally is kept away: memory is unmapped and replaced in an arena only,
 * results are written to the arena or to places that are not the program's, every signal is handled or ignored, and an
 * alarm every few milliseconds ends calls that wait. At the end everything is given back, and the program must still be
 * able to allocate, and to write a file and read it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef QUIRE_IMAGE
#include "vm/vm.h"

extern char __text_end[], __core_data_start[], __core_data_end[], __image_end[], __symbols_end[];
#define IMAGE_START 0xffffffff80000000
#endif

#define PAGE 4096ul
#define ARENA_SIZE (4ul << 20)
#define FIRST_FD 3
#define LAST_FD 40
#define CONSOLE 900
#define MAPPINGS 32
#define LENGTH(array) (sizeof(array) / sizeof(*(array)))
#define ANY(array) ((array)[below(LENGTH(array))])

static uint64_t state;
static char *arena;      /* may be unmapped, protected, replaced */
static char *structures; /* stays mapped: paths, structures; a hole behind it */
static uintptr_t mappings[MAPPINGS];
static size_t mapping_sizes[MAPPINGS];
static uint64_t calls, errors[4096];
static struct range {
    unsigned long start, end;
} first_ranges[64];
static size_t first_count;
static int trace;
static const char folder[] = "/callfuzz";

#define LOW_PROGRAM 0x400000ul
#define LOW_PROGRAM_SIZE 0x1000000ul

static uint64_t next_random(void) /* xorshift64 (Marsaglia 2003) */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t limit)
{
    return (next_random() >> 16) % limit;
}

static long call(long number, const uintptr_t *a)
{
    register uintptr_t r10 __asm__("r10") = a[3];
    register uintptr_t r8 __asm__("r8") = a[4];
    register uintptr_t r9 __asm__("r9") = a[5];
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static void on_signal(int signal)
{
    (void)signal;
}

/* ---- arguments ---- */

/* The core's memory, and other places of the upper half that no call may touch. */
static uintptr_t core_address(void)
{
    static const uintptr_t fixed[] = {
        0xffff800000000000, 0xffff800000001000, 0xffff8000000ffff8, 0xffffbfffffffffff,
        0xffffc00000000000, 0xffffffff80000000, 0xffffffff80000fff, 0xffffffffffc00000,
        0xffffffffff600000, 0xfffffffffffff000, 0xfffffffffffffff8, 0xffffffffffffffff,
    };

#ifdef QUIRE_IMAGE
    switch (below(6)) {
    case 0:
        return (uintptr_t)__core_data_start + below((uintptr_t)(__core_data_end - __core_data_start));
    case 1:
        return (uintptr_t)__symbols_end + below((uintptr_t)(__image_end - __symbols_end));
    case 2: /* constants and text: nobody writes to them */
        return IMAGE_START + below((uintptr_t)__text_end - IMAGE_START);
    }
#endif
    if (below(2))
        return 0xffff800000000000 + below(128ul << 20);
    return ANY(fixed);
}

static uintptr_t wild(void)
{
    static const uintptr_t fixed[] = {
        0,
        1,
        8,
        4095,
        4096,
        65535,
        0x700000000000,
        0x7ffffffff000,
        0x7fffffffffff,
        0x7ffffffffff8,
        0x800000000000,
        0x8000000000000000,
        0x4141414141414141,
        0x123456789000,
        0x00007ffffffffff8,
    };

    return below(2) ? core_address() : ANY(fixed);
}

/* In the arena, often at the edge of a page. */
static uintptr_t in_arena(void)
{
    static const int edges[] = {0, 0, 0, -1, -8, 1, 8, -16, 2048, -64};

    return (uintptr_t)arena + PAGE + below(ARENA_SIZE / PAGE - 2) * PAGE + (uintptr_t)(intptr_t)ANY(edges);
}

static uintptr_t number(void)
{
    static const uintptr_t fixed[] = {
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        16,
        64,
        127,
        128,
        255,
        256,
        1024,
        4095,
        4096,
        4097,
        8192,
        65535,
        65536,
        1 << 20,
        1 << 21,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        1ul << 46,
        1ul << 47,
        1ul << 62,
        0x7fffffffffffffff,
        0x8000000000000000,
        -1ul,
        -2ul,
        -100ul,
        -4096ul,
        -4095ul,
    };

    uintptr_t value;

    switch (below(4)) {
    case 0:
        return ANY(fixed);
    case 1:
        return below(70);
    case 2:
        value = next_random() >> below(64);
        break;
    default:
        value = below(1ul << below(24));
    }
    /* Where a program is linked low it lies among such numbers: calls would rightly write into it. */
    return value - LOW_PROGRAM < LOW_PROGRAM_SIZE ? value % LOW_PROGRAM : value;
}

/* Words that look like something, for a call to take as a structure. */
static void fill_structure(uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        switch (below(5)) {
        case 0:
            words[i] = in_arena();
            break;
        case 1:
            words[i] = below(3) ? 0 : wild();
            break;
        case 2:
            words[i] = below(64) | below(64) << 32;
            break;
        default:
            words[i] = number();
        }
}

static uintptr_t structure(void)
{
    uint64_t *words = (uint64_t *)(structures + PAGE) + below(256);

    fill_structure(words, 16);
    return (uintptr_t)words + (below(8) ? 0 : below(8));
}

static uintptr_t path(void)
{
    static const char *const names[] = {
        "a",
        "b",
        "c",
        "d",
        "d/a",
        "d/b",
        "d/e",
        "d/e/f",
        "link",
        "link/a",
        ".",
        "..",
        "./d/../a",
        "d/",
        "a/",
        "",
        "//",
        "/callfuzz/a",
        "/callfuzz/d/b",
        "/proc/self/maps",
        "/proc/self/status",
        "/proc/self/fd/5",
        "/dev/zero",
        "/dev/full",
        "/dev/null",
        "/dev/random",
        "/proc",
        "/sys/devices/system/cpu/online",
        "missing/x",
        "fifo",
    };
    char *text = structures + 2 * PAGE;
    size_t length;

    switch (below(12)) {
    case 0:
        return wild();
    case 1: /* ends at the edge of the arena */
        return (uintptr_t)structures + 4 * PAGE - 1 - below(4);
    case 2:
        length = below(5000);
        memset(text, below(2) ? 'x' : '/', length);
        text[length] = '\0';
        return (uintptr_t)text;
    default:
        return (uintptr_t)strcpy(text + 32 * below(64), ANY(names));
    }
}

static uintptr_t pointer(void)
{
    switch (below(8)) {
    case 0:
    case 1:
        return wild();
    case 2:
    case 3:
        return structure();
    case 4:
        return path();
    default:
        return in_arena();
    }
}

static uintptr_t descriptor(void)
{
    static const uintptr_t odd[] = {-1ul, 9999, -100ul, 0x7fffffff, 0x80000000, 0x100000003, 0};

    return below(10) ? FIRST_FD + below(LAST_FD - FIRST_FD) : ANY(odd);
}

static uintptr_t signal_number(void)
{
    uintptr_t signal = below(8) ? below(66) : number();

    return (signal & 0xffffffff) == SIGKILL || (signal & 0xffffffff) == SIGSTOP ? SIGUSR1 : signal;
}

/* The image's constants may be read, and what mmap made somewhere: that is not to become a mask or an action. */
static uintptr_t unreadable(void)
{
    static const uintptr_t fixed[] = {1, 4095, 0x8000000000000000, 0xffff800000000000, 0xfffffffffffffff8};

    return ANY(fixed);
}

/* A mask of signals that leaves the alarm alone. */
static uintptr_t mask(void)
{
    static const uint64_t none;

    switch (below(3)) {
    case 0:
        return unreadable();
    case 1:
        return 0;
    default:
        return (uintptr_t)&none;
    }
}

static uintptr_t any(void)
{
    switch (below(8)) {
    case 0:
        return descriptor();
    case 1:
    case 2:
    case 3:
        return number();
    default:
        return pointer();
    }
}

/* ---- calls that need care ---- */

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

void restore(void);
__asm__(".globl restore\nrestore: movl $15, %eax\n syscall");

static uintptr_t action(void)
{
    static struct kernel_action action;

    action = (struct kernel_action){below(3) ? on_signal : SIG_IGN, 0x04000000, restore, next_random()};
    if (below(2)) { /* by a timer of a microsecond a handler would interrupt itself until the stack is full */
        action.flags |= SA_RESTART | SA_NODEFER;
        action.mask = ~0ul;
    }
    return below(6) ? (uintptr_t)&action : below(2) ? unreadable() : 0;
}

static uintptr_t arena_page(void)
{
    return (uintptr_t)arena + below(ARENA_SIZE / PAGE) * PAGE;
}

/* At most what lies behind the address in the arena. */
static uintptr_t arena_length(uintptr_t address)
{
    uintptr_t left = (uintptr_t)arena + ARENA_SIZE - address, length = number();

    return length > left || left > ARENA_SIZE ? below(left % ARENA_SIZE + 1) : length;
}

static void forget_mapping(size_t i)
{
    if (mapping_sizes[i] != 0)
        munmap((void *)mappings[i], mapping_sizes[i]);
    mapping_sizes[i] = 0;
}

/* The ranges of /proc/self/maps; at most as many as there is room for. */
static size_t read_maps(struct range *ranges, size_t most)
{
    static char text[1 << 20];
    size_t count = 0, length = 0;
    int fd = open("/proc/self/maps", O_RDONLY);
    long got;

    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    text[length] = '\0';
    for (char *line = text; line && *line && count < most; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (sscanf(line, "%lx-%lx", &ranges[count].start, &ranges[count].end) == 2)
            count++;
    return count;
}

/* Everything that was not there at first. */
static void forget_mappings(void)
{
    static struct range now[4096];
    size_t count = read_maps(now, LENGTH(now));

    for (size_t i = 0; i < count; i++) {
        int known = 0;

        for (size_t j = 0; j < first_count; j++)
            known |= now[i].start < first_ranges[j].end && first_ranges[j].start < now[i].end;
        if (!known)
            munmap((void *)now[i].start, now[i].end - now[i].start);
    }
}

static void map(uintptr_t *a)
{
    static const int types[] = {MAP_PRIVATE, MAP_SHARED, 3, 0, MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS};
    size_t slot = below(MAPPINGS);

    a[2] = below(8);
    a[3] = (uintptr_t)ANY(types) | (below(4) ? 0 : next_random() & 0xfffff0u);
    a[3] &= ~(uintptr_t)(MAP_FIXED | 0x100000);
    a[4] = descriptor();
    a[5] = below(2) ? 0 : number();
    if (below(2)) {
        a[0] = arena_page();
        a[1] = arena_length(a[0]);
        a[3] |= MAP_FIXED;
        a[3] &= ~(uintptr_t)(MAP_GROWSDOWN | MAP_HUGETLB);
        errors[-call(SYS_mmap, a) & 4095]++;
        return;
    }
    a[0] = below(2) ? 0 : wild();
    a[1] = number();
    long result = call(SYS_mmap, a);

    if (result < 0 && result > -4096) {
        errors[-result]++;
        return;
    }
    size_t step = a[3] & MAP_HUGETLB ? 1ul << (a[3] >> 26 & 63 ? a[3] >> 26 & 63 : 21) : PAGE; /* whole pages */

    forget_mapping(slot);
    mappings[slot] = (uintptr_t)result;
    mapping_sizes[slot] = (a[1] + step - 1) & ~(step - 1);
}

/* The arguments of calls that could harm the program, made harmless. False: not this one. */
static int tame(long number_of_call, uintptr_t *a)
{
    switch (number_of_call) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
    case SYS_reboot:
        return 0;
    case SYS_mmap:
        map(a);
        return 0;
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_madvise:
    case 329: /* pkey_mprotect */
    case 440: /* process_madvise */
    case SYS_remap_file_pages:
        a[0] = below(8) ? arena_page() : core_address();
        a[1] = arena_length(a[0]);
        break;
    case SYS_mremap:
        a[0] = arena_page();
        a[1] = arena_length(a[0]);
        a[4] = arena_page();
        a[2] = arena_length(a[4]);
        a[3] = below(2) ? MREMAP_MAYMOVE | MREMAP_FIXED : below(9) & ~1ul;
        break;
    case SYS_mlockall:
        a[0] &= ~(uintptr_t)(MCL_CURRENT | MCL_FUTURE); /* all reservations at once */
        break;
    case SYS_brk:
        a[0] = core_address();
        break;
    case SYS_clone: /* a thread would begin with any stack and any frame on it */
        a[0] &= ~(uintptr_t)CLONE_THREAD;
        break;
    case 435: /* clone3: structures that cannot be read, sizes that there are not */
        if (below(2))
            a[0] = unreadable();
        else
            a[1] = below(2) ? below(64) : 89 + number() % PAGE;
        break;
    case SYS_arch_prctl: /* not the thread pointer */
        a[0] = below(2) ? 0x1003 + below(3) : number() | 0x2000;
        break;
    case SYS_rt_sigaction:
        a[0] = signal_number();
        a[1] = action();
        a[3] = below(8) ? 8 : number();
        break;
    case SYS_rt_sigsuspend:
        a[0] = mask();
        break;
    case SYS_ppoll:
        a[3] = mask();
        break;
    case SYS_epoll_pwait:
    case 441: /* epoll_pwait2 */
        a[4] = mask();
        break;
    case SYS_pselect6:
        a[5] = mask();
        break;
    case SYS_kill:
    case SYS_tkill:
        a[1] = signal_number();
        break;
    case SYS_rt_sigqueueinfo:
        a[1] = signal_number();
        break;
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo:
        a[2] = signal_number();
        break;
    case SYS_timer_create: /* a structure would name any signal */
        a[1] = below(2) ? unreadable() : 0;
        break;
    case SYS_prlimit64:
        a[2] = 0;
        break;
    case SYS_setrlimit:
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid:
    case SYS_setgroups:
    case SYS_setfsuid:
    case SYS_setfsgid:
    case SYS_capset:
        a[0] = -1ul;
        a[1] = -1ul;
        a[2] = -1ul;
        break;
    case SYS_close:
        a[0] = below(4) ? FIRST_FD + below(LAST_FD) : -1ul;
        break;
    case 436: /* close_range */
        a[0] = FIRST_FD + below(LAST_FD);
        a[1] = a[0] + below(20);
        break;
    case SYS_dup2:
    case SYS_dup3:
        a[1] = below(4) ? FIRST_FD + below(LAST_FD - FIRST_FD) : 0x7fffffff + below(9999);
        break;
    case SYS_futex:
        a[0] = in_arena();
        break;
    case SYS_getrandom: /* half a gigabyte of them takes its time */
        a[1] = below(100000);
        break;
    case SYS_chroot:
        a[0] = unreadable();
        break;
    }
    return 1;
}

/* Where the first argument is a descriptor, a path or a process for most calls that have one. */
static void choose(long number_of_call, uintptr_t *a)
{
    for (int i = 0; i < 6; i++)
        a[i] = any();
    switch (number_of_call) {
    case SYS_open:
    case SYS_stat:
    case SYS_lstat:
    case SYS_access:
    case SYS_truncate:
    case SYS_chdir:
    case SYS_rename:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_creat:
    case SYS_link:
    case SYS_unlink:
    case SYS_symlink:
    case SYS_readlink:
    case SYS_chmod:
    case SYS_chown:
    case SYS_lchown:
    case SYS_statfs:
    case SYS_mknod:
    case SYS_utime:
    case SYS_utimes:
        a[0] = path();
        if (below(2))
            a[1] = path();
        return;
    }
    if ((number_of_call >= SYS_openat && number_of_call <= SYS_faccessat) || number_of_call == SYS_utimensat ||
        number_of_call == 316 || number_of_call == 332 || number_of_call == 437 || number_of_call == 439) {
        a[0] = below(3) ? (uintptr_t)AT_FDCWD : descriptor();
        a[1] = path();
        if (below(2))
            a[3] = path();
        return;
    }
    if (below(2))
        a[0] = descriptor();
    if (below(4) == 0)
        a[0] = number_of_call == SYS_kill ? (uintptr_t)getpid() : number();
}

/* The alarm that ends waiting is there again, whatever the last call has done to it. */
static void arm(void)
{
    static const struct kernel_action alarm_action = {on_signal, 0x04000000, restore, 0};
    static const struct itimerval soon = {{0, 20000}, {0, 5000}};
    static const uint64_t none;

    call(SYS_rt_sigaction, (uintptr_t[]){SIGALRM, (uintptr_t)&alarm_action, 0, 8, 0, 0});
    call(SYS_rt_sigprocmask, (uintptr_t[]){SIG_SETMASK, (uintptr_t)&none, 0, 8, 0, 0});
    call(SYS_setitimer, (uintptr_t[]){ITIMER_REAL, (uintptr_t)&soon, 0, 0, 0, 0});
}

/* From this descriptor on, but the console's. */
static void close_all(unsigned first)
{
    syscall(436, first, CONSOLE - 1, 0); /* close_range */
    syscall(436, CONSOLE + 1, -1u, 0);
}

/* Something to work with: files, a pipe, an epoll instance, a piece of the arena that is there. */
static void provide(void)
{
    static const int flags[] = {O_RDWR, O_RDONLY, O_WRONLY | O_APPEND, O_RDWR | O_TRUNC, O_RDWR | O_NONBLOCK};
    char name[40];

    chdir(folder);
    switch (below(7)) {
    case 6: /* there are never too many */
        close_all(LAST_FD);
        break;
    case 0:
        snprintf(name, sizeof name, "%c", (char)('a' + below(4)));
        open(name, ANY(flags) | O_CREAT, 0644);
        break;
    case 1:
        syscall(SYS_pipe2, arena + PAGE, O_NONBLOCK);
        break;
    case 2:
        syscall(SYS_epoll_create1, 0);
        syscall(SYS_eventfd2, 1, 0);
        break;
    case 3:
        mkdir("d", 0755), mkdir("d/e", 0755), symlink("d", "link");
        open("d", O_RDONLY | O_DIRECTORY);
        break;
    case 4:
        syscall(SYS_memfd_create, "fuzz", 0);
        open("/proc/self/maps", O_RDONLY);
        break;
    default:
        mmap((void *)arena_page(), PAGE * (1 + below(64)), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
}

static void one_call(void)
{
    uintptr_t a[6];
    long number_of_call = (long)(below(60) ? below(335) : below(4) ? 424 + below(40) : number());
    long result;

    choose(number_of_call, a);
    calls++;
    if (!tame(number_of_call & 0xffffffff, a))
        return;
    for (int i = 0; i < 6; i++)
        if ((unsigned)a[i] == CONSOLE)
            a[i] = FIRST_FD;
    if (trace)
        dprintf(CONSOLE, "%ld(%lx, %lx, %lx, %lx, %lx, %lx)\n", number_of_call, a[0], a[1], a[2], a[3], a[4], a[5]);
    result = call(number_of_call, a);
    if (result < 0 && result > -4096)
        errors[-result]++;
    else
        errors[0]++;
}

/* ---- before and after ---- */

/* Backs the stack: a handler's frame finds room even when all memory is used up. */
static __attribute__((noinline)) void touch_stack(void)
{
    volatile char room[64 << 10];

    for (size_t i = 0; i < sizeof room; i += PAGE)
        room[i] = 0;
}

static void set_up(void)
{
    struct kernel_action handled = {on_signal, 0x04000000, restore, 0};

    touch_stack();
    first_count = read_maps(first_ranges, LENGTH(first_ranges));
    arena = mmap(NULL, ARENA_SIZE + 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    structures = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(structures + 4 * PAGE, 2 * PAGE);
    memset(structures + 3 * PAGE, 'e', PAGE); /* a string that does not end */
    for (int signal = 1; signal <= 64; signal++)
        call(SYS_rt_sigaction, (uintptr_t[]){(uintptr_t)signal, (uintptr_t)&handled, 0, 8, 0, 0});
    mkdir(folder, 0777);
    chdir(folder);
    fflush(stdout);
    dup2(1, CONSOLE);
    int null = open("/dev/null", O_RDWR);

    dup2(null, 0), dup2(null, 1), dup2(null, 2);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    if (strncmp(path, "/proc", 5) && strncmp(path, "/sys", 4) && strncmp(path, "/dev", 4))
        remove(path);
    return 0;
}

/* All files: some calls change the working directory. */
static void remove_files(void)
{
    chdir("/");
    nftw("/", remove_one, 10, FTW_DEPTH | FTW_PHYS);
}

static void give_back(void)
{
    call(SYS_setitimer, (uintptr_t[]){ITIMER_REAL, (uintptr_t) & (struct itimerval){{0, 0}, {0, 0}}, 0, 0, 0, 0});
    for (size_t i = 0; i < MAPPINGS; i++)
        forget_mapping(i);
    forget_mappings();
    close_all(FIRST_FD);
    for (int id = 0; id < 100000; id++)
        syscall(SYS_timer_delete, id);
    remove_files();
    dup2(CONSOLE, 1), dup2(CONSOLE, 2);
}

static unsigned long free_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) ? 0 : info.freeram * info.mem_unit;
}

static int check_file(void)
{
    static char wrote[100000], got[100000];
    int fd = open("/callfuzz-check", O_RDWR | O_CREAT | O_TRUNC, 0644);

    for (size_t i = 0; i < sizeof wrote; i++)
        wrote[i] = (char)next_random();
    if (fd < 0 || write(fd, wrote, sizeof wrote) != sizeof wrote || pread(fd, got, sizeof got, 0) != sizeof got)
        return 0;
    close(fd);
    unlink("/callfuzz-check");
    return memcmp(wrote, got, sizeof got) == 0;
}

static int check_memory(void)
{
    size_t size = 8 << 20;
    char *memory = malloc(size);

    if (memory == NULL)
        return 0;
    memset(memory, 0x5a, size);
    for (size_t i = 0; i < size; i++)
        if (memory[i] != 0x5a)
            return 0;
    free(memory);
    return 1;
}

static void report(unsigned long before, unsigned long after)
{
    unsigned kinds = 0;

    for (size_t i = 1; i < LENGTH(errors); i++)
        kinds += errors[i] > 0;
    printf("%lu calls, %lu succeeded, %u different errors\n", (unsigned long)calls, (unsigned long)errors[0], kinds);
    printf("free memory: %lu KiB before, %lu KiB after\n", before >> 10, after >> 10);
    printf("memory given back: %s\n", after + (2ul << 20) >= before ? "yes" : "no");
    printf("allocates: %s\n", check_memory() ? "yes" : "no");
    printf("writes and reads: %s\n", check_file() ? "yes" : "no");
#ifdef QUIRE_IMAGE
    printf("address space: %s\n", vm_validate(vm_space()) ? vm_validate(vm_space()) : "sound");
#endif
}

int main(int count, char **arguments)
{
    long seconds = count > 1 ? atol(arguments[1]) : 60;
    struct timespec start, now;
    unsigned long before;

    state = count > 2 ? strtoul(arguments[2], NULL, 0) : 0;
    while (state == 0)
        syscall(SYS_getrandom, &state, sizeof state, 0);
    trace = count > 3;
    printf("callfuzz %ld %#lx\n", seconds, (unsigned long)state);
    free(malloc(1)); /* what the heap needs to begin with is no loss */
    before = free_memory();
    set_up();
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 100; i++) {
            arm();
            if (below(20) == 0)
                provide(); /* may wait, at a fifo */
            arm();
            one_call();
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < seconds);
    give_back();
    report(before, free_memory());
    return 0;
}
