/*
 * What is known of a file and can be changed: stat and its relatives, permissions, owners, times. The program is root:
 * everything is allowed but executing a file without an x bit. There are no extended attributes.
 */
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/tree.h"
#include "vm/frames.h"

enum { X_OK = 1, W_OK = 2, R_OK = 4 };

static unsigned lookup_flags(int flags)
{
    return (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
}

/* ---- stat ---- */

static error_t stat_path(int directory, const char *path, int flags, struct linux_stat *stat)
{
    struct lookup lookup;
    error_t error = lookup_start(&lookup, directory, path, lookup_flags(flags));

    if (error != E_SUCCESS)
        return error;
    if (lookup.file != NULL)
        file_stat(lookup.file, stat);
    else if (lookup.node != NULL)
        node_stat(lookup.node, stat);
    else
        error = E_NOENT;
    lookup_end(&lookup);
    return error;
}

long linux_newfstatat(int directory, const char *path, struct linux_stat *to, int flags)
{
    struct linux_stat stat;
    error_t error;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -E_INVAL;
    error = stat_path(directory, path, flags, &stat);
    return error != E_SUCCESS ? -error : -user_write(to, &stat, sizeof(stat));
}

long linux_stat(const char *path, struct linux_stat *to)
{
    return linux_newfstatat(AT_FDCWD, path, to, 0);
}

long linux_lstat(const char *path, struct linux_stat *to)
{
    return linux_newfstatat(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW);
}

static struct linux_statx_timestamp timestamp_of(struct linux_timespec time)
{
    return (struct linux_statx_timestamp){.seconds = time.seconds, .nanoseconds = (uint32_t)time.nanoseconds};
}

static struct linux_statx statx_of(const struct linux_stat *stat)
{
    return (struct linux_statx){
        .mask = STATX_BASIC_STATS,
        .block_size = (uint32_t)stat->block_size,
        .links = (uint32_t)stat->links,
        .uid = stat->uid,
        .gid = stat->gid,
        .mode = (uint16_t)stat->mode,
        .inode = stat->inode,
        .size = (uint64_t)stat->size,
        .blocks = (uint64_t)stat->blocks,
        .access = timestamp_of(stat->access),
        .change = timestamp_of(stat->change),
        .modification = timestamp_of(stat->modification),
        .special_major = (uint32_t)(stat->special_device >> 8),
        .special_minor = (uint32_t)stat->special_device & 255,
        .device_minor = (uint32_t)stat->device,
    };
}

long linux_statx(int directory, const char *path, int flags, unsigned mask, struct linux_statx *to)
{
    const int sync = AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;
    struct linux_stat stat;
    struct linux_statx statx;
    error_t error;

    if ((mask & STATX_RESERVED) || (flags & sync) == sync ||
        (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | sync)))
        return -E_INVAL;
    error = stat_path(directory, path, flags, &stat);
    if (error != E_SUCCESS)
        return -error;
    statx = statx_of(&stat);
    return -user_write(to, &statx, sizeof(statx));
}

/* All that is stored lies in RAM. */
static long put_statfs(const struct node *node, struct linux_statfs *to)
{
    enum { TMPFS_MAGIC = 0x01021994, PROC_SUPER_MAGIC = 0x9fa0, SYSFS_MAGIC = 0x62656572, ST_VALID = 0x20 };
    static const int64_t types[] = {TMPFS_MAGIC, TMPFS_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC};
    bool stored = node == NULL || types[node->device] == TMPFS_MAGIC;
    struct frame_stats frames = frames_stats();
    struct linux_statfs statfs = {
        .type = types[node != NULL ? node->device : 0],
        .block_size = VM_PAGE_SIZE,
        .blocks = stored ? frames.total : 0,
        .free_blocks = stored ? frames.free : 0,
        .available_blocks = stored ? frames.free : 0,
        .files = stored ? frames.total : 0,
        .free_files = stored ? frames.free : 0,
        .name_length = NAME_MAX,
        .fragment_size = VM_PAGE_SIZE,
        .flags = ST_VALID,
    };

    return -user_write(to, &statfs, sizeof(statfs));
}

long linux_statfs(const char *path, struct linux_statfs *to)
{
    struct lookup lookup;
    error_t error = lookup_node(&lookup, AT_FDCWD, path, LOOKUP_FOLLOW);
    long result;

    if (error != E_SUCCESS)
        return -error;
    result = put_statfs(lookup.node, to);
    lookup_end(&lookup);
    return result;
}

long linux_fstatfs(int fd, struct linux_statfs *to)
{
    struct file *file = linux_file(fd);

    return file == NULL ? -E_BADF : put_statfs(file->node, to);
}

/* ---- access, readlink ---- */

long linux_faccessat2(int directory, const char *path, int mode, int flags)
{
    const int at_eaccess = AT_REMOVEDIR; /* the same bit */
    struct linux_stat stat;
    error_t error;

    if ((mode & ~(R_OK | W_OK | X_OK)) || (flags & ~(at_eaccess | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -E_INVAL;
    error = stat_path(directory, path, flags, &stat);
    if (error != E_SUCCESS)
        return -error;
    return (mode & X_OK) && (stat.mode & S_IFMT) != S_IFDIR && !(stat.mode & 0111) ? -E_ACCES : 0;
}

long linux_faccessat(int directory, const char *path, int mode)
{
    return linux_faccessat2(directory, path, mode, 0);
}

long linux_access(const char *path, int mode)
{
    return linux_faccessat2(AT_FDCWD, path, mode, 0);
}

static long read_link(struct node *node, bool empty_path, char *user, size_t size)
{
    const char *text;
    size_t length;
    error_t error;

    if (node_type(node) != S_IFLNK)
        return empty_path ? -E_NOENT : -E_INVAL;
    error = link_text(node, &text, &length);
    if (error != E_SUCCESS)
        return -error;
    if (length > size)
        length = size;
    return user_write(user, text, length) != E_SUCCESS ? -E_FAULT : (long)length;
}

long linux_readlinkat(int directory, const char *path, char *user, int size)
{
    struct lookup lookup;
    error_t error;
    long result;

    if (size <= 0)
        return -E_INVAL;
    error = lookup_node(&lookup, directory, path, LOOKUP_EMPTY);
    if (error != E_SUCCESS)
        return -error;
    result = read_link(lookup.node, *lookup.path == '\0', user, (size_t)size);
    lookup_end(&lookup);
    return result;
}

long linux_readlink(const char *path, char *user, int size)
{
    return linux_readlinkat(AT_FDCWD, path, user, size);
}

/* ---- permissions and owners ---- */

static error_t set_mode(struct node *node, unsigned mode)
{
    if (node_type(node) == S_IFREG && (node->contents.seals & F_SEAL_EXEC) && ((node->mode ^ mode) & 0111))
        return E_PERM;
    node->mode = (node->mode & S_IFMT) | (mode & 07777);
    node_change(node);
    return E_SUCCESS;
}

long linux_fchmodat(int directory, const char *path, unsigned mode)
{
    struct lookup lookup;
    error_t error = lookup_node(&lookup, directory, path, LOOKUP_FOLLOW);

    if (error != E_SUCCESS)
        return -error;
    error = set_mode(lookup.node, mode);
    lookup_end(&lookup);
    return -error;
}

long linux_chmod(const char *path, unsigned mode)
{
    return linux_fchmodat(AT_FDCWD, path, mode);
}

/* What has no node has attributes that nothing asks for. */
long linux_fchmod(int fd, unsigned mode)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    return file->node != NULL ? -set_mode(file->node, mode) : 0;
}

/* An owner of -1 stays; the bits that give away rights do not survive a new one. */
static void set_owner(struct node *node, unsigned uid, unsigned gid)
{
    if (uid != UINT32_MAX)
        node->uid = uid;
    if (gid != UINT32_MAX)
        node->gid = gid;
    if (!node_is_directory(node))
        node->mode &= ~(S_ISUID | (node->mode & 010 ? S_ISGID : 0));
    node_change(node);
}

long linux_fchownat(int directory, const char *path, unsigned uid, unsigned gid, int flags)
{
    struct lookup lookup;
    error_t error;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -E_INVAL;
    error = lookup_node(&lookup, directory, path, lookup_flags(flags));
    if (error != E_SUCCESS)
        return -error;
    set_owner(lookup.node, uid, gid);
    lookup_end(&lookup);
    return 0;
}

long linux_chown(const char *path, unsigned uid, unsigned gid)
{
    return linux_fchownat(AT_FDCWD, path, uid, gid, 0);
}

long linux_lchown(const char *path, unsigned uid, unsigned gid)
{
    return linux_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

long linux_fchown(int fd, unsigned uid, unsigned gid)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    if (file->node != NULL)
        set_owner(file->node, uid, gid);
    return 0;
}

long linux_umask(unsigned mask)
{
    unsigned before = file_mode_mask;

    file_mode_mask = mask & 0777;
    return before;
}

/* ---- times ---- */

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

static void set_time(struct linux_timespec *to, struct linux_timespec time)
{
    if (time.nanoseconds == UTIME_NOW)
        *to = time_now();
    else if (time.nanoseconds != UTIME_OMIT)
        *to = time;
}

static void set_times(struct node *node, const struct linux_timespec times[2])
{
    set_time(&node->accessed, times[0]);
    set_time(&node->modified, times[1]);
    node_change(node);
}

/* path NULL: the descriptor itself. */
static long set_times_at(int directory, const char *path, const struct linux_timespec times[2], int flags)
{
    struct lookup lookup;
    struct file *file;
    error_t error;

    if (path == NULL && directory != AT_FDCWD) {
        if (flags != 0)
            return -E_INVAL;
        file = linux_file_usable(directory);
        if (file != NULL && file->node != NULL)
            set_times(file->node, times);
        return file != NULL ? 0 : -E_BADF;
    }
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -E_INVAL;
    error = lookup_node(&lookup, directory, path, lookup_flags(flags));
    if (error != E_SUCCESS)
        return -error;
    set_times(lookup.node, times);
    lookup_end(&lookup);
    return 0;
}

static bool is_valid(struct linux_timespec time)
{
    return time.nanoseconds == UTIME_NOW || time.nanoseconds == UTIME_OMIT ||
           (time.nanoseconds >= 0 && time.nanoseconds < 1000000000);
}

long linux_utimensat(int directory, const char *path, const struct linux_timespec *user, int flags)
{
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};

    if (user != NULL) {
        if (user_read(times, user, sizeof(times)) != E_SUCCESS)
            return -E_FAULT;
        if (times[0].nanoseconds == UTIME_OMIT && times[1].nanoseconds == UTIME_OMIT)
            return 0; /* not even the path is looked at */
    }
    if (!is_valid(times[0]) || !is_valid(times[1]))
        return -E_INVAL;
    return set_times_at(directory, path, times, flags);
}

long linux_futimesat(int directory, const char *path, const struct linux_timeval *user)
{
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct linux_timeval given[2];

    if (user != NULL && user_read(given, user, sizeof(given)) != E_SUCCESS)
        return -E_FAULT;
    for (int i = 0; user != NULL && i < 2; i++) {
        if (given[i].microseconds < 0 || given[i].microseconds >= 1000000)
            return -E_INVAL;
        times[i] = (struct linux_timespec){given[i].seconds, given[i].microseconds * 1000};
    }
    return set_times_at(directory, path, times, 0);
}

long linux_utimes(const char *path, const struct linux_timeval *user)
{
    return linux_futimesat(AT_FDCWD, path, user);
}

long linux_utime(const char *path, const struct linux_utimbuf *user)
{
    struct linux_timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct linux_utimbuf given;

    if (user != NULL) {
        if (user_read(&given, user, sizeof(given)) != E_SUCCESS)
            return -E_FAULT;
        times[0] = (struct linux_timespec){.seconds = given.access};
        times[1] = (struct linux_timespec){.seconds = given.modification};
    }
    return set_times_at(AT_FDCWD, path, times, 0);
}

/* ---- extended attributes: none, and none can be set ---- */

static long look_only(const char *path, unsigned flags, long result)
{
    struct lookup lookup;
    error_t error = lookup_node(&lookup, AT_FDCWD, path, flags);

    if (error != E_SUCCESS)
        return -error;
    lookup_end(&lookup);
    return result;
}

long linux_xattr(const char *path)
{
    return look_only(path, LOOKUP_FOLLOW, -E_NOTSUP);
}

long linux_lxattr(const char *path)
{
    return look_only(path, 0, -E_NOTSUP);
}

long linux_fxattr(int fd)
{
    return linux_file_usable(fd) == NULL ? -E_BADF : -E_NOTSUP;
}

long linux_listxattr(const char *path)
{
    return look_only(path, LOOKUP_FOLLOW, 0);
}

long linux_llistxattr(const char *path)
{
    return look_only(path, 0, 0);
}

long linux_flistxattr(int fd)
{
    return linux_file_usable(fd) == NULL ? -E_BADF : 0;
}
