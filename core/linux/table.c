/*
 * Which function serves which number. The functions have the types of the calls; the trap passes registers, and what a
 * function does not take it does not look at (psABI, 3.2.3), so the table may hold them all as one type.
 */
#include "core/base/print.h"
#include "core/linux/calls.h"
#include "core/linux/linux.h"

#define CALL(function) (linux_syscall)(void (*)(void)) function

/* The range first, then what is there: the override is meant. */
#pragma clang diagnostic ignored "-Winitializer-overrides"

const linux_syscall linux_syscalls[LINUX_SYSCALL_COUNT] = {
    [0 ... LINUX_SYSCALL_COUNT - 1] = linux_absent,
    [0] = CALL(linux_read),
    [1] = CALL(linux_write),
    [2] = CALL(linux_open),
    [3] = CALL(linux_close),
    [4] = CALL(linux_stat),
    [5] = CALL(linux_fstat),
    [6] = CALL(linux_stat), /* lstat: there are no links */
    [7] = CALL(linux_poll),
    [8] = CALL(linux_lseek),
    [9] = CALL(linux_mmap),
    [10] = CALL(linux_mprotect),
    [11] = CALL(linux_munmap),
    [12] = CALL(linux_brk),
    [13] = CALL(linux_rt_sigaction),
    [14] = CALL(linux_rt_sigprocmask),
    [16] = CALL(linux_ioctl),
    [17] = CALL(linux_pread64),
    [18] = CALL(linux_pwrite64),
    [19] = CALL(linux_readv),
    [20] = CALL(linux_writev),
    [21] = CALL(linux_access),
    [24] = CALL(linux_zero), /* sched_yield */
    [25] = CALL(linux_mremap),
    [28] = CALL(linux_madvise),
    [32] = CALL(linux_dup),
    [33] = CALL(linux_dup2),
    [35] = CALL(linux_nanosleep),
    [39] = CALL(linux_one), /* getpid */
    [60] = CALL(linux_exit),
    [62] = CALL(linux_kill),
    [63] = CALL(linux_uname),
    [72] = CALL(linux_fcntl),
    [74] = CALL(linux_fsync),
    [75] = CALL(linux_fsync), /* fdatasync */
    [79] = CALL(linux_getcwd),
    [80] = CALL(linux_chdir),
    [81] = CALL(linux_fchdir),
    [85] = CALL(linux_creat),
    [89] = CALL(linux_readlink),
    [96] = CALL(linux_gettimeofday),
    [97] = CALL(linux_getrlimit),
    [98] = CALL(linux_getrusage),
    [99] = CALL(linux_sysinfo),
    [100] = CALL(linux_times),
    [102] = CALL(linux_zero), /* getuid */
    [104] = CALL(linux_zero), /* getgid */
    [107] = CALL(linux_zero), /* geteuid */
    [108] = CALL(linux_zero), /* getegid */
    [110] = CALL(linux_zero), /* getppid */
    [111] = CALL(linux_one),  /* getpgrp */
    [127] = CALL(linux_rt_sigpending),
    [131] = CALL(linux_sigaltstack),
    [158] = CALL(linux_arch_prctl),
    [160] = CALL(linux_setrlimit),
    [162] = CALL(linux_zero), /* sync */
    [186] = CALL(linux_one),  /* gettid */
    [200] = CALL(linux_tkill),
    [201] = CALL(linux_time),
    [202] = CALL(linux_futex),
    [204] = CALL(linux_sched_getaffinity),
    [217] = CALL(linux_getdents64),
    [218] = CALL(linux_one), /* set_tid_address: there is no other thread that could wait for it */
    [228] = CALL(linux_clock_gettime),
    [229] = CALL(linux_clock_getres),
    [230] = CALL(linux_clock_nanosleep),
    [231] = CALL(linux_exit), /* exit_group */
    [234] = CALL(linux_tgkill),
    [257] = CALL(linux_openat),
    [262] = CALL(linux_newfstatat),
    [267] = CALL(linux_readlinkat),
    [269] = CALL(linux_faccessat),
    [271] = CALL(linux_ppoll),
    [273] = CALL(linux_zero), /* set_robust_list: nobody outlives the thread */
    [292] = CALL(linux_dup3),
    [302] = CALL(linux_prlimit64),
    [318] = CALL(linux_getrandom),
    [334] = CALL(linux_quiet), /* rseq */
    [439] = CALL(linux_faccessat2),
};

long linux_absent(unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e, unsigned long f,
                  unsigned long number)
{
    static uint64_t reported[LINUX_SYSCALL_COUNT / 64 + 1]; /* the last word: numbers beyond the table */
    size_t index = number < LINUX_SYSCALL_COUNT ? number : LINUX_SYSCALL_COUNT;
    uint64_t bit = (uint64_t)1 << index % 64;
    char name[40] = "";

    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    if (!(reported[index / 64] & bit)) {
        reported[index / 64] |= bit;
        linux_syscall_name(number, name, sizeof(name));
        kprintf("quire: system call %s%s%lu%s is not there: ENOSYS\n", name, *name ? " (" : "", number,
                *name ? ")" : "");
    }
    return -E_NOSYS;
}
