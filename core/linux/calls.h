/*
 * What the files of core/linux share. A function linux_NAME is the system call NAME: arguments and results are Linux's
 * (man 2 NAME), errors negative. Memory that the program named is reached through user_read and user_write only: a wild
 * pointer is EFAULT.
 */
#ifndef CORE_LINUX_CALLS_H
#define CORE_LINUX_CALLS_H

#include "core/archive.h"
#include "core/base/error.h"
#include "core/base/types.h"
#include "core/linux/abi.h"

/* files.c: descriptors (core/linux/file.h). transfer.c: reading and writing. tree.c: names and directories. */
struct archive *linux_files(void); /* the packed files; empty if the image has none */
/* Finds the packed files; refuses what is no archive. */
void linux_tree_init(void);

long linux_read(int fd, void *buffer, size_t length);
long linux_write(int fd, const void *buffer, size_t length);
long linux_readv(int fd, const struct linux_iovec *vector, int count);
long linux_writev(int fd, const struct linux_iovec *vector, int count);
long linux_pread64(int fd, void *buffer, size_t length, int64_t offset);
long linux_pwrite64(int fd, const void *buffer, size_t length, int64_t offset);
long linux_preadv(int fd, const struct linux_iovec *vector, int count, int64_t offset);
long linux_pwritev(int fd, const struct linux_iovec *vector, int count, int64_t offset);
long linux_preadv2(int fd, const struct linux_iovec *, int count, int64_t offset, unsigned long high, int flags);
long linux_pwritev2(int fd, const struct linux_iovec *, int count, int64_t offset, unsigned long high, int flags);
long linux_lseek(int fd, int64_t offset, int whence);
long linux_close(int fd);
long linux_close_range(unsigned first, unsigned last, unsigned flags);
long linux_dup(int fd);
long linux_dup2(int fd, int to);
long linux_dup3(int fd, int to, int flags);
long linux_fcntl(int fd, int command, unsigned long argument);
long linux_ioctl(int fd, unsigned request, unsigned long argument);
long linux_fsync(int fd);

long linux_open(const char *path, int flags, unsigned mode);
long linux_openat(int directory, const char *path, int flags, unsigned mode);
long linux_creat(const char *path, unsigned mode);
long linux_stat(const char *path, struct linux_stat *);
long linux_fstat(int fd, struct linux_stat *);
long linux_newfstatat(int directory, const char *path, struct linux_stat *, int flags);
long linux_access(const char *path, int mode);
long linux_faccessat(int directory, const char *path, int mode);
long linux_faccessat2(int directory, const char *path, int mode, int flags);
long linux_readlink(const char *path, char *buffer, int size);
long linux_readlinkat(int directory, const char *path, char *buffer, int size);
long linux_getcwd(char *buffer, size_t size);
long linux_chdir(const char *path);
long linux_fchdir(int fd);
long linux_getdents64(int fd, void *buffer, unsigned size);

/* console.c: takes in what has arrived, in which Ctrl-C may be. True: something had. */
bool console_look(void);

/* time.c */
long linux_clock_gettime(int clock, struct linux_timespec *);
long linux_clock_getres(int clock, struct linux_timespec *);
long linux_gettimeofday(struct linux_timeval *, void *zone);
long linux_time(int64_t *seconds);
long linux_nanosleep(const struct linux_timespec *, struct linux_timespec *rest);
long linux_clock_nanosleep(int clock, int flags, const struct linux_timespec *, struct linux_timespec *rest);
long linux_getrusage(int who, struct linux_rusage *);
long linux_times(struct linux_tms *);
/* Nanoseconds of a time span from the program; E_FAULT, E_INVAL. Spans of more than centuries are cut. */
error_t linux_read_span(const struct linux_timespec *, uint64_t *nanoseconds);

/* process.c */
long linux_zero(void);  /* calls that succeed and do nothing: sched_yield, getuid, getppid ... */
long linux_one(void);   /* getpid: the program is process 1 */
long linux_quiet(void); /* ENOSYS that every libc knows how to take */
long linux_arch_prctl(int operation, unsigned long argument);
long linux_getrandom(void *buffer, size_t length, unsigned flags);
long linux_uname(struct linux_utsname *);
long linux_sysinfo(struct linux_sysinfo *);
long linux_prlimit64(int pid, unsigned resource, const struct linux_rlimit *, struct linux_rlimit *old);
long linux_getrlimit(unsigned resource, struct linux_rlimit *);
long linux_setrlimit(unsigned resource, const struct linux_rlimit *);
uint64_t linux_descriptor_limit(void); /* RLIMIT_NOFILE: descriptors are below it */
uint64_t linux_file_size_limit(void);  /* RLIMIT_FSIZE */
uint64_t linux_signal_limit(void);     /* RLIMIT_SIGPENDING: real-time signals in the queue */

/* CPU time of the thread with the number, of the running one if that is 0, in ns; false: there is none (thread.c,
 * alone.c). */
bool linux_thread_cpu_time(int id, uint64_t *time);

/* thread.c, futex.c; alone.c, without threads. exit ends the running thread, exit_group the program. */
_Noreturn void linux_exit(int status);
_Noreturn void linux_exit_group(int status);
long linux_gettid(void);
long linux_set_tid_address(uint32_t *);
long linux_set_robust_list(uintptr_t head, size_t size);
long linux_get_robust_list(int thread, uintptr_t *head, size_t *size);
long linux_sched_yield(void);
long linux_clone(void); /* arch/x86_64/syscall.S, over linux_begin_thread */
long linux_clone3(void);
struct trap_frame;
/* The call's frame: the number of the new thread, or -E_*. */
long linux_begin_thread(struct trap_frame *call, int is_clone3);
void linux_threads_init(void);
long linux_futex(const uint32_t *word, int operation, uint32_t value, const struct linux_timespec *timeout,
                 const uint32_t *second, uint32_t bitset);

/* signals.c: dispositions and masks are kept; a signal ends the program, is ignored, or waits until it is unblocked */
long linux_rt_sigaction(int signal, const struct linux_sigaction *, struct linux_sigaction *old, size_t set_size);
long linux_rt_sigprocmask(int how, const uint64_t *set, uint64_t *old, size_t set_size);
long linux_rt_sigpending(uint64_t *set, size_t set_size);
long linux_sigaltstack(const struct linux_stack *, struct linux_stack *old);
long linux_kill(int pid, int signal);
long linux_tgkill(int group, int thread, int signal);
long linux_tkill(int thread, int signal);

#endif
