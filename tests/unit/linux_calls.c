#include "linux_calls.h"

#include "core/linux/calls.h"
#include "core/linux/file_calls.h"

long quire_call(long number, long a, long b, long c, long d, long e)
{
    const char *first = (const char *)a, *second = (const char *)b;

    switch (number) {
    case SYS_openat:
        return linux_openat((int)a, second, (int)c, (unsigned)d);
    case SYS_close:
        return linux_close((int)a);
    case SYS_mkdir:
        return linux_mkdir(first, (unsigned)b);
    case SYS_rmdir:
        return linux_rmdir(first);
    case SYS_unlink:
        return linux_unlink(first);
    case SYS_renameat2:
        return linux_renameat2((int)a, second, (int)c, (const char *)d, (unsigned)e);
    case SYS_link:
        return linux_link(first, second);
    case SYS_symlink:
        return linux_symlink(first, second);
    case SYS_readlink:
        return linux_readlink(first, (char *)b, (int)c);
    case SYS_truncate:
        return linux_truncate(first, b);
    case SYS_ftruncate:
        return linux_ftruncate((int)a, b);
    case SYS_read:
        return linux_read((int)a, (void *)b, (size_t)c);
    case SYS_write:
        return linux_write((int)a, second, (size_t)c);
    case SYS_pread64:
        return linux_pread64((int)a, (void *)b, (size_t)c, d);
    case SYS_pwrite64:
        return linux_pwrite64((int)a, second, (size_t)c, d);
    case SYS_lseek:
        return linux_lseek((int)a, b, (int)c);
    case SYS_fallocate:
        return linux_fallocate((int)a, (int)b, c, d);
    case SYS_stat:
        return linux_stat(first, (struct linux_stat *)b);
    case SYS_lstat:
        return linux_lstat(first, (struct linux_stat *)b);
    case SYS_fstat:
        return linux_fstat((int)a, (struct linux_stat *)b);
    case SYS_getdents64:
        return linux_getdents64((int)a, (void *)b, (unsigned)c);
    case SYS_chdir:
        return linux_chdir(first);
    case SYS_dup:
        return linux_dup((int)a);
    case SYS_sendfile:
        return linux_sendfile((int)a, (int)b, (int64_t *)c, (size_t)d);
    case SYS_chmod:
        return linux_chmod(first, (unsigned)b);
    default:
        return -E_NOSYS;
    }
}
