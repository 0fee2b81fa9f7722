/*
 * Sockets: there is no network yet, nor any other family of addresses. Programs that ask are told so as a Linux without
 * those families tells them, and go on without; no descriptor is a socket.
 */
#include "core/cpu.h"
#include "core/linux/events.h"

#define E_NOTSOCK 88

/* Of socket(2): what Linux checks before it looks for the family. */
#define SOCK_TYPE_MASK 0xf
#define SOCK_MAX 11 /* types */
#define NPROTO 46   /* families */

/* C libraries ask for sockets of daemons (nscd) on the way to their files; with this answer they go on without. */
long linux_socket(int family, int type, int protocol)
{
    (void)protocol;
    if (type & ~(SOCK_TYPE_MASK | O_NONBLOCK | O_CLOEXEC))
        return -E_INVAL;
    if (family >= 0 && family < NPROTO && (type & SOCK_TYPE_MASK) >= SOCK_MAX)
        return -E_INVAL;
    return -E_AFNOSUPPORT;
}

long linux_socketpair(int family, int type, int protocol, int *user)
{
    const int none[2] = {-1, -1};

    if (type & ~(SOCK_TYPE_MASK | O_NONBLOCK | O_CLOEXEC))
        return -E_INVAL;
    if (user_write(user, none, sizeof(none)) != E_SUCCESS)
        return -E_FAULT;
    return linux_socket(family, type, protocol);
}

long linux_not_a_socket(int fd)
{
    return linux_file_usable(fd) == NULL ? -E_BADF : -E_NOTSOCK;
}
