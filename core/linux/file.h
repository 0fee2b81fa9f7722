/*
 * Open files. A descriptor names an open file (Linux's open file description); what it does is its table of operations:
 * the console, a regular file, a directory, a pipe, an epoll instance. Descriptors are in files.c.
 */
#ifndef CORE_LINUX_FILE_H
#define CORE_LINUX_FILE_H

#include "core/base/error.h"
#include "core/base/types.h"

struct file;
struct node;      /* core/linux/node.h */
struct vm_object; /* vm/object.h */
struct linux_stat;

/*
 * All results are Linux's: a count, or -E_*. `user` points into the program's memory, which may be unmapped (user_copy,
 * or linux_copy for partial counts). NULL operations mean what their lines say.
 */
struct file_operations {
    const char *name; /* what /proc/self/fd shows of files without a path: "pipe", "anon_inode:[eventpoll]" */
    /* offset: where to read, to be moved on by what was read; NULL if the file has no offsets (has_offset false). NULL:
     * EINVAL. */
    long (*read)(struct file *, void *user, size_t length, uint64_t *offset);
    long (*write)(struct file *, const void *user, size_t length, uint64_t *offset);
    /* NULL: ENOTTY. */
    long (*ioctl)(struct file *, unsigned request, unsigned long argument);
    /* POLLIN, POLLOUT, POLLERR, POLLHUP ... as they are now. NULL: always readable and writable. */
    unsigned (*poll)(struct file *);
    /* New offset for lseek. NULL: ESPIPE. */
    long (*seek)(struct file *, int64_t offset, int whence);
    /* NULL: ENOTDIR. */
    long (*getdents64)(struct file *, void *user, size_t size);
    /* NULL: EINVAL. */
    long (*truncate)(struct file *, uint64_t size);
    /* NULL: that of the node, or of an anonymous inode if there is none. */
    void (*stat)(struct file *, struct linux_stat *);
    /* The object that mmap maps; errors encoded. NULL: ENODEV. */
    struct vm_object *(*object)(struct file *);
    /* The last descriptor was closed: give up what `own` holds. NULL: nothing. */
    void (*release)(struct file *);
    bool has_offset;
};

struct file {
    const struct file_operations *operations;
    struct node *node;   /* what path names it, a reference is held; NULL: none */
    void *own;           /* the kind's */
    uint64_t offset;     /* bytes; in a directory a position of getdents64 */
    unsigned flags;      /* O_*, without those that only open looks at */
    unsigned references; /* descriptors, and whoever else holds it (epoll, mappings do not) */
};

/*
 * A new open file with one reference and no descriptor: NULL if there is no memory. file_install gives it the lowest free
 * descriptor at or above `lowest` and takes the reference over: the descriptor, or -E_MFILE (the reference stays).
 * file_open is both: the descriptor, or -E_NOMEM, -E_MFILE with everything undone but `own`, which stays the caller's.
 */
struct file *file_create(const struct file_operations *, unsigned flags, void *own);
long file_install(struct file *, int lowest, bool close_on_exec);
long file_open(const struct file_operations *, unsigned flags, void *own); /* O_CLOEXEC of flags is heeded */
void file_reference(struct file *);
void file_release(struct file *);

struct file *linux_file(int fd);        /* NULL: EBADF */
struct file *linux_file_usable(int fd); /* the same, and NULL for O_PATH */
/* The next open descriptor at or above fd, or -1: for /proc/self/fd. */
int linux_next_descriptor(int fd);

/* user_copy as read and write answer: bytes copied, fewer where the program's memory ends; -E_FAULT if none. */
long linux_copy(void *to, const void *from, size_t length);

#endif
