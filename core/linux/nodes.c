/* Nodes: their life, their times and what stat says about them. */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/clock.h"
#include "core/linux/tree.h"

#define ROOT_DEVICE 1u
#define SECOND 1000000000ull

/* Packed files have the numbers below: their place in the archive. */
static uint64_t next_inode = (uint64_t)1 << 32;

struct linux_timespec time_now(void)
{
    uint64_t now = clock_realtime();

    return (struct linux_timespec){.seconds = (int64_t)(now / SECOND), .nanoseconds = (int64_t)(now % SECOND)};
}

struct node *node_create(uint32_t mode)
{
    struct node *node = core_allocate(sizeof(*node));

    if (node == NULL)
        return NULL;
    node->mode = mode;
    node->references = 1;
    node->device = ROOT_DEVICE;
    node->inode = next_inode++;
    node->accessed = node->modified = node->changed = time_now();
    if (node_type(node) == S_IFREG)
        contents_init(&node->contents);
    else if (node_is_directory(node))
        node->directory.next_position = 2; /* behind "." and ".." */
    return node;
}

struct node *node_create_anonymous(const char *name, uint32_t mode)
{
    struct node *node = node_create(S_IFREG | (mode & 07777));

    if (node == NULL)
        return NULL;
    node->names = entry_create(name, strlen(name));
    if (node->names == NULL) {
        node_release(node);
        return NULL;
    }
    node->names->node = node;
    return node;
}

/* Gives the node that it held, whose turn it then is: a chain of removed directories may be longer than the stack. */
static struct node *destroy(struct node *node)
{
    struct entry *name = node->names; /* not linked any more */
    struct node *directory = name != NULL ? name->directory : NULL;

    if (name != NULL)
        entry_discard(name);
    if (node_type(node) == S_IFREG)
        contents_destroy(&node->contents);
    else if (node_type(node) == S_IFLNK)
        core_release(node->link.text, node->link.length + 1);
    core_release(node, sizeof(*node));
    return directory;
}

void **node_own(struct node *node)
{
    return &node->own;
}

void node_reference(struct node *node)
{
    node->references++;
}

void node_release(struct node *node)
{
    while (node != NULL && --node->references == 0 && node->links == 0)
        node = destroy(node);
}

void node_change(struct node *node)
{
    node->changed = time_now();
}

void node_touch(struct node *node)
{
    node->modified = node->changed = time_now();
}

void node_stat(struct node *node, struct linux_stat *stat)
{
    uint64_t size = 0, blocks = 0;

    if (node_type(node) == S_IFREG && node->generated == NULL) {
        size = node->contents.size;
        blocks = contents_blocks(&node->contents);
    } else if (node_type(node) == S_IFLNK) {
        size = node->link.length;
    } else if (node_is_directory(node) && directory_fill(node) == E_SUCCESS) {
        size = 20 * (node->directory.children + 2); /* as tmpfs says */
    }
    *stat = (struct linux_stat){
        .device = node->device,
        .inode = node->inode,
        .links = node->links,
        .mode = node->mode,
        .uid = node->uid,
        .gid = node->gid,
        .special_device = node_type(node) == S_IFCHR || node_type(node) == S_IFBLK ? node->special.number : 0,
        .size = (int64_t)size,
        .block_size = VM_PAGE_SIZE,
        .blocks = (int64_t)blocks,
        .access = node->accessed,
        .modification = node->modified,
        .change = node->changed,
    };
}

/* Puts the text in front of what is in the buffer from *start on; what does not fit is left out. */
static void put_before(char *buffer, size_t *start, const char *text, size_t length)
{
    if (length > *start) {
        text += length - *start;
        length = *start;
    }
    *start -= length;
    memcpy(buffer + *start, text, length);
}

size_t node_path(const struct node *node, char *buffer, size_t size)
{
    const char deleted[] = " (deleted)";
    size_t start = size, length;

    if (size == 0)
        return 0;
    buffer[--start] = '\0';
    if (node != tree_root && (node->names == NULL || !node->names->linked))
        put_before(buffer, &start, deleted, sizeof(deleted) - 1);
    if (node->names == NULL)
        put_before(buffer, &start, "/", 1);
    for (const struct entry *name = node->names; name != NULL;) {
        put_before(buffer, &start, name->name, name->length);
        put_before(buffer, &start, "/", 1);
        name = name->directory != NULL && name->directory != process_root ? name->directory->names : NULL;
    }
    length = size - 1 - start;
    memmove(buffer, buffer + start, length + 1);
    return length;
}
