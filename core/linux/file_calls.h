/* System calls of the part "files" beside those in calls.h (its conventions hold), with their numbers and structures.
 */
#ifndef CORE_LINUX_FILE_CALLS_H
#define CORE_LINUX_FILE_CALLS_H

#include "core/linux/abi.h"

#define TMPFILE_FLAG ((unsigned)O_TMPFILE & ~(unsigned)O_DIRECTORY)
#define O_SYNC 04010000
#define O_NOCTTY 0400
#define KNOWN_OPEN_FLAGS                                                                                               \
    ((unsigned)(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC |         \
                O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE))

#define AT_SYMLINK_FOLLOW 0x400
#define AT_STATX_FORCE_SYNC 0x2000
#define AT_STATX_DONT_SYNC 0x4000
#define STATX_BASIC_STATS 0x7ffu
#define STATX_RESERVED 0x80000000u
enum { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2 };
enum { FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2 };

struct linux_open_how {
    uint64_t flags, mode, resolve;
};
enum {
    RESOLVE_NO_XDEV = 1,
    RESOLVE_NO_MAGICLINKS = 2,
    RESOLVE_NO_SYMLINKS = 4,
    RESOLVE_BENEATH = 8,
    RESOLVE_IN_ROOT = 16,
    RESOLVE_CACHED = 32
};

struct linux_statfs {
    int64_t type, block_size;
    uint64_t blocks, free_blocks, available_blocks, files, free_files;
    int32_t id[2];
    int64_t name_length, fragment_size, flags, spare[4];
};
_Static_assert(sizeof(struct linux_statfs) == 120, "struct statfs of x86-64");

struct linux_statx_timestamp {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct linux_statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, spare0;
    uint64_t inode, size, blocks, attributes_mask;
    struct linux_statx_timestamp access, birth, change, modification;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t mount, spare[13];
};
_Static_assert(sizeof(struct linux_statx) == 256, "struct statx");

struct linux_flock {
    int16_t type, whence;
    int64_t start, length;
    int32_t process;
};
enum { F_RDLCK, F_WRLCK, F_UNLCK };

struct linux_utimbuf {
    int64_t access, modification;
};

/* open.c */
long linux_openat2(int directory, const char *path, const struct linux_open_how *, size_t size);

/* directory.c */
long linux_getdents(int fd, void *buffer, unsigned size);

/* names.c */
long linux_mkdir(const char *path, unsigned mode);
long linux_mkdirat(int directory, const char *path, unsigned mode);
long linux_mknod(const char *path, unsigned mode, unsigned device);
long linux_mknodat(int directory, const char *path, unsigned mode, unsigned device);
long linux_rmdir(const char *path);
long linux_unlink(const char *path);
long linux_unlinkat(int directory, const char *path, int flags);
long linux_rename(const char *from, const char *to);
long linux_renameat(int from_directory, const char *from, int to_directory, const char *to);
long linux_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags);
long linux_link(const char *from, const char *to);
long linux_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags);
long linux_symlink(const char *text, const char *path);
long linux_symlinkat(const char *text, int directory, const char *path);
long linux_chroot(const char *path);

/* attributes.c */
long linux_lstat(const char *path, struct linux_stat *);
long linux_statx(int directory, const char *path, int flags, unsigned mask, struct linux_statx *);
long linux_statfs(const char *path, struct linux_statfs *);
long linux_fstatfs(int fd, struct linux_statfs *);
long linux_chmod(const char *path, unsigned mode);
long linux_fchmod(int fd, unsigned mode);
long linux_fchmodat(int directory, const char *path, unsigned mode);
long linux_chown(const char *path, unsigned uid, unsigned gid);
long linux_lchown(const char *path, unsigned uid, unsigned gid);
long linux_fchown(int fd, unsigned uid, unsigned gid);
long linux_fchownat(int directory, const char *path, unsigned uid, unsigned gid, int flags);
long linux_utimensat(int directory, const char *path, const struct linux_timespec *times, int flags);
long linux_futimesat(int directory, const char *path, const struct linux_timeval *times);
long linux_utimes(const char *path, const struct linux_timeval *times);
long linux_utime(const char *path, const struct linux_utimbuf *times);
long linux_umask(unsigned mask);
long linux_xattr(const char *path);  /* setxattr, getxattr, removexattr */
long linux_lxattr(const char *path); /* l... */
long linux_fxattr(int fd);           /* f... */
long linux_listxattr(const char *path);
long linux_llistxattr(const char *path);
long linux_flistxattr(int fd);

/* extent.c */
long linux_truncate(const char *path, int64_t size);
long linux_ftruncate(int fd, int64_t size);
long linux_fallocate(int fd, int mode, int64_t offset, int64_t length);
long linux_fadvise64(int fd, int64_t offset, int64_t length, int advice);
long linux_readahead(int fd, int64_t offset, size_t length);
long linux_syncfs(int fd);
long linux_sync_file_range(int fd, int64_t offset, int64_t length, unsigned flags);
long linux_sendfile(int to, int from, int64_t *offset, size_t count);
long linux_copy_file_range(int from, int64_t *from_offset, int to, int64_t *to_offset, size_t length, unsigned flags);

/* locks.c */
long linux_flock(int fd, int operation);

#endif
