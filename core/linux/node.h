/*
 * The file system: one tree of nodes in memory, filled at boot from the packed files and writable from then on. What is
 * packed is not copied: a regular file's pages are those of the archive until they are written to.
 */
#ifndef CORE_LINUX_NODE_H
#define CORE_LINUX_NODE_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/linux/file.h"

struct node;

/* Text that a generated file shows: grows as needed; what did not fit in RAM makes the read fail with ENOMEM. */
struct text;
void text_add(struct text *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The file, or link, that it is made for. */
const struct node *text_subject(const struct text *);

/*
 * Files whose contents the core makes (/proc, /sys): generate is called on open, and the text is then a snapshot of
 * that open file. write may be NULL (EACCES). Directories on the way are made. Paths begin with '/'.
 */
struct generated_file {
    const char *path;
    void (*generate)(struct text *);
    long (*write)(const struct node *, const char *text, size_t length); /* length consumed, or -E_* */
    uint32_t mode;                                                       /* permission bits */
};
error_t tree_add_generated(const struct generated_file *);
/* A symbolic link: fixed text, or made when it is read (then text is NULL). */
error_t tree_add_link(const char *path, const char *text, void (*generate)(struct text *));
/* A character device; operations.own is `own` of every file opened on it. number: major << 8 | minor. */
error_t tree_add_device(const char *path, uint32_t mode, unsigned number, const struct file_operations *, void *own);
error_t tree_add_directory(const char *path, uint32_t mode);

/* The absolute path of a node, as /proc/self/fd, getcwd and maps show it: the length, " (deleted)" behind if so. */
size_t node_path(const struct node *, char *buffer, size_t size);

/* A new file without a name (memfd_create, shared anonymous memory): a node with one reference; NULL: no memory. */
struct node *node_create_anonymous(const char *name, uint32_t mode);
struct file *node_open(struct node *, unsigned flags); /* an open file on it; NULL: no memory */
struct vm_object *node_object(struct node *);          /* of a regular file; a mapping takes its own reference */
/* F_SEAL_* of a regular file; at first F_SEAL_SEAL: none may be added. */
void node_set_seals(struct node *, unsigned seals);
unsigned node_seals(const struct node *);
/* True if somebody maps the object shared and may write: set by who maps files, for F_SEAL_WRITE. */
extern bool (*node_writable_mapping)(struct vm_object *);

/* FIFOs: pipe_open_fifo (events.h), set when one is made; NULL before. */
extern error_t (*node_open_fifo)(struct file *, struct node *);
void **node_own(struct node *); /* of a FIFO: its pipe; NULL while nobody has it open */

/* The file of this name in the root, as the program that runs: a reference for ever, and opening it for writing is
 * ETXTBSY. NULL: no such file, or no memory. */
struct node *tree_execute(const char *name);
void node_reference(struct node *);
void node_release(struct node *);

#endif
