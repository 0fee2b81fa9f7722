/*
 * Files that are no stored bytes: devices of memory, files whose text the core makes, and what symbolic links say. Each
 * is a node like all others; only the operations of a file opened on it differ.
 */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/text.h"
#include "core/linux/tree.h"

#define MEMORY_MAJOR 1u
#define CONSOLE_MAJOR 5u

/* ---- devices ---- */

static long null_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    (void)file, (void)user, (void)length, (void)offset;
    return 0;
}

static long null_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    (void)file, (void)user, (void)offset;
    return (long)length;
}

static long full_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    (void)file, (void)user, (void)length, (void)offset;
    return -E_NOSPC;
}

static long zero_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    static const char zeros[256];
    size_t done = 0;

    (void)file, (void)offset;
    while (done < length) {
        size_t part = length - done < sizeof(zeros) ? length - done : sizeof(zeros);
        long copied = linux_user_write((char *)user + done, zeros, part);

        if (copied < 0)
            return done > 0 ? (long)done : copied;
        done += (size_t)copied;
        if ((size_t)copied < part)
            break;
    }
    return (long)done;
}

static long random_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    (void)file, (void)offset;
    return linux_getrandom(user, length, 0);
}

/* What is written stirs a pool on Linux; there is none here, and the program's bytes are only looked at. */
static long random_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    char bytes[256];
    size_t part = length < sizeof(bytes) ? length : sizeof(bytes);
    long copied = linux_user_read(bytes, user, part);

    (void)file, (void)offset;
    return copied < 0 ? copied : (long)length;
}

static long memory_seek(struct file *file, int64_t offset, int whence)
{
    (void)offset, (void)whence;
    return (long)(file->offset = 0);
}

static const struct file_operations null_operations = {
    .read = null_read, .write = null_write, .seek = memory_seek, .has_offset = true};
/* Each mapping gets zeros of its own. */
static struct vm_object *zero_object(struct file *file)
{
    (void)file;
    return NULL;
}

static const struct file_operations zero_operations = {
    .read = zero_read, .write = null_write, .seek = memory_seek, .object = zero_object, .has_offset = true};
static const struct file_operations full_operations = {
    .read = zero_read, .write = full_write, .seek = memory_seek, .has_offset = true};
static const struct file_operations random_operations = {
    .read = random_read, .write = random_write, .seek = memory_seek, .has_offset = true};

static const struct {
    const char *path;
    uint32_t mode;
    unsigned number;
    const struct file_operations *operations;
} devices[] = {
    {"/dev/null", 0666, MEMORY_MAJOR << 8 | 3, &null_operations},
    {"/dev/zero", 0666, MEMORY_MAJOR << 8 | 5, &zero_operations},
    {"/dev/full", 0666, MEMORY_MAJOR << 8 | 7, &full_operations},
    {"/dev/random", 0666, MEMORY_MAJOR << 8 | 8, &random_operations},
    {"/dev/urandom", 0666, MEMORY_MAJOR << 8 | 9, &random_operations},
    {"/dev/tty", 0666, CONSOLE_MAJOR << 8 | 0, &console_operations},
    {"/dev/console", 0600, CONSOLE_MAJOR << 8 | 1, &console_operations},
};
static const char *const links[][2] = {
    {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
};

/* What the image packs under one of these names stays. */
error_t devices_add(void)
{
    error_t error = E_SUCCESS;

    for (size_t i = 0; (error == E_SUCCESS || error == E_EXIST) && i < ARRAY_LENGTH(devices); i++)
        error = tree_add_device(devices[i].path, devices[i].mode, devices[i].number, devices[i].operations, NULL);
    for (size_t i = 0; (error == E_SUCCESS || error == E_EXIST) && i < ARRAY_LENGTH(links); i++)
        error = tree_add_link(links[i][0], links[i][1], NULL);
    if (error == E_SUCCESS || error == E_EXIST)
        error = tree_add_directory("/dev/shm", 01777);
    return error == E_EXIST ? E_SUCCESS : error;
}

/* ---- files whose text is made when they are opened: `own` is the text ---- */

static long generated_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    size_t whole;
    const char *bytes = text_bytes(file->own, &whole);
    size_t left = *offset < whole ? whole - *offset : 0;
    long done;

    if (length > left)
        length = left;
    if (length == 0)
        return 0;
    done = linux_user_write(user, bytes + *offset, length);
    *offset += done > 0 ? (uint64_t)done : 0;
    return done;
}

static long generated_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    char text[256];
    long done;

    if (file->node->generated->write == NULL)
        return -E_INVAL;
    if (length > sizeof(text))
        return -E_INVAL;
    if (user_read(text, user, length) != E_SUCCESS)
        return -E_FAULT;
    user_check_suspend();
    done = file->node->generated->write(file->node, text, length);
    user_check_resume();
    *offset += done > 0 ? (uint64_t)done : 0;
    return done;
}

static long generated_seek(struct file *file, int64_t offset, int whence)
{
    if (whence > SEEK_CUR || (whence == SEEK_CUR && __builtin_add_overflow((int64_t)file->offset, offset, &offset)) ||
        offset < 0)
        return -E_INVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

static void generated_release(struct file *file)
{
    text_destroy(file->own);
}

const struct file_operations generated_operations = {
    .read = generated_read,
    .write = generated_write,
    .seek = generated_seek,
    .release = generated_release,
    .has_offset = true,
};

/* ---- symbolic links ---- */

/* A text that is made anew replaces the last one only if it differs: a path being resolved may still use that. */
static error_t keep_text(struct link *link, const struct text *made)
{
    size_t length;
    const char *bytes = text_bytes(made, &length);
    char *copy;

    if (text_failed(made))
        return E_NOMEM;
    if (link->text != NULL && length == link->length && memcmp(bytes, link->text, length) == 0)
        return E_SUCCESS;
    copy = core_allocate(length + 1);
    if (copy == NULL)
        return E_NOMEM;
    memcpy(copy, bytes, length);
    core_release(link->text, link->length + 1);
    link->text = copy;
    link->length = length;
    return E_SUCCESS;
}

error_t link_text(struct node *node, const char **text, size_t *length)
{
    error_t error = E_SUCCESS;

    if (node->link.generate != NULL || node->link.describe != NULL) {
        struct text *made = text_create(node);

        if (made == NULL)
            return E_NOMEM;
        if (node->link.describe != NULL)
            node->link.describe(node, made);
        else
            node->link.generate(made);
        error = keep_text(&node->link, made);
        text_destroy(made);
    }
    *text = node->link.text;
    *length = node->link.length;
    return error;
}
