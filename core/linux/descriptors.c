/*
 * /proc/self/fd: a link for each open descriptor, made and removed when the directory is looked at. What such a link
 * leads to is the file itself, whatever its name has become.
 */
#include "core/allocate.h"
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/linux/text.h"
#include "core/linux/tree.h"

#define LINK_MODE (S_IFLNK | 0700)

static struct file *file_of(const struct node *link)
{
    return link->names != NULL ? linux_file(entry_number(link->names)) : NULL;
}

/* Anonymous inodes have names of their own, a pipe is "pipe:[" its inode "]". */
static void describe_unnamed(struct file *file, struct text *text)
{
    struct linux_stat stat;

    text_add(text, "%s", file->operations->name);
    if (strcmp(file->operations->name, "pipe") != 0)
        return;
    file_stat(file, &stat);
    text_add(text, ":[%lu]", (unsigned long)stat.inode);
}

static void describe(const struct node *link, struct text *text)
{
    struct file *file = file_of(link);
    char *path;

    if (file == NULL)
        return;
    if (file->node == NULL) {
        describe_unnamed(file, text);
        return;
    }
    path = core_allocate(PATH_MAX);
    if (path == NULL)
        return;
    node_path(file->node, path, PATH_MAX);
    text_add(text, "%s", path);
    core_release(path, PATH_MAX);
}

static struct node *follow(const struct node *link)
{
    const struct file *file = file_of(link);

    if (file == NULL || file->node == NULL)
        return NULL;
    node_reference(file->node);
    return file->node;
}

static error_t add_link(struct node *directory, int fd)
{
    char name[16];
    size_t length = (size_t)text_format(name, sizeof(name), "%d", fd);
    struct node *link;

    if (entry_find(directory, name, length) != NULL)
        return E_SUCCESS;
    link = node_create(LINK_MODE);
    if (link != NULL) {
        link->link.describe = describe;
        link->link.follow = follow;
    }
    return directory_add(directory, name, length, link);
}

static error_t refresh(struct node *directory)
{
    error_t error = directory->links == 0 ? E_NOENT : E_SUCCESS; /* of a thread that is no more */

    for (struct entry *entry = directory->directory.first, *next; entry != NULL; entry = next) {
        next = entry->next;
        if (linux_file(entry_number(entry)) == NULL)
            entry_unlink(entry);
    }
    for (int fd = linux_next_descriptor(0); fd >= 0 && error == E_SUCCESS; fd = linux_next_descriptor(fd + 1))
        error = add_link(directory, fd);
    return error;
}

error_t directory_add_descriptors(struct node *directory)
{
    struct node *node = node_create(S_IFDIR | 0500);

    if (node != NULL)
        node->directory.refresh = refresh;
    return directory_add(directory, "fd", 2, node);
}
