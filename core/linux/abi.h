/*
 * Numbers and structures of the Linux x86-64 interface that the calls here take and give (the kernel's uapi headers;
 * sizes are part of the interface and asserted).
 */
#ifndef CORE_LINUX_ABI_H
#define CORE_LINUX_ABI_H

#include "core/base/types.h"

/* mmap, mremap, madvise */
#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MAP_SHARED_VALIDATE 0x03
#define MAP_TYPE 0x0f
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_32BIT 0x40
#define MAP_ABOVE4G 0x80
#define MAP_GROWSDOWN 0x100
#define MAP_DENYWRITE 0x800
#define MAP_EXECUTABLE 0x1000
#define MAP_LOCKED 0x2000
#define MAP_NONBLOCK 0x10000
#define MAP_STACK 0x20000
#define MAP_SYNC 0x80000
#define MAP_UNINITIALIZED 0x4000000
#define PROT_SEM 8
#define PROT_GROWSDOWN 0x1000000
#define PROT_GROWSUP 0x2000000
#define MAP_POPULATE 0x8000
#define MAP_NORESERVE 0x4000
#define MAP_HUGETLB 0x40000
#define MAP_FIXED_NOREPLACE 0x100000
#define MAP_HUGE_SHIFT 26
#define MAP_HUGE_MASK 0x3f
#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#define MREMAP_DONTUNMAP 4

/* open, fcntl, lseek, *at */
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_ACCMODE 3
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define O_ASYNC 020000
#define O_DIRECT 040000
#define O_LARGEFILE 0100000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#define O_NOATIME 01000000
#define O_CLOEXEC 02000000
#define O_PATH 010000000
#define O_TMPFILE (020000000 | O_DIRECTORY)
#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_NO_AUTOMOUNT 0x800
#define AT_EMPTY_PATH 0x1000
enum { F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC = 1030 };
enum { F_OFD_GETLK = 36, F_OFD_SETLK, F_OFD_SETLKW };
enum { F_SETPIPE_SZ = 1031, F_GETPIPE_SZ };
enum { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };
#define LINUX_S_IFCHR 0020000u
enum { DT_DIR = 4, DT_REG = 8 };

struct linux_timespec {
    int64_t seconds, nanoseconds;
};

struct linux_timeval {
    int64_t seconds, microseconds;
};

struct linux_itimerspec {
    struct linux_timespec interval, value;
};

struct linux_iovec {
    void *base;
    size_t length;
};

struct linux_stat {
    uint64_t device, inode, links;
    uint32_t mode, uid, gid, padding;
    uint64_t special_device;
    int64_t size, block_size, blocks;
    struct linux_timespec access, modification, change;
    int64_t unused[3];
};
_Static_assert(sizeof(struct linux_stat) == 144, "struct stat of x86-64");

struct linux_dirent64 { /* the name, terminated, follows at once */
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
} __attribute__((packed));
#define LINUX_DIRENT64_NAME 19
_Static_assert(sizeof(struct linux_dirent64) == LINUX_DIRENT64_NAME, "the name follows at once");

struct linux_pollfd {
    int32_t descriptor;
    int16_t events, happened;
};
enum { POLLIN = 1, POLLOUT = 4, POLLNVAL = 32, POLLRDNORM = 64, POLLWRNORM = 256 };

/* Terminals (asm-generic/termbits.h, ioctls.h) */
#define TTY_CHARACTERS 19
struct linux_termios {
    uint32_t input, output, control, local;
    uint8_t discipline, characters[TTY_CHARACTERS];
};
_Static_assert(sizeof(struct linux_termios) == 36, "struct termios of the kernel");
enum {
    VINTR,
    VQUIT,
    VERASE,
    VKILL,
    VEOF,
    VTIME,
    VMIN,
    VSWTC,
    VSTART,
    VSTOP,
    VSUSP,
    VEOL,
    VREPRINT,
    VDISCARD,
    VWERASE,
    VLNEXT
};
enum { INLCR = 0100, IGNCR = 0200, ICRNL = 0400 };
enum { ISIG = 01, ICANON = 02, ECHO = 010, ECHOE = 020, ECHOK = 040, ECHONL = 0100, IEXTEN = 0100000 };
#define CONTROL_115200_8N1 (010002u | 060u | 0200u | 04000u) /* B115200, CS8, CREAD, CLOCAL */
enum {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403,
    TCSETSF = 0x5404,
    TIOCGPGRP = 0x540f,
    TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414,
    FIONREAD = 0x541b,
    FIONBIO = 0x5421,
    FIONCLEX = 0x5450,
    FIOCLEX = 0x5451,
};
struct linux_winsize {
    uint16_t rows, columns, width, height;
};

/* Clocks */
enum {
    CLOCK_REALTIME,
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_THREAD_CPUTIME_ID,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_COARSE,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_BOOTTIME,
    CLOCK_REALTIME_ALARM,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_TAI = 11,
};
#define TIMER_ABSTIME 1

/* Processes */
struct linux_utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

struct linux_sysinfo {
    int64_t uptime;
    uint64_t loads[3], ram, free_ram, shared_ram, buffer_ram, swap, free_swap;
    uint16_t processes, padding;
    uint64_t high_ram, free_high_ram;
    uint32_t unit;
};
_Static_assert(sizeof(struct linux_sysinfo) == 112, "struct sysinfo of x86-64");

struct linux_rlimit {
    uint64_t soft, hard;
};
enum { RLIMIT_FSIZE = 1, RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_NOFILE = 7, RLIMIT_SIGPENDING = 11, RLIMITS = 16 };
#define RLIM_INFINITY UINT64_MAX

struct linux_rusage {
    struct linux_timeval user, system;
    int64_t resident_max, shared, data, stack, minor_faults, major_faults, unused[8];
};
_Static_assert(sizeof(struct linux_rusage) == 144, "struct rusage of x86-64");

struct linux_tms {
    int64_t user, system, children_user, children_system;
};
#define CLOCK_TICKS 100 /* a second: USER_HZ, AT_CLKTCK */

struct linux_sigaction {
    uintptr_t handler;
    uint64_t flags;
    uintptr_t restorer;
    uint64_t mask;
};
#define SIGNALS 64
enum { SIG_DFL, SIG_IGN };
enum { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK };
enum {
    SIGHUP = 1,
    SIGINT,
    SIGQUIT,
    SIGILL,
    SIGTRAP,
    SIGABRT,
    SIGBUS,
    SIGFPE,
    SIGKILL,
    SIGUSR1,
    SIGSEGV,
    SIGUSR2,
    SIGPIPE,
    SIGALRM,
    SIGTERM,
    SIGSTKFLT,
    SIGCHLD,
    SIGCONT,
    SIGSTOP,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGXCPU,
    SIGXFSZ,
    SIGVTALRM,
    SIGPROF,
    SIGWINCH,
    SIGIO,
    SIGPWR,
    SIGSYS,
};
#define SA_NOCLDSTOP 0x1u
#define SA_NOCLDWAIT 0x2u
#define SA_SIGINFO 0x4u
#define SA_EXPOSE_TAGBITS 0x800u
#define SA_RESTORER 0x04000000u
#define SA_ONSTACK 0x08000000u
#define SA_RESTART 0x10000000u
#define SA_NODEFER 0x40000000u
#define SA_RESETHAND 0x80000000u

/* Why there is a signal (asm-generic/siginfo.h). */
enum { SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_TKILL = -6 };
enum { ILL_OPN = 2 };
enum { FPE_INTDIV = 1, FPE_FLTDIV = 3, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV, FPE_FLTUNK = 14 };
enum { SEGV_MAPERR = 1, SEGV_ACCERR };
enum { BUS_ADRALN = 1, BUS_ADRERR };
enum { TRAP_BRKPT = 1, TRAP_TRACE };

/* What the kernel keeps of a siginfo_t: its first bytes, the rest is zero. */
struct signal_info {
    int32_t signal, error, code, padding;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            uint64_t value;
        } sender;
        struct {
            int32_t id, overrun;
            uint64_t value;
        } timer;
        uintptr_t address; /* of a fault */
        uint64_t words[4];
    };
};
#define LINUX_SIGINFO_SIZE 128

struct linux_stack { /* stack_t */
    uintptr_t start;
    int32_t flags;
    size_t size;
};
enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM (1u << 31)
#define LINUX_MINSIGSTKSZ 2048

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };

#endif
