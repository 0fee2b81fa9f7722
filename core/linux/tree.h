/*
 * The inside of the file system, shared by its files: nodes.c (nodes), directory.c (names in directories), tree.c (the
 * root and the way along a path), contents.c and regular.c (regular files), special.c (devices, generated files,
 * links). Others use node.h.
 *
 * A node is a file of any kind. It lives as long as a directory names it (links) or somebody holds it (references):
 * open files, mappings, the working directory. An entry is a name: it is in one directory, names one node, and is found
 * by a hash table over all directories. Directories list their entries in the order in which they were made; the
 * position that an entry has there never changes, so that reading a directory goes on where it was while names come and
 * go.
 */
#ifndef CORE_LINUX_TREE_H
#define CORE_LINUX_TREE_H

#include "core/archive.h"
#include "core/linux/abi.h"
#include "core/linux/node.h"
#include "vm/object.h"

#define S_IFMT 0170000u
#define S_IFSOCK 0140000u
#define S_IFLNK 0120000u
#define S_IFREG 0100000u
#define S_IFBLK 0060000u
#define S_IFDIR 0040000u
#define S_IFCHR 0020000u
#define S_IFIFO 0010000u
#define S_ISUID 04000u
#define S_ISGID 02000u

#define PATH_MAX ARCHIVE_PATH_MAX
#define NAME_MAX ARCHIVE_NAME_MAX
#define SIZE_LIMIT INT64_MAX /* of a regular file */

enum { F_ADD_SEALS = 1033, F_GET_SEALS };
enum {
    F_SEAL_SEAL = 1,
    F_SEAL_SHRINK = 2,
    F_SEAL_GROW = 4,
    F_SEAL_WRITE = 8,
    F_SEAL_FUTURE_WRITE = 16,
    F_SEAL_EXEC = 32
};

/* Pages of a regular file: contents.c. */
struct contents {
    struct vm_object object;
    uint64_t size;
    const uint8_t *packed; /* bytes of the archive, and how many of them still show where no page is the file's own */
    uint64_t packed_size;
    void *root; /* radix tree of `height` levels */
    unsigned height;
    unsigned seals;      /* F_SEAL_* */
    uint64_t own;        /* pages */
    uint64_t overridden; /* entries of the tree that hide a packed page */
};

struct directory {
    struct entry *first, *last;
    uint64_t next_position;
    uint64_t children; /* entries */
    /* What is packed in it becomes nodes when it is first looked at: from this entry of the archive on. */
    size_t packed_number, packed_next;
    bool unfilled;
    bool closed;                                /* the program may not make or remove names */
    error_t (*refresh)(struct node *directory); /* called before it is looked at: entries that come and go */
};

struct link {
    char *text; /* length bytes and an end; NULL: not made yet */
    size_t length;
    void (*generate)(struct text *); /* NULL: the text is fixed */
    /* /proc/self/fd: the text of this link, and the node that it leads to with a reference; NULL: none to open. */
    void (*describe)(const struct node *link, struct text *);
    struct node *(*follow)(const struct node *link);
};

struct device {
    unsigned number;
    const struct file_operations *operations; /* NULL: opening it is ENXIO */
    void *own;
};

struct node {
    uint32_t mode; /* S_IF* and permissions */
    uint32_t uid, gid;
    uint32_t links, references;
    uint32_t device; /* st_dev */
    uint64_t inode;
    struct linux_timespec accessed, modified, changed;
    struct entry *names; /* the one made last is first; after the last one was removed it stays here, not linked */
    bool running;        /* the program that is executed: ETXTBSY */
    bool linkable;       /* O_TMPFILE: a node that never had a name and may get one */
    const struct generated_file *generated;
    void *own; /* of FIFOs: the events part's */
    union {
        struct contents contents;
        struct directory directory;
        struct link link;
        struct device special;
    };
};

struct entry {
    struct entry *next_in_bucket;
    struct entry *next, *previous; /* in the directory */
    struct entry *next_name;       /* of the same node */
    struct node *directory, *node; /* of an entry that is not linked: a reference to the directory, or NULL */
    uint64_t position;
    uint32_t hash;
    uint8_t length;
    bool linked;
    char name[]; /* terminated */
};

static inline uint32_t node_type(const struct node *node)
{
    return node->mode & S_IFMT;
}

static inline bool node_is_directory(const struct node *node)
{
    return node_type(node) == S_IFDIR;
}

/* nodes.c */
struct linux_timespec time_now(void);
/* A node without a name, with one reference; NULL: no memory. */
struct node *node_create(uint32_t mode);
void node_touch(struct node *); /* modified and changed now */
void node_change(struct node *);
void node_stat(struct node *, struct linux_stat *);

/* directory.c. Names are length bytes, not "." or "..". */
/* The entry, NULL if there is none, or an error: what is packed could not become nodes (E_NOMEM). */
struct entry *directory_find(struct node *directory, const char *name, size_t length);
/* The same in a directory that is filled. */
struct entry *entry_find(const struct node *directory, const char *name, size_t length);
/* Makes nodes of what is packed in it, and brings what comes and goes up to date. E_NOMEM. */
error_t directory_fill(struct node *);
bool directory_is_empty(struct node *);
struct node *directory_parent(const struct node *); /* of the root the root */
/* An entry not yet in any directory: prepared, so that linking it cannot fail. NULL: no memory. */
struct entry *entry_create(const char *name, size_t length);
void entry_discard(struct entry *);
void entry_link(struct entry *, struct node *directory, struct node *);
/* The node loses its name, and goes if nobody holds it. */
void entry_unlink(struct entry *);
/* The number that the entry is named by. */
int entry_number(const struct entry *);
/* The entries change their nodes. */
void entry_exchange(struct entry *, struct entry *);
/* The entry gets another place and name: that of `prepared`, which is used up. */
void entry_move(struct entry *, struct entry *prepared, struct node *directory);
extern const struct file_operations directory_operations;

/* tree.c */
/* Makes the tree, the first time. E_NOMEM. */
error_t tree_start(void);
extern struct node *tree_root, *process_root, *working_directory;
/* The directory of the path, made with the mode if it is not there. E_NOMEM, E_NOTDIR. */
error_t tree_enter(const char *path, uint32_t mode, struct node **directory);
/* Puts the node, whose reference is taken over (NULL: it could not be made), into a directory that is filled. E_EXIST,
 * E_NOMEM. */
error_t directory_add(struct node *directory, const char *name, size_t length, struct node *);
/* The same of generated files, whose paths are names here, and of a link. Until the first that cannot be added. */
error_t directory_add_generated(struct node *directory, const struct generated_file *, size_t count);
error_t directory_add_link(struct node *directory, const char *name, void (*generate)(struct text *));
/* The directory of descriptors, /proc/self/fd: links named by the descriptors that are open, which lead to the files
 * themselves. */
error_t directory_add_descriptors(struct node *directory);
/* A name may be made in the directory or taken out of it: E_NOENT, E_PERM. */
error_t directory_may_add(const struct node *);
error_t directory_may_remove(const struct node *);
/* Operations of the device with this number; NULL. */
const struct device *device_find(unsigned number);

/* lookup.c: where a path leads. The name points into `path`. */
enum last { LAST_NAME, LAST_ROOT, LAST_DOT, LAST_DOT_DOT };
#define LOOKUP_FOLLOW 1u    /* a symbolic link at the end is followed */
#define LOOKUP_EMPTY 2u     /* the empty path is the directory, or the file, itself */
#define LOOKUP_DIRECTORY 4u /* what is found has to be a directory */
#define LOOKUP_NO_LINKS 8u  /* RESOLVE_NO_SYMLINKS: ELOOP */
#define LOOKUP_BENEATH 16u  /* RESOLVE_BENEATH: EXDEV */
#define LOOKUP_IN_ROOT 32u  /* RESOLVE_IN_ROOT */
#define LOOKUP_NO_MAGIC 64u /* RESOLVE_NO_MAGICLINKS */
#define LOOKUP_PARENT 128u  /* the last name itself is wanted: no link is followed because of a '/' behind it */
#define LOOKUP_CREATE 256u  /* a '/' behind the last name is EISDIR, whatever is there */
#define PATH_FEW 256
struct lookup {
    struct node *directory; /* that the last name is looked up in */
    const char *name;       /* the last one, of `length` bytes */
    size_t length;
    bool slash; /* the path ends with one */
    enum last last;
    struct entry *entry; /* NULL: no such name, or not one */
    struct node *node;   /* what it names, after links if those are followed; NULL: nothing */
    struct file *file;   /* with the empty path of a descriptor; its node may be NULL */
    struct node *held;   /* a reference that lookup_end gives back */
    char *path;
    size_t path_size;
    char few[PATH_FEW];
};
/*
 * Resolves the path of the program from a directory descriptor or AT_FDCWD. E_SUCCESS although the last name is
 * missing: then node is NULL. After success lookup_end is to be called, after an error not.
 */
error_t lookup_start(struct lookup *, int directory, const char *user_path, unsigned flags);
void lookup_end(struct lookup *);
/* The same, and E_NOENT if there is no node, E_BADF if it is a file without one. */
error_t lookup_node(struct lookup *, int directory, const char *user_path, unsigned flags);

/* contents.c */
void contents_init(struct contents *);
/* Bytes read or written, or -E_*; *position is not moved. */
long contents_read(struct contents *, void *user, size_t length, uint64_t position);
long contents_write(struct contents *, const void *user, size_t length, uint64_t position);
void contents_set_size(struct contents *, uint64_t size);
/* All pages of [start, end) become the file's own (E_NOSPC with nothing changed), or read as zeros (E_NOSPC). */
error_t contents_allocate(struct contents *, uint64_t start, uint64_t end);
error_t contents_punch(struct contents *, uint64_t start, uint64_t end);
/* The first byte from `position` on that is data, or is none. */
uint64_t contents_next(const struct contents *, uint64_t position, bool data);
uint64_t contents_blocks(const struct contents *); /* of 512 bytes */
void contents_destroy(struct contents *);

/* regular.c */
extern const struct file_operations regular_operations;
error_t regular_truncate(struct node *, uint64_t size); /* E_PERM: seals */
/* Whether RLIMIT_FSIZE allows the file to become so long; if not the signal is sent. */
bool regular_may_reach(const struct node *, uint64_t size);
bool node_is_mapped_for_writing(struct node *);

/* special.c */
extern const struct file_operations generated_operations;
error_t devices_add(void);
/* The text of a symbolic link as it is now, terminated. E_NOMEM. */
error_t link_text(struct node *, const char **text, size_t *length);

/* open.c */
extern unsigned file_mode_mask; /* umask */
void node_hooks_set(void);      /* file_hooks of file.h */
/* Makes the open file one of the node, for which it takes a reference; E_* leaves it as it was. */
error_t file_bind(struct file *, struct node *);

/* names.c */
/* A node of this type and mode under the name that was looked up and is not there; *made holds no reference. E_NOSPC,
 * E_NOENT. */
error_t node_make(const struct lookup *, uint32_t mode, struct node **made);
/* Of a node without names: what node_path calls it. E_NOMEM. */
error_t node_rename_unlinked(struct node *, struct node *directory, const char *name);

/* locks.c */
long file_lock(struct file *, int command, unsigned long argument);
void file_unlock(struct file *);

#endif
