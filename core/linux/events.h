/*
 * Pipes and what a program waits for: eventfd, timerfd, signalfd, epoll, poll, select. Errors are Linux's (the man
 * pages, section 2). Nothing of this is linked into images whose program uses none of it.
 */
#ifndef CORE_LINUX_EVENTS_H
#define CORE_LINUX_EVENTS_H

#include "core/linux/abi.h"
#include "core/linux/file.h"

#define E_CANCELED 125 /* ECANCELED, no error of the rest of the core */

/* Masks of poll(2) and epoll_ctl(2); the first ones are in abi.h. */
enum { POLLPRI = 2, POLLERR = 8, POLLHUP = 16, POLLRDBAND = 128, POLLWRBAND = 512, POLLRDHUP = 0x2000 };

struct linux_epoll_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed)); /* on x86-64 only */
_Static_assert(sizeof(struct linux_epoll_event) == 12, "struct epoll_event of x86-64");

/* ---- pipe.c ---- */

#define PIPE_SIZE_MAX ((size_t)1 << 20) /* /proc/sys/fs/pipe-max-size */

/*
 * The file, whose flags are set, becomes an end of the FIFO's pipe: operations and own. Waits for the other end as
 * Linux does (fifo(7)). E_NOMEM, E_NXIO, E_RESTART (a signal) leave it as it was.
 */
error_t pipe_open_fifo(struct file *, struct node *);

long linux_pipe(int *fds);
long linux_pipe2(int *fds, int flags);

/* ---- eventfd.c, timerfd.c, signalfd.c ---- */

long linux_eventfd(unsigned value);
long linux_eventfd2(unsigned value, int flags);
long linux_timerfd_create(int clock, int flags);
long linux_timerfd_settime(int fd, int flags, const struct linux_itimerspec *, struct linux_itimerspec *old);
long linux_timerfd_gettime(int fd, struct linux_itimerspec *);
long linux_signalfd(int fd, const uint64_t *mask, size_t size);
long linux_signalfd4(int fd, const uint64_t *mask, size_t size, int flags);

/* ---- sockets.c ---- */

long linux_socket(int family, int type, int protocol);
long linux_socketpair(int family, int type, int protocol, int *fds);
long linux_not_a_socket(int fd); /* the calls on a socket */

/* ---- epoll.c ---- */

long linux_epoll_create(int size);
long linux_epoll_create1(int flags);
long linux_epoll_ctl(int epoll, int operation, int fd, struct linux_epoll_event *);
long linux_epoll_wait(int epoll, struct linux_epoll_event *, int max, int timeout);
long linux_epoll_pwait(int epoll, struct linux_epoll_event *, int max, int timeout, const uint64_t *mask, size_t size);
long linux_epoll_pwait2(int epoll, struct linux_epoll_event *, int max, const struct linux_timespec *timeout,
                        const uint64_t *mask, size_t size);

/* ---- poll.c ---- */

/* Poll's answer for a file: POLL* bits. */
unsigned file_poll(struct file *);

long linux_poll(struct linux_pollfd *list, unsigned count, int timeout);
long linux_ppoll(struct linux_pollfd *list, unsigned count, struct linux_timespec *timeout, const uint64_t *mask,
                 size_t size);
long linux_select(int count, void *in, void *out, void *exceptional, struct linux_timeval *timeout);
long linux_pselect6(int count, void *in, void *out, void *exceptional, struct linux_timespec *timeout,
                    const uintptr_t *mask_and_size);

#endif
