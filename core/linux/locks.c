/*
 * Locks. Those of fcntl belong to the process: one process never waits for itself, so they are checked and succeed
 * (those of F_OFD_SETLK too). Those of flock belong to open files, of which a process may have several on one file:
 * they are kept in a list, and one that conflicts is refused, or waited for until a signal comes.
 */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/tree.h"
#include "core/linux/wait.h"

enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };

struct held_lock {
    struct held_lock *next;
    struct file *file;
    bool exclusive;
};
static struct held_lock *held_locks; /* of flock */

static struct held_lock **find_lock(const struct file *file)
{
    struct held_lock **at = &held_locks;

    while (*at != NULL && (*at)->file != file)
        at = &(*at)->next;
    return at;
}

static bool conflicts(const struct file *file, bool exclusive)
{
    for (const struct held_lock *lock = held_locks; lock != NULL; lock = lock->next)
        if (lock->file != file && lock->file->node == file->node && (exclusive || lock->exclusive))
            return true;
    return false;
}

/* The lock of the file, which it no longer holds; NULL: there is none. */
static struct held_lock *take_lock(const struct file *file)
{
    struct held_lock **at = find_lock(file), *lock = *at;

    if (lock == NULL)
        return NULL;
    *at = lock->next;
    linux_wake_waiting();
    return lock;
}

void file_unlock(struct file *file)
{
    struct held_lock *lock = take_lock(file);

    if (lock != NULL)
        core_release(lock, sizeof(*lock));
}

static error_t wait_for_lock(const struct file *file, bool exclusive, bool wait)
{
    while (conflicts(file, exclusive)) {
        if (!wait)
            return E_AGAIN;
        if (linux_wait(WAIT_FOR_EVER) != E_SUCCESS)
            return E_RESTART;
    }
    return E_SUCCESS;
}

/* As on Linux a lock of the other kind is given up first, even if the new one is not got then. */
static long lock_file(struct file *file, bool exclusive, bool wait)
{
    struct held_lock *lock = take_lock(file);
    error_t error;

    if (lock == NULL)
        lock = core_allocate(sizeof(*lock));
    if (lock == NULL)
        return -E_NOMEM;
    error = wait_for_lock(file, exclusive, wait);
    if (error != E_SUCCESS) {
        core_release(lock, sizeof(*lock));
        return -error;
    }
    file_unlock(file); /* another thread was quicker, with the same open file */
    *lock = (struct held_lock){.next = held_locks, .file = file, .exclusive = exclusive};
    held_locks = lock;
    return 0;
}

long linux_flock(int fd, int operation)
{
    struct file *file;
    int what = operation & ~LOCK_NB;

    if (what != LOCK_SH && what != LOCK_EX && what != LOCK_UN)
        return -E_INVAL;
    file = linux_file_usable(fd);
    if (file == NULL)
        return -E_BADF;
    if (what == LOCK_UN)
        file_unlock(file);
    else if (file->node != NULL)
        return lock_file(file, what == LOCK_EX, !(operation & LOCK_NB));
    return 0;
}

/* Where the range begins, and whether it is one. */
static error_t check_range(const struct file *file, const struct linux_flock *lock)
{
    int64_t start = lock->start, end, base;

    if (lock->whence < SEEK_SET || lock->whence > SEEK_END)
        return E_INVAL;
    base = lock->whence == SEEK_SET           ? 0
           : lock->whence == SEEK_CUR         ? (int64_t)file->offset
           : node_type(file->node) == S_IFREG ? (int64_t)file->node->contents.size
                                              : 0;
    if (__builtin_add_overflow(base, start, &start))
        return E_OVERFLOW;
    if (start < 0)
        return E_INVAL;
    if (lock->length > 0 && __builtin_add_overflow(start, lock->length - 1, &end))
        return E_OVERFLOW;
    return lock->length < 0 && start + lock->length < 0 ? E_INVAL : E_SUCCESS;
}

long file_lock(struct file *file, int command, unsigned long argument)
{
    struct linux_flock lock;
    bool asks = command == F_GETLK || command == F_OFD_GETLK;
    error_t error;

    if (user_read(&lock, (const void *)argument, sizeof(lock)) != E_SUCCESS)
        return -E_FAULT;
    if (lock.type != F_RDLCK && lock.type != F_WRLCK && (lock.type != F_UNLCK || asks))
        return -E_INVAL;
    error = check_range(file, &lock);
    if (error != E_SUCCESS)
        return -error;
    if (command >= F_OFD_GETLK && command <= F_OFD_SETLKW && lock.process != 0)
        return -E_INVAL;
    if (asks) {
        lock.type = F_UNLCK;
        return -user_write((void *)argument, &lock, sizeof(lock));
    }
    if ((lock.type == F_RDLCK && !file_is_readable(file)) || (lock.type == F_WRLCK && !file_is_writable(file)))
        return -E_BADF;
    return 0;
}
