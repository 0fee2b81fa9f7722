/*
 * Opening (open(2), openat2(2); fs/namei.c and fs/open.c of Linux for the order of the errors). The descriptor is taken
 * first, so that nothing was made or cut when there is none left; it goes back if opening fails.
 */
#include "core/allocate.h"
#include "core/base/print.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/text.h"
#include "core/linux/tree.h"

unsigned file_mode_mask = 022;
static const struct file_hooks node_hooks = {node_stat, node_release, file_lock, file_unlock};
error_t (*node_open_fifo)(struct file *, struct node *);

static const struct file_operations path_operations = {.is_stored = true};

void node_hooks_set(void)
{
    file_hooks = &node_hooks;
}

static error_t bind_generated(struct file *file, struct node *node)
{
    struct text *text = text_create(node);

    if (text == NULL)
        return E_NOMEM;
    user_check_suspend(); /* what makes the text may ask calls, with memory of the core */
    node->generated->generate(text);
    user_check_resume();
    if (text_failed(text)) {
        text_destroy(text);
        return E_NOMEM;
    }
    file->own = text;
    file->operations = &generated_operations;
    return E_SUCCESS;
}

static error_t bind_regular(struct file *file, struct node *node)
{
    if (node->generated != NULL)
        return bind_generated(file, node);
    file->operations = &regular_operations;
    return E_SUCCESS;
}

static error_t bind_device(struct file *file, const struct device *device)
{
    if (device->operations == NULL)
        return E_NXIO;
    file->operations = device->operations;
    file->own = device->own;
    return E_SUCCESS;
}

error_t file_bind(struct file *file, struct node *node)
{
    error_t error = E_SUCCESS;

    if (file->flags & O_PATH)
        file->operations = &path_operations;
    else if (node_type(node) == S_IFREG)
        error = bind_regular(file, node);
    else if (node_is_directory(node))
        file->operations = &directory_operations;
    else if (node_type(node) == S_IFCHR)
        error = bind_device(file, &node->special);
    else if (node_type(node) == S_IFIFO && node_open_fifo != NULL)
        error = node_open_fifo(file, node);
    else
        error = E_NXIO;
    if (error != E_SUCCESS)
        return error;
    node_hooks_set();
    node_reference(node);
    file->node = node;
    return E_SUCCESS;
}

struct file *node_open(struct node *node, unsigned flags)
{
    struct file *file = file_create(&path_operations, flags, NULL);

    if (file == NULL || file_bind(file, node) == E_SUCCESS)
        return file;
    core_release(file, sizeof(*file));
    return NULL;
}

/* What open wants, checked. */
struct wanted {
    unsigned flags;
    uint32_t mode; /* of a file that is made */
    unsigned lookup;
};

static bool wants_writing(const struct wanted *wanted)
{
    return (wanted->flags & O_ACCMODE) != 0 || (wanted->flags & O_TRUNC);
}

/* Linux's build_open_flags. */
static error_t check_flags(struct wanted *wanted)
{
    if (wanted->flags & TMPFILE_FLAG) {
        if ((wanted->flags & (O_TMPFILE | O_CREAT)) != O_TMPFILE || (wanted->flags & O_ACCMODE) == 0)
            return E_INVAL;
    } else if ((wanted->flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) {
        return E_INVAL;
    }
    if (wanted->flags & O_PATH)
        wanted->flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    else
        wanted->flags |= O_LARGEFILE; /* 64-bit programs always have it */
    wanted->mode = wanted->flags & (O_CREAT | TMPFILE_FLAG) ? wanted->mode & ~file_mode_mask & 07777 : 0;
    if (!(wanted->flags & O_NOFOLLOW) && (wanted->flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
        wanted->lookup |= LOOKUP_FOLLOW;
    if (wanted->flags & O_CREAT)
        wanted->lookup |= LOOKUP_CREATE;
    return E_SUCCESS;
}

/* Whether what is there may be opened like this. */
static error_t check_existing(const struct lookup *lookup, const struct wanted *wanted)
{
    const struct node *node = lookup->node;
    bool creating = (wanted->flags & O_CREAT) != 0;

    if (creating && (wanted->flags & O_EXCL))
        return E_EXIST;
    if (node_type(node) == S_IFLNK)
        return wanted->flags & O_DIRECTORY ? E_NOTDIR : wanted->flags & O_PATH ? E_SUCCESS : E_LOOP;
    if (wanted->flags & O_DIRECTORY)
        return !node_is_directory(node) ? E_NOTDIR : wants_writing(wanted) ? E_ISDIR : E_SUCCESS;
    if (node_is_directory(node))
        return creating || wants_writing(wanted) ? E_ISDIR : E_SUCCESS;
    if (node->generated != NULL && wants_writing(wanted) && node->generated->write == NULL)
        return E_ACCES;
    return node->running && wants_writing(wanted) ? E_TXTBSY : E_SUCCESS;
}

/* A regular file under the name that was looked up; *node holds no reference of the caller. */
static error_t make_file(const struct lookup *lookup, const struct wanted *wanted, struct node **node)
{
    if (lookup->slash)
        return E_ISDIR;
    return node_make(lookup, S_IFREG | wanted->mode, node);
}

static error_t make_temporary(const struct wanted *wanted, struct node *directory, struct file *file)
{
    char name[32];
    struct node *node;
    error_t error;

    if (!node_is_directory(directory))
        return E_NOTDIR;
    error = directory_may_add(directory);
    if (error != E_SUCCESS)
        return error;
    node = node_create_anonymous("", wanted->mode);
    if (node == NULL)
        return E_NOMEM;
    text_format(name, sizeof(name), "#%llu", (unsigned long long)node->inode);
    node->linkable = !(wanted->flags & O_EXCL);
    error = node_rename_unlinked(node, directory, name);
    if (error == E_SUCCESS)
        error = file_bind(file, node);
    node_release(node);
    return error;
}

static error_t open_found(struct file *file, struct lookup *lookup, const struct wanted *wanted)
{
    struct node *node = lookup->node;
    bool made = false;
    error_t error;

    if (wanted->flags & TMPFILE_FLAG)
        return node == NULL ? E_NOENT : make_temporary(wanted, node, file);
    if (node == NULL) {
        if (!(wanted->flags & O_CREAT))
            return E_NOENT;
        error = make_file(lookup, wanted, &node);
        made = error == E_SUCCESS;
    } else {
        error = check_existing(lookup, wanted);
    }
    if (error == E_SUCCESS)
        error = file_bind(file, node);
    if (error == E_SUCCESS && (wanted->flags & O_TRUNC) && file->operations == &regular_operations && !made)
        error = regular_truncate(node, 0);
    return error;
}

static long open_wanted(int directory, const char *path, struct wanted *wanted)
{
    const unsigned kept = ~(unsigned)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC);
    struct lookup lookup;
    struct file *file;
    error_t error = lookup_start(&lookup, directory, path, wanted->lookup);
    long fd;

    if (error != E_SUCCESS)
        return -error;
    file = file_create(&path_operations, wanted->flags & kept, NULL);
    fd = file == NULL ? -E_NOMEM : file_install(file, 0, (wanted->flags & O_CLOEXEC) != 0);
    if (fd < 0 && file != NULL)
        file_release(file);
    if (fd >= 0) {
        error = open_found(file, &lookup, wanted);
        if (error != E_SUCCESS) {
            linux_close((int)fd);
            fd = -error;
        }
    }
    lookup_end(&lookup);
    return fd;
}

long linux_openat(int directory, const char *path, int flags, unsigned mode)
{
    struct wanted wanted = {.flags = (unsigned)flags & KNOWN_OPEN_FLAGS, .mode = mode};
    error_t error = check_flags(&wanted);

    return error != E_SUCCESS ? -error : open_wanted(directory, path, &wanted);
}

long linux_open(const char *path, int flags, unsigned mode)
{
    return linux_openat(AT_FDCWD, path, flags, mode);
}

long linux_creat(const char *path, unsigned mode)
{
    return linux_openat(AT_FDCWD, path, O_CREAT | O_TRUNC | O_WRONLY, mode);
}

/* RESOLVE_* as flags of the look-up; the tree is one mount, so that NO_XDEV and CACHED are always kept. */
static unsigned resolve_flags(uint64_t resolve)
{
    return (resolve & RESOLVE_NO_MAGICLINKS ? LOOKUP_NO_MAGIC : 0) |
           (resolve & RESOLVE_NO_SYMLINKS ? LOOKUP_NO_LINKS : 0) | (resolve & RESOLVE_BENEATH ? LOOKUP_BENEATH : 0) |
           (resolve & RESOLVE_IN_ROOT ? LOOKUP_IN_ROOT : 0);
}

static error_t read_how(struct linux_open_how *how, const struct linux_open_how *user, size_t size)
{
    size_t known = sizeof(*how), at;
    char rest;

    if (size < known)
        return E_INVAL;
    if (size > VM_PAGE_SIZE)
        return E_2BIG;
    if (user_read(how, user, known) != E_SUCCESS)
        return E_FAULT;
    for (at = known; at < size; at++) {
        if (user_read(&rest, (const char *)user + at, 1) != E_SUCCESS)
            return E_FAULT;
        if (rest != 0)
            return E_2BIG;
    }
    return E_SUCCESS;
}

long linux_openat2(int directory, const char *path, const struct linux_open_how *user, size_t size)
{
    const uint64_t known = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH |
                           RESOLVE_IN_ROOT | RESOLVE_CACHED;
    struct linux_open_how how;
    struct wanted wanted;
    error_t error = read_how(&how, user, size);

    if (error != E_SUCCESS)
        return -error;
    if ((how.flags & ~(uint64_t)KNOWN_OPEN_FLAGS) || (how.resolve & ~known) || (how.mode & ~(uint64_t)07777) ||
        (how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
        return -E_INVAL;
    if ((!(how.flags & (O_CREAT | TMPFILE_FLAG)) && how.mode != 0) ||
        ((how.flags & O_PATH) && (how.flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))))
        return -E_INVAL;
    wanted = (struct wanted){(unsigned)how.flags, (uint32_t)how.mode, resolve_flags(how.resolve)};
    error = check_flags(&wanted);
    return error != E_SUCCESS ? -error : open_wanted(directory, path, &wanted);
}
