/*
 * Calls that make, remove and change names. Everything that can fail comes before anything changes: the names are
 * looked up and checked in Linux's order (fs/namei.c), what has to be allocated is allocated, and then entries move.
 */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/file_calls.h"
#include "core/linux/tree.h"

/* ---- making ---- */

error_t node_make(const struct lookup *lookup, uint32_t mode, struct node **made)
{
    struct node *directory = lookup->directory, *node;
    struct entry *entry;
    error_t error = directory_may_add(directory);

    if (error != E_SUCCESS)
        return error;
    node = node_create(mode);
    entry = node != NULL ? entry_create(lookup->name, lookup->length) : NULL;
    if (entry == NULL) {
        if (node != NULL)
            node_release(node);
        return E_NOSPC;
    }
    node->device = directory->device;
    if (directory->mode & S_ISGID) {
        node->gid = directory->gid;
        node->mode |= node_is_directory(node) ? S_ISGID : 0;
    }
    entry_link(entry, directory, node);
    node_release(node);
    *made = node;
    return E_SUCCESS;
}

/* The place for a new name: Linux's filename_create. After success lookup_end is to be called. */
static error_t find_place(struct lookup *lookup, int directory, const char *path, bool for_directory)
{
    error_t error = lookup_start(lookup, directory, path, LOOKUP_PARENT);

    if (error != E_SUCCESS)
        return error;
    if (lookup->node != NULL)
        error = E_EXIST;
    else if (lookup->slash && !for_directory)
        error = E_NOENT;
    if (error != E_SUCCESS)
        lookup_end(lookup);
    return error;
}

static long make_at(int directory, const char *path, uint32_t mode, unsigned number)
{
    struct lookup lookup;
    struct node *node;
    const struct device *known;
    error_t error = find_place(&lookup, directory, path, (mode & S_IFMT) == S_IFDIR);

    if (error != E_SUCCESS)
        return -error;
    error = node_make(&lookup, mode, &node);
    lookup_end(&lookup);
    if (error != E_SUCCESS)
        return -error;
    if (node_type(node) == S_IFCHR || node_type(node) == S_IFBLK) {
        known = node_type(node) == S_IFCHR ? device_find(number) : NULL;
        node->special = known != NULL ? *known : (struct device){.number = number};
    }
    return 0;
}

long linux_mkdirat(int directory, const char *path, unsigned mode)
{
    return make_at(directory, path, S_IFDIR | (mode & 01777 & ~file_mode_mask), 0);
}

long linux_mkdir(const char *path, unsigned mode)
{
    return linux_mkdirat(AT_FDCWD, path, mode);
}

long linux_mknodat(int directory, const char *path, unsigned mode, unsigned device)
{
    uint32_t type = mode & S_IFMT;

    if (type == S_IFDIR)
        return -E_PERM;
    if (type == 0)
        type = S_IFREG;
    if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO && type != S_IFSOCK)
        return -E_INVAL;
    if (type == S_IFIFO)
        node_open_fifo = pipe_open_fifo; /* so that only images whose program can make a FIFO have pipes for it */
    return make_at(directory, path, type | (mode & 07777 & ~file_mode_mask), device);
}

long linux_mknod(const char *path, unsigned mode, unsigned device)
{
    return linux_mknodat(AT_FDCWD, path, mode, device);
}

/* The text of a link as the program gives it; its length, or -E_*. */
static long read_link_text(const char *user, char **text)
{
    intptr_t length = user_string_length(user, PATH_MAX);

    if (length <= 0)
        return length < 0 ? length : -E_NOENT;
    if (length >= PATH_MAX)
        return -E_NAMETOOLONG;
    *text = core_allocate((size_t)length + 1);
    if (*text == NULL)
        return -E_NOMEM;
    if (user_read(*text, user, (size_t)length) == E_SUCCESS)
        return length;
    core_release(*text, (size_t)length + 1);
    return -E_FAULT;
}

long linux_symlinkat(const char *user_text, int directory, const char *path)
{
    struct lookup lookup;
    struct node *node;
    char *text;
    long length = read_link_text(user_text, &text);
    error_t error;

    if (length < 0)
        return length;
    error = find_place(&lookup, directory, path, false);
    if (error == E_SUCCESS) {
        error = node_make(&lookup, S_IFLNK | 0777, &node);
        lookup_end(&lookup);
    }
    if (error != E_SUCCESS) {
        core_release(text, (size_t)length + 1);
        return -error;
    }
    node->link.text = text;
    node->link.length = (size_t)length;
    return 0;
}

long linux_symlink(const char *text, const char *path)
{
    return linux_symlinkat(text, AT_FDCWD, path);
}

error_t node_rename_unlinked(struct node *node, struct node *directory, const char *name)
{
    struct entry *entry = entry_create(name, strlen(name));

    if (entry == NULL)
        return E_NOMEM;
    entry_discard(node->names);
    entry->node = node;
    entry->directory = directory;
    node_reference(directory);
    node->names = entry;
    return E_SUCCESS;
}

static error_t link_node(struct node *node, int directory, const char *path)
{
    struct lookup lookup;
    struct entry *entry;
    error_t error = find_place(&lookup, directory, path, false);

    if (error != E_SUCCESS)
        return error;
    error = directory_may_add(lookup.directory);
    if (error == E_SUCCESS && (node_is_directory(node) || node->generated != NULL))
        error = E_PERM;
    if (error == E_SUCCESS && node->links == 0 && !node->linkable)
        error = E_NOENT;
    if (error == E_SUCCESS && node->device != lookup.directory->device)
        error = E_XDEV;
    entry = error == E_SUCCESS ? entry_create(lookup.name, lookup.length) : NULL;
    if (error == E_SUCCESS && entry == NULL)
        error = E_NOSPC;
    if (error == E_SUCCESS) {
        entry_link(entry, lookup.directory, node);
        node_change(node);
        node->linkable = false; /* once */
    }
    lookup_end(&lookup);
    return error;
}

long linux_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    struct lookup lookup;
    error_t error;

    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -E_INVAL;
    error = lookup_node(&lookup, from_directory, from,
                        (flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0));
    if (error != E_SUCCESS)
        return -error;
    node_reference(lookup.node); /* the second look-up may change what comes and goes */
    error = link_node(lookup.node, to_directory, to);
    node_release(lookup.node);
    lookup_end(&lookup);
    return -error;
}

long linux_link(const char *from, const char *to)
{
    return linux_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- removing ---- */

static error_t check_directory_removal(const struct lookup *lookup)
{
    error_t error;

    if (lookup->last != LAST_NAME)
        return lookup->last == LAST_DOT_DOT ? E_NOTEMPTY : lookup->last == LAST_DOT ? E_INVAL : E_BUSY;
    if (lookup->node == NULL)
        return E_NOENT;
    error = directory_may_remove(lookup->directory);
    if (error != E_SUCCESS)
        return error;
    if (!node_is_directory(lookup->node))
        return E_NOTDIR;
    if (lookup->node->directory.closed || lookup->node == process_root)
        return E_BUSY;
    error = directory_fill(lookup->node);
    return error != E_SUCCESS ? error : directory_is_empty(lookup->node) ? E_SUCCESS : E_NOTEMPTY;
}

static error_t check_file_removal(const struct lookup *lookup)
{
    error_t error;

    if (lookup->last != LAST_NAME)
        return E_ISDIR;
    if (lookup->node == NULL)
        return E_NOENT;
    if (lookup->slash)
        return node_is_directory(lookup->node) ? E_ISDIR : E_NOTDIR;
    error = directory_may_remove(lookup->directory);
    if (error != E_SUCCESS)
        return error;
    return node_is_directory(lookup->node) ? E_ISDIR : E_SUCCESS;
}

long linux_unlinkat(int directory, const char *path, int flags)
{
    struct lookup lookup;
    error_t error;

    if (flags & ~AT_REMOVEDIR)
        return -E_INVAL;
    error = lookup_start(&lookup, directory, path, LOOKUP_PARENT);
    if (error != E_SUCCESS)
        return -error;
    error = flags & AT_REMOVEDIR ? check_directory_removal(&lookup) : check_file_removal(&lookup);
    if (error == E_SUCCESS)
        entry_unlink(lookup.entry);
    lookup_end(&lookup);
    return -error;
}

long linux_rmdir(const char *path)
{
    return linux_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

long linux_unlink(const char *path)
{
    return linux_unlinkat(AT_FDCWD, path, 0);
}

/* ---- renaming ---- */

static bool is_above(const struct node *node, const struct node *directory)
{
    for (;;) {
        const struct node *parent;

        if (directory == node)
            return true;
        parent = directory_parent(directory);
        if (parent == directory)
            return false;
        directory = parent;
    }
}

/* What has to be true of the two names before anything is compared; Linux's do_renameat2. */
static error_t check_names(const struct lookup *from, const struct lookup *to, unsigned flags)
{
    if (from->last != LAST_NAME)
        return E_BUSY;
    if (to->last != LAST_NAME)
        return flags & RENAME_NOREPLACE ? E_EXIST : E_BUSY;
    if (from->node == NULL)
        return E_NOENT;
    if ((flags & RENAME_NOREPLACE) && to->node != NULL)
        return E_EXIST;
    if ((flags & RENAME_EXCHANGE) && to->node == NULL)
        return E_NOENT;
    if ((flags & RENAME_EXCHANGE) && !node_is_directory(to->node) && to->slash)
        return E_NOTDIR;
    if (!node_is_directory(from->node) && (from->slash || (!(flags & RENAME_EXCHANGE) && to->slash)))
        return E_NOTDIR;
    if (node_is_directory(from->node) && is_above(from->node, to->directory))
        return E_INVAL;
    if (to->node != NULL && node_is_directory(to->node) && is_above(to->node, from->directory))
        return flags & RENAME_EXCHANGE ? E_INVAL : E_NOTEMPTY;
    return E_SUCCESS;
}

/* Whether the entries may change: Linux's vfs_rename. */
static error_t check_rename(const struct lookup *from, const struct lookup *to, unsigned flags)
{
    error_t error = directory_may_remove(from->directory);

    if (error == E_SUCCESS)
        error = to->node != NULL ? directory_may_remove(to->directory) : directory_may_add(to->directory);
    if (error != E_SUCCESS)
        return error;
    if (from->directory->device != to->directory->device)
        return E_XDEV;
    if ((node_is_directory(from->node) && from->node->directory.closed) ||
        (to->node != NULL && node_is_directory(to->node) && to->node->directory.closed))
        return E_BUSY;
    if (to->node == NULL || (flags & RENAME_EXCHANGE))
        return E_SUCCESS;
    if (node_is_directory(from->node) != node_is_directory(to->node))
        return node_is_directory(to->node) ? E_ISDIR : E_NOTDIR;
    if (!node_is_directory(to->node))
        return E_SUCCESS;
    error = directory_fill(to->node);
    return error != E_SUCCESS ? error : directory_is_empty(to->node) ? E_SUCCESS : E_NOTEMPTY;
}

static error_t rename_found(struct lookup *from, struct lookup *to, unsigned flags)
{
    struct entry *prepared;
    error_t error = check_names(from, to, flags);

    if (error == E_SUCCESS && from->node == to->node)
        return E_SUCCESS; /* two names of one file: both stay */
    if (error == E_SUCCESS)
        error = check_rename(from, to, flags);
    if (error != E_SUCCESS)
        return error;
    if (flags & RENAME_EXCHANGE) {
        entry_exchange(from->entry, to->entry);
        return E_SUCCESS;
    }
    prepared = entry_create(to->name, to->length);
    if (prepared == NULL)
        return E_NOSPC;
    if (to->node != NULL)
        entry_unlink(to->entry);
    entry_move(from->entry, prepared, to->directory);
    return E_SUCCESS;
}

long linux_renameat2(int from_directory, const char *from_path, int to_directory, const char *to_path, unsigned flags)
{
    struct lookup from, to;
    error_t error;

    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
        (flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -E_INVAL;
    error = lookup_start(&from, from_directory, from_path, LOOKUP_PARENT);
    if (error != E_SUCCESS)
        return -error;
    error = lookup_start(&to, to_directory, to_path, LOOKUP_PARENT);
    if (error == E_SUCCESS) {
        error = rename_found(&from, &to, flags);
        lookup_end(&to);
    }
    lookup_end(&from);
    return -error;
}

long linux_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return linux_renameat2(from_directory, from, to_directory, to, 0);
}

long linux_rename(const char *from, const char *to)
{
    return linux_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- the working directory ---- */

/* True if the process can name the directory: it lies below its root, and was not removed. */
static error_t check_reachable(const struct node *directory)
{
    while (directory != process_root) {
        if (directory->links == 0)
            return E_NOENT;
        if (directory == tree_root)
            return E_SUCCESS;
        directory = directory_parent(directory);
    }
    return E_SUCCESS;
}

long linux_getcwd(char *user, size_t size)
{
    error_t error = tree_start();
    char *path;
    long result;

    if (error == E_SUCCESS)
        error = check_reachable(working_directory);
    if (error != E_SUCCESS)
        return -error;
    path = core_allocate(PATH_MAX);
    if (path == NULL)
        return -E_NOMEM;
    result = working_directory == process_root ? 1 : (long)node_path(working_directory, path, PATH_MAX);
    if (working_directory == process_root)
        memcpy(path, "/", 2);
    if (result + 1 == PATH_MAX)
        result = -E_NAMETOOLONG;
    else if (size < (size_t)result + 1)
        result = -E_RANGE;
    else
        result = user_write(user, path, (size_t)result + 1) != E_SUCCESS ? -E_FAULT : result + 1;
    core_release(path, PATH_MAX);
    return result;
}

static error_t set_directory(struct node **which, struct node *directory)
{
    if (directory == NULL || !node_is_directory(directory))
        return E_NOTDIR;
    node_reference(directory);
    node_release(*which);
    *which = directory;
    return E_SUCCESS;
}

static long change_to_path(struct node **which, const char *path)
{
    struct lookup lookup;
    error_t error = lookup_node(&lookup, AT_FDCWD, path, LOOKUP_FOLLOW);

    if (error != E_SUCCESS)
        return -error;
    error = set_directory(which, lookup.node);
    lookup_end(&lookup);
    return -error;
}

long linux_chdir(const char *path)
{
    return change_to_path(&working_directory, path);
}

long linux_fchdir(int fd)
{
    struct file *file = linux_file(fd);
    error_t error = tree_start();

    if (error != E_SUCCESS)
        return -error;
    return file == NULL ? -E_BADF : -set_directory(&working_directory, file->node);
}

long linux_chroot(const char *path)
{
    return change_to_path(&process_root, path);
}
