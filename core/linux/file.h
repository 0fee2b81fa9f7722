/*
 * Open files. A descriptor names an open file (Linux's open file description); what it does is its table of operations:
 * the console, a regular file, a directory, a pipe, an epoll instance. Descriptors are in files.c.
 */
#ifndef CORE_LINUX_FILE_H
#define CORE_LINUX_FILE_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/linux/wait.h"

struct file;
struct node;      /* core/linux/node.h */
struct vm_object; /* vm/object.h */
struct linux_stat;

/*
 * All results are Linux's: a count, or -E_*. `user` points into the program's memory, which may be unmapped (user_read,
 * user_write, or linux_user_* for partial counts). NULL operations mean what their lines say.
 */
struct file_operations {
    const char *name; /* what /proc/self/fd shows of files without a path: "pipe", "anon_inode:[eventpoll]" */
    /* offset: where to read, to be moved on by what was read; NULL if the file has no offsets (has_offset false). NULL:
     * EINVAL. */
    long (*read)(struct file *, void *user, size_t length, uint64_t *offset);
    long (*write)(struct file *, const void *user, size_t length, uint64_t *offset);
    /* NULL: ENOTTY. */
    long (*ioctl)(struct file *, unsigned request, unsigned long argument);
    /* POLLIN, POLLOUT, POLLERR, POLLHUP ... as they are now. NULL: always readable and writable, and not for epoll. */
    unsigned (*poll)(struct file *);
    /* New offset for lseek. NULL: ESPIPE. */
    long (*seek)(struct file *, int64_t offset, int whence);
    /* NULL: ENOTDIR. */
    long (*getdents64)(struct file *, void *user, size_t size);
    /* NULL: EINVAL. */
    long (*truncate)(struct file *, uint64_t size);
    /* NULL: that of the node, or of an anonymous inode if there is none. */
    void (*stat)(struct file *, struct linux_stat *);
    /* Commands of fcntl that only this kind has (seals, the size of a pipe). NULL: EINVAL, for
     * F_SETPIPE_SZ and F_GETPIPE_SZ EBADF. */
    long (*fcntl)(struct file *, int command, unsigned long argument);
    /* The object that mmap maps, errors encoded; NULL if each mapping gets zeros of its own (/dev/zero). NULL: ENODEV.
     */
    struct vm_object *(*object)(struct file *);
    /* The last descriptor was closed: give up what `own` holds. NULL: nothing. */
    void (*release)(struct file *);
    bool has_offset; /* else pread and pwrite answer ESPIPE */
    bool is_stored;  /* regular files and directories: fsync succeeds, else EINVAL */
    /* The kind calls file_wake whenever the answer of poll may have changed; otherwise epoll asks it again and again.
     */
    bool wakes;
};

/* Somebody who wants to hear of changes of an open file: an item of an epoll instance. */
struct watch {
    struct watch *next; /* of the file */
    void (*wake)(struct watch *, unsigned events);
    void (*close)(struct watch *); /* the file goes away: take the watch off its list */
};

struct file {
    const struct file_operations *operations;
    struct node *node;     /* what path names it, a reference is held; NULL: none */
    void *own;             /* the kind's */
    uint64_t offset;       /* bytes; in a directory a position of getdents64 */
    unsigned flags;        /* O_*, without those that only open looks at */
    unsigned references;   /* descriptors, and whoever else holds it (epoll, mappings do not) */
    struct watch *watches; /* file_release closes them all first */
    struct file *deferred; /* the next one that is destroyed later */
};

/* Something happened to the file: POLLIN, POLLOUT ... that may be true of it now; 0: a file that does not wake was
 * read.
 */
static inline void file_wake(struct file *file, unsigned events)
{
    linux_wake_waiting_for(file);
    for (struct watch *watch = file->watches; watch != NULL; watch = watch->next)
        watch->wake(watch, events);
}

/*
 * A new open file with one reference and no descriptor: NULL if there is no memory. file_install gives it the lowest
 * free descriptor at or above `lowest` and takes the reference over: the descriptor, or -E_MFILE (the reference stays).
 * file_open is both: the descriptor, or -E_NOMEM, -E_MFILE with everything undone but `own`, which stays the caller's.
 */
struct file *file_create(const struct file_operations *, unsigned flags, void *own);
long file_install(struct file *, int lowest, bool close_on_exec);
long file_open(const struct file_operations *, unsigned flags, void *own); /* O_CLOEXEC of flags is heeded */
void file_reference(struct file *);
/* The last release destroys the file: not before the program's call has ended if a segment driver makes it, since that
 * call may be using the file. */
void file_release(struct file *);
/* signals.c: true if it is to be put off; then file_release_deferred is called once the program's call has ended.
 * in_use: it has to be. */
bool file_defer_release(bool in_use);
void file_release_deferred(void);

#if QUIRE_THREADS
/*
 * What a call looks up by its descriptor it may use until it ends, though another thread closes that while it waits. So
 * each thread notes the last files of its call (linux_thread.in_use, which are held while it waits: wait.c).
 */
#define FILES_IN_USE 2u
void files_note_none(void);
void files_note_use(struct file *);
/* Around a call inside of another one, whose files these are. */
void files_set_aside(struct file **files);
void files_take_up(struct file *const *files);
void files_hold(struct file *const *files);
void files_let_go(struct file *const *files);
#else
static inline void files_note_use(struct file *file)
{
    (void)file;
}
#endif

struct file *linux_file(int fd);        /* NULL: EBADF */
struct file *linux_file_usable(int fd); /* the same, and NULL for O_PATH */
/* As fstat answers. */
void file_stat(struct file *, struct linux_stat *);
bool file_is_readable(const struct file *);
bool file_is_writable(const struct file *);
/* The next open descriptor at or above fd, or -1: for /proc/self/fd. */
int linux_next_descriptor(int fd);
/* One past the highest descriptor that the table has a place for: Linux's max_fds. */
int linux_descriptor_places(void);

/* user_write and user_read as read and write answer: bytes copied, fewer where the program's memory ends; -E_FAULT if
 * none. */
long linux_user_write(void *user, const void *from, size_t length);
long linux_user_read(void *to, const void *user, size_t length);

/* What was read and written through descriptors, for /proc/self/io: calls, and bytes. */
struct file_transfers {
    uint64_t reads, writes, bytes_read, bytes_written;
};
extern struct file_transfers file_transfers;

#define COUNT_MAX 0x7ffff000u /* bytes of one read or write, as on Linux */

/*
 * What descriptors ask of the tree of nodes. Images whose program opens no files have no tree: tree.c sets the pointer,
 * and before that no file has a node.
 */
struct file_hooks {
    void (*stat)(struct node *, struct linux_stat *);
    void (*release)(struct node *);
    /* fcntl's locks; 0 or -E_*. */
    long (*lock)(struct file *, int command, unsigned long argument);
    /* The file is about to go: locks of flock. */
    void (*unlock)(struct file *);
};
extern const struct file_hooks *file_hooks;

/* console.c: the open file that descriptors 0, 1 and 2 start with has these. */
extern const struct file_operations console_operations;
/* Starts with stdin, stdout and stderr on the console. */
void linux_files_init(void);

#endif
