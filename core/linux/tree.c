/*
 * Names: open, stat and their relatives on the read-only tree of packed files. Errors come in Linux's order: the path
 * first, then what is asked of what it names.
 */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/boot_info.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/init.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "machine.h"
#include "vm/vm.h"

#define BLOCK_SIZE 4096
#define EXECUTABLE_LINK "/proc/self/exe"
#define CONSOLE_DEVICE (4u << 8 | 64u) /* ttyS0 */
#define FILES_DEVICE 1u
enum { X_OK = 1, W_OK = 2, R_OK = 4 };

/* The index of the packed files: kept for as long as the machine runs. */
static uint64_t *make_index(size_t count)
{
    size_t size = align_up(count * sizeof(uint64_t), VM_PAGE_SIZE);
    struct vm_segment *segment;

    if (size == 0)
        return NULL;
    segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, size, VM_RW | VM_POPULATE);
    if (IS_ERR(segment))
        refuse("there is no room for the index of %zu packed files: %s", count, error_name(ERR_OF(segment)));
    return (uint64_t *)vm_start(segment);
}

void linux_tree_init(void)
{
    const struct boot_module *module = &boot_info.modules[0];
    struct archive *files = linux_files();
    error_t error;

    if (!quire_config.has_files)
        return;
    if (boot_info.module_count == 0)
        refuse("the packed files are missing: give %s.files to the loader as a module (QEMU: -initrd)",
               quire_config.name);
    error = archive_measure(files, phys_to_virt(module->start), module->end - module->start);
    if (error == E_SUCCESS)
        error = archive_index(files, make_index(files->count));
    if (error != E_SUCCESS)
        refuse("the module %s.files cannot be used: %s", quire_config.name, files->problem);
}

/* Copies the path in; E_FAULT, E_NAMETOOLONG. */
static error_t read_path(char *path, const char *user)
{
    intptr_t length = user_string_length(user, ARCHIVE_PATH_MAX);

    if (length < 0)
        return (error_t)-length;
    if (length >= ARCHIVE_PATH_MAX)
        return E_NAMETOOLONG;
    if (user_copy(path, user, (size_t)length) != E_SUCCESS)
        return E_FAULT;
    path[length] = '\0';
    return E_SUCCESS;
}

static size_t working_directory = ARCHIVE_ROOT;
static struct archive packed_files;
static const struct file_operations packed_operations, directory_operations;

struct archive *linux_files(void)
{
    return &packed_files;
}

/* The entry that an open file is; ARCHIVE_ROOT is a number too. */
static size_t entry_of(const struct file *file)
{
    return (size_t)file->own;
}

static bool is_directory_file(const struct file *file)
{
    return file->operations == &directory_operations;
}

bool linux_packed_entry(const struct file *file, size_t *entry)
{
    *entry = entry_of(file);
    return file->operations == &packed_operations;
}

/* The directory that a relative path starts from. */
static error_t base_of(int directory, const char *path, size_t *base)
{
    struct file *file;

    *base = working_directory;
    if (directory == AT_FDCWD || *path == '/')
        return E_SUCCESS;
    file = linux_file(directory);
    if (file == NULL)
        return E_BADF;
    if (!is_directory_file(file))
        return E_NOTDIR;
    *base = entry_of(file);
    return E_SUCCESS;
}

static error_t walk(int directory, const char *path, size_t *entry)
{
    size_t base;
    error_t error = base_of(directory, path, &base);

    return error != E_SUCCESS ? error : archive_walk(linux_files(), base, path, entry);
}

/* What open with O_CREAT says about a name that is not there: EROFS if its directory is. */
static error_t cannot_create(int directory, char *path)
{
    size_t end = strlen(path), entry;
    error_t error;

    while (end > 0 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    path[end] = '\0';
    error = end == 0 ? E_SUCCESS : walk(directory, path, &entry);
    return error != E_SUCCESS ? error : E_ROFS;
}

static bool is_directory(const struct archive_entry *entry)
{
    return (entry->mode & ARCHIVE_TYPE) == ARCHIVE_DIRECTORY;
}

/* Whether what the path names may be opened like this. */
static error_t check_open(size_t entry, unsigned flags)
{
    struct archive_entry found = archive_entry(linux_files(), entry);
    bool writing = (flags & O_ACCMODE) != 0 || (flags & O_TRUNC);
    error_t error;

    if ((flags & O_CREAT) && (flags & O_EXCL))
        return E_EXIST;
    if (is_directory(&found))
        return flags & O_CREAT || writing ? E_ISDIR : E_SUCCESS;
    if (flags & O_DIRECTORY)
        return E_NOTDIR;
    if (writing)
        return E_ROFS;
    error = archive_verify(linux_files(), entry);
    if (error != E_SUCCESS)
        kprintf("quire: %s\n", linux_files()->problem);
    return error;
}

long linux_openat(int directory, const char *user_path, int flags, unsigned mode)
{
    char path[ARCHIVE_PATH_MAX];
    struct archive_entry found;
    size_t entry;
    error_t error = read_path(path, user_path);

    (void)mode;
    flags |= O_LARGEFILE; /* 64-bit programs always have it */
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (error == E_SUCCESS)
        error = walk(directory, path, &entry);
    if (error == E_NOENT && (flags & O_CREAT) && *path != '\0')
        error = cannot_create(directory, path);
    if (error == E_SUCCESS && (flags & O_TMPFILE & ~O_DIRECTORY))
        error = E_ROFS;
    if (error == E_SUCCESS)
        error = check_open(entry, (unsigned)flags);
    if (error != E_SUCCESS)
        return -error;
    found = archive_entry(linux_files(), entry);
    return file_open(is_directory(&found) ? &directory_operations : &packed_operations, (unsigned)flags, (void *)entry);
}

long linux_open(const char *path, int flags, unsigned mode)
{
    return linux_openat(AT_FDCWD, path, flags, mode);
}

long linux_creat(const char *path, unsigned mode)
{
    return linux_openat(AT_FDCWD, path, O_CREAT | O_TRUNC | 1 /* O_WRONLY */, mode);
}

static struct linux_stat stat_entry(size_t number)
{
    struct archive_entry entry = archive_entry(linux_files(), number);
    struct linux_timespec time = {.seconds = (int64_t)entry.time};

    return (struct linux_stat){
        .device = FILES_DEVICE,
        .inode = number == ARCHIVE_ROOT ? 1 : number + 2,
        .links = is_directory(&entry) ? 2 : 1,
        .mode = entry.mode,
        .size = (int64_t)entry.size,
        .block_size = BLOCK_SIZE,
        .blocks = (int64_t)(align_up(entry.size, 512) / 512),
        .access = time,
        .modification = time,
        .change = time,
    };
}

/* The entry named as the *at calls do; *console if that is a descriptor of the console. */
static error_t find_at(int directory, const char *user_path, int flags, size_t *entry, bool *console)
{
    char path[ARCHIVE_PATH_MAX];
    error_t error = read_path(path, user_path);
    struct file *file;

    *console = false;
    if (error != E_SUCCESS)
        return error;
    if (*path != '\0' || !(flags & AT_EMPTY_PATH))
        return walk(directory, path, entry);
    if (directory == AT_FDCWD) {
        *entry = working_directory;
        return E_SUCCESS;
    }
    file = linux_file(directory);
    if (file == NULL)
        return E_BADF;
    *console = file->operations == &console_operations;
    *entry = entry_of(file);
    return E_SUCCESS;
}

long linux_newfstatat(int directory, const char *path, struct linux_stat *to, int flags)
{
    struct linux_stat stat;
    size_t entry;
    bool console;
    error_t error;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -E_INVAL;
    error = find_at(directory, path, flags, &entry, &console);
    if (error != E_SUCCESS)
        return -error;
    if (console)
        return linux_fstat(directory, to);
    stat = stat_entry(entry);
    return -user_copy(to, &stat, sizeof(stat));
}

long linux_stat(const char *path, struct linux_stat *to)
{
    return linux_newfstatat(AT_FDCWD, path, to, 0);
}

/* As root on a read-only file system: reading is always allowed, writing never, executing where some x bit is set. */
long linux_faccessat2(int directory, const char *path, int mode, int flags)
{
    const int at_eaccess = AT_REMOVEDIR; /* the same bit */
    struct archive_entry found;
    size_t entry;
    bool console;
    error_t error;

    if ((mode & ~(R_OK | W_OK | X_OK)) || (flags & ~(at_eaccess | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -E_INVAL;
    error = find_at(directory, path, flags, &entry, &console);
    if (error != E_SUCCESS)
        return -error;
    if (console)
        return mode & X_OK ? -E_ACCES : 0;
    found = archive_entry(linux_files(), entry);
    if ((mode & X_OK) && !(found.mode & 0111))
        return -E_ACCES;
    return mode & W_OK ? -E_ROFS : 0;
}

long linux_faccessat(int directory, const char *path, int mode)
{
    return linux_faccessat2(directory, path, mode, 0);
}

long linux_access(const char *path, int mode)
{
    return linux_faccessat2(AT_FDCWD, path, mode, 0);
}

/* There are no symbolic links but the one that tells a program its own name. */
long linux_readlinkat(int directory, const char *user_path, char *buffer, int size)
{
    char path[ARCHIVE_PATH_MAX];
    size_t length = strlen(quire_config.name) + 1, entry;
    error_t error = read_path(path, user_path);

    if (size <= 0)
        return -E_INVAL;
    if (error == E_SUCCESS && strcmp(path, EXECUTABLE_LINK) != 0) {
        error = walk(directory, path, &entry);
        return error != E_SUCCESS ? -error : -E_INVAL;
    }
    if (error != E_SUCCESS)
        return -error;
    text_format(path, sizeof(path), "/%s", quire_config.name);
    if (length > (size_t)size)
        length = (size_t)size;
    return user_copy(buffer, path, length) != E_SUCCESS ? -E_FAULT : (long)length;
}

long linux_readlink(const char *path, char *buffer, int size)
{
    return linux_readlinkat(AT_FDCWD, path, buffer, size);
}

long linux_getcwd(char *buffer, size_t size)
{
    char path[ARCHIVE_PATH_MAX + 1];
    size_t length =
        (size_t)text_format(path, sizeof(path), "/%s", archive_entry(linux_files(), working_directory).path);

    if (size < length + 1)
        return -E_RANGE;
    return user_copy(buffer, path, length + 1) != E_SUCCESS ? -E_FAULT : (long)(length + 1);
}

static long change_directory(size_t entry)
{
    struct archive_entry found = archive_entry(linux_files(), entry);

    if (!is_directory(&found))
        return -E_NOTDIR;
    working_directory = entry;
    return 0;
}

long linux_chdir(const char *user_path)
{
    char path[ARCHIVE_PATH_MAX];
    size_t entry;
    error_t error = read_path(path, user_path);

    if (error == E_SUCCESS)
        error = walk(AT_FDCWD, path, &entry);
    return error != E_SUCCESS ? -error : change_directory(entry);
}

long linux_fchdir(int fd)
{
    struct file *file = linux_file(fd);

    if (file == NULL)
        return -E_BADF;
    return is_directory_file(file) ? change_directory(entry_of(file)) : -E_NOTDIR;
}

/*
 * Entries of a directory come in the order "." (offset 0), ".." (1), then children: offset 2 plus the child's
 * number. The offset is that of the first entry not given yet; DIRECTORY_END after the last.
 */
#define DIRECTORY_END INT64_MAX

static uint64_t next_offset(const struct file *file, uint64_t offset)
{
    size_t child;

    if (offset == 0)
        return 1;
    child = archive_next_child(linux_files(), entry_of(file), offset == 1 ? SIZE_MAX : offset - 2);
    return child == SIZE_MAX ? DIRECTORY_END : child + 2;
}

/* Name and number of the entry at an offset. */
static const char *child_at(const struct file *file, uint64_t offset, size_t *number)
{
    const char *name, *part;

    if (offset < 2) {
        *number = offset == 0 ? entry_of(file) : archive_parent(linux_files(), entry_of(file));
        return offset == 0 ? "." : "..";
    }
    *number = offset - 2;
    name = part = archive_entry(linux_files(), *number).path;
    for (; *part != '\0'; part++)
        if (*part == '/')
            name = part + 1;
    return name;
}

/* Bytes written for the entry at the file's offset, 0 if there is no room, or a negative error. */
static long put_entry(const struct file *file, char *to, size_t room)
{
    size_t number;
    const char *name = child_at(file, file->offset, &number);
    size_t name_size = strlen(name) + 1;
    struct linux_stat stat = stat_entry(number);
    struct linux_dirent64 entry = {
        .inode = stat.inode,
        .next = (int64_t)next_offset(file, file->offset),
        .length = (uint16_t)align_up(LINUX_DIRENT64_NAME + name_size, 8),
        .type = (stat.mode & ARCHIVE_TYPE) == ARCHIVE_DIRECTORY ? DT_DIR : DT_REG,
    };

    if (entry.length > room)
        return 0;
    if (user_copy(to, &entry, LINUX_DIRENT64_NAME) != E_SUCCESS ||
        user_copy(to + LINUX_DIRENT64_NAME, name, name_size) != E_SUCCESS)
        return -E_FAULT;
    return entry.length;
}

static long directory_getdents64(struct file *file, void *buffer, size_t size)
{
    size_t done = 0;

    /* lseek may have set any offset: beyond the last entry there is nothing. */
    while (file->offset < linux_files()->count + 2) {
        long length = put_entry(file, (char *)buffer + done, size - done);

        if (length <= 0)
            return done > 0 ? (long)done : length < 0 ? length : -E_INVAL;
        done += (size_t)length;
        file->offset = next_offset(file, file->offset);
    }
    return (long)done;
}

long linux_getdents64(int fd, void *buffer, unsigned size)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    return file->operations->getdents64 != NULL ? file->operations->getdents64(file, buffer, size) : -E_NOTDIR;
}

static void entry_stat(struct file *file, struct linux_stat *stat)
{
    *stat = stat_entry(entry_of(file));
}

/* Copies from a packed file at the offset; the number of bytes, 0 at the end. */
static long packed_read(struct file *file, void *buffer, size_t length, uint64_t *offset)
{
    struct archive_entry entry = archive_entry(&packed_files, entry_of(file));
    size_t left = *offset >= entry.size ? 0 : entry.size - *offset;
    long count = linux_copy(buffer, entry.bytes + *offset, length > left ? left : length);

    *offset += count > 0 ? (uint64_t)count : 0;
    return count;
}

static long directory_read(struct file *file, void *buffer, size_t length, uint64_t *offset)
{
    (void)file, (void)buffer, (void)length, (void)offset;
    return -E_ISDIR;
}

static long entry_seek(struct file *file, int64_t offset, int whence)
{
    const uint64_t bases[] = {0, file->offset, archive_entry(&packed_files, entry_of(file)).size};

    if (whence > SEEK_END || __builtin_add_overflow((int64_t)bases[whence], offset, &offset) || offset < 0 ||
        (!is_directory_file(file) && offset > INT64_MAX - 1))
        return -E_INVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

static const struct file_operations packed_operations = {
    .read = packed_read, .seek = entry_seek, .stat = entry_stat, .has_offset = true, .is_stored = true};
static const struct file_operations directory_operations = {
    .read = directory_read,
    .seek = entry_seek,
    .getdents64 = directory_getdents64,
    .stat = entry_stat,
    .has_offset = true,
    .is_stored = true,
};
