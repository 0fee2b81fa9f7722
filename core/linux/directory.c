/*
 * Names in directories (tree.h). One hash table finds all names, by directory and name together; it doubles when there
 * is more than one name a bucket. What the archive holds becomes nodes a directory at a time, when the directory is
 * first looked at: an image with thousands of packed files pays for those that its program uses.
 */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/tree.h"

#define FIRST_BUCKETS 64u
#define BUCKETS_MAX (ALLOCATE_MAX / sizeof(struct entry *))

static struct entry *first_buckets[FIRST_BUCKETS], **buckets = first_buckets;
static size_t bucket_count = FIRST_BUCKETS, entry_count;

/* FNV-1a (Fowler, Noll, Vo), over the directory's number and the name. */
static uint32_t hash_name(const struct node *directory, const char *name, size_t length)
{
    uint32_t hash = 2166136261u ^ (uint32_t)(directory->inode * 0x9e3779b9u);

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash ^ hash >> 16;
}

static struct entry **bucket_of(uint32_t hash)
{
    return &buckets[hash & (bucket_count - 1)];
}

/* Without memory for a larger table the chains grow instead. */
static void grow_buckets(void)
{
    struct entry **old = buckets, **larger;
    size_t count = bucket_count;

    if (count >= BUCKETS_MAX || (larger = core_allocate(2 * count * sizeof(*larger))) == NULL)
        return;
    buckets = larger;
    bucket_count = 2 * count;
    for (size_t i = 0; i < count; i++)
        for (struct entry *entry = old[i], *next; entry != NULL; entry = next) {
            struct entry **bucket = bucket_of(entry->hash);

            next = entry->next_in_bucket;
            entry->next_in_bucket = *bucket;
            *bucket = entry;
        }
    if (old != first_buckets)
        core_release(old, count * sizeof(*old));
}

struct entry *entry_find(const struct node *directory, const char *name, size_t length)
{
    uint32_t hash = hash_name(directory, name, length);
    struct entry *entry = *bucket_of(hash);

    while (entry != NULL && (entry->hash != hash || entry->directory != directory || entry->length != length ||
                             memcmp(entry->name, name, length) != 0))
        entry = entry->next_in_bucket;
    return entry;
}

struct entry *entry_create(const char *name, size_t length)
{
    struct entry *entry;

    if (length > NAME_MAX)
        length = NAME_MAX;
    entry = core_allocate(sizeof(*entry) + length + 1);
    if (entry == NULL)
        return NULL;
    entry->length = (uint8_t)length;
    memcpy(entry->name, name, length);
    return entry;
}

void entry_discard(struct entry *entry)
{
    core_release(entry, sizeof(*entry) + entry->length + 1u);
}

/* Into the table and the directory's list. */
static void insert(struct entry *entry, struct node *directory)
{
    struct directory *list = &directory->directory;
    struct entry **bucket;

    if (entry_count >= bucket_count)
        grow_buckets();
    entry->hash = hash_name(directory, entry->name, entry->length);
    bucket = bucket_of(entry->hash);
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    entry_count++;
    entry->directory = directory;
    entry->position = list->next_position++;
    entry->next = NULL;
    entry->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = entry;
    list->last = entry;
    list->children++;
    entry->linked = true;
    if (node_is_directory(entry->node))
        directory->links++;
}

static void take_out(struct entry *entry)
{
    struct directory *list = &entry->directory->directory;
    struct entry **at = bucket_of(entry->hash);

    while (*at != entry)
        at = &(*at)->next_in_bucket;
    *at = entry->next_in_bucket;
    entry_count--;
    *(entry->previous != NULL ? &entry->previous->next : &list->first) = entry->next;
    *(entry->next != NULL ? &entry->next->previous : &list->last) = entry->previous;
    list->children--;
    entry->linked = false;
    if (node_is_directory(entry->node))
        entry->directory->links--;
}

/* What stays behind of a node's last name when the node gets another. */
static void drop_unlinked_name(struct node *node)
{
    struct entry *name = node->names;

    if (name == NULL || name->linked)
        return;
    node->names = NULL;
    if (name->directory != NULL)
        node_release(name->directory);
    entry_discard(name);
}

static void insert_fresh(struct entry *entry, struct node *directory, struct node *node)
{
    drop_unlinked_name(node);
    entry->node = node;
    entry->next_name = node->names;
    node->names = entry;
    node->links += node_is_directory(node) ? 2 : 1;
    insert(entry, directory);
}

void entry_link(struct entry *entry, struct node *directory, struct node *node)
{
    insert_fresh(entry, directory, node);
    node_touch(directory);
}

static void forget_name(struct node *node, struct entry *entry)
{
    struct entry **at = &node->names;

    while (*at != entry)
        at = &(*at)->next_name;
    *at = entry->next_name;
}

void entry_unlink(struct entry *entry)
{
    struct node *node = entry->node, *directory = entry->directory;

    take_out(entry);
    node_touch(directory);
    node_change(node);
    node->links -= node_is_directory(node) ? 2 : 1;
    if (node->links > 0) {
        forget_name(node, entry);
        entry_discard(entry);
        return;
    }
    /* Of the last name the node keeps what it was called. */
    node_reference(directory);
    node_reference(node);
    node_release(node);
}

void entry_exchange(struct entry *first, struct entry *second)
{
    struct node *first_node = first->node, *second_node = second->node;

    forget_name(first_node, first);
    forget_name(second_node, second);
    first->directory->links += (uint32_t)node_is_directory(second_node) - (uint32_t)node_is_directory(first_node);
    second->directory->links += (uint32_t)node_is_directory(first_node) - (uint32_t)node_is_directory(second_node);
    first->node = second_node;
    first->next_name = second_node->names;
    second_node->names = first;
    second->node = first_node;
    second->next_name = first_node->names;
    first_node->names = second;
    node_change(first_node);
    node_change(second_node);
    node_touch(first->directory);
    node_touch(second->directory);
}

void entry_move(struct entry *entry, struct entry *prepared, struct node *directory)
{
    struct node *node = entry->node, *from = entry->directory;

    take_out(entry);
    forget_name(node, entry);
    entry_discard(entry);
    prepared->node = node;
    prepared->next_name = node->names;
    node->names = prepared;
    insert(prepared, directory);
    node_change(node);
    node_touch(from);
    node_touch(directory);
}

struct node *directory_parent(const struct node *directory)
{
    const struct entry *name = directory->names;

    return name != NULL && name->directory != NULL ? name->directory : (struct node *)directory;
}

/* The node of a packed file or directory. */
static struct node *node_of_packed(size_t number)
{
    struct archive_entry packed = archive_entry(linux_files(), number);
    struct node *node = node_create(packed.mode);

    if (node == NULL)
        return NULL;
    node->inode = number + 2;
    node->accessed = node->modified = node->changed = (struct linux_timespec){.seconds = (int64_t)packed.time};
    if (node_type(node) == S_IFREG) {
        node->contents.packed = packed.bytes;
        node->contents.packed_size = node->contents.size = packed.size;
    } else if (node_is_directory(node)) {
        node->directory.unfilled = true;
        node->directory.packed_number = number;
        node->directory.packed_next = SIZE_MAX;
    } else {
        node->link.text = core_allocate(packed.size + 1);
        if (node->link.text == NULL) {
            node_release(node);
            return NULL;
        }
        node->link.length = packed.size;
        memcpy(node->link.text, packed.bytes, packed.size);
    }
    return node;
}

/* One after the other, so that a failure leaves what is there and the next attempt goes on behind it. */
error_t directory_fill(struct node *node)
{
    struct directory *directory = &node->directory;
    size_t child;

    while (directory->unfilled) {
        struct archive_entry packed;
        struct entry *entry;
        struct node *made;
        const char *name;

        child = archive_next_child(linux_files(), directory->packed_number, directory->packed_next);
        if (child == SIZE_MAX) {
            directory->unfilled = false;
            break;
        }
        packed = archive_entry(linux_files(), child);
        name = packed.path + packed.path_length;
        while (name > packed.path && name[-1] != '/')
            name--;
        made = node_of_packed(child);
        if (made == NULL)
            return E_NOMEM;
        entry = entry_create(name, packed.path_length - (size_t)(name - packed.path));
        if (entry == NULL) {
            node_release(made);
            return E_NOMEM;
        }
        insert_fresh(entry, node, made);
        node_release(made);
        directory->packed_next = child;
    }
    return directory->refresh != NULL ? directory->refresh(node) : E_SUCCESS;
}

struct entry *directory_find(struct node *directory, const char *name, size_t length)
{
    if (UNLIKELY(directory->directory.unfilled || directory->directory.refresh != NULL)) {
        error_t error = directory_fill(directory);

        if (error != E_SUCCESS)
            return ERR_PTR(error);
    }
    return entry_find(directory, name, length);
}

int entry_number(const struct entry *entry)
{
    int number = 0;

    for (const char *digit = entry->name; *digit != '\0'; digit++)
        number = number * 10 + (*digit - '0');
    return number;
}

bool directory_is_empty(struct node *directory)
{
    return !directory->directory.unfilled && directory->directory.first == NULL;
}

/* ---- reading ---- */

static long directory_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    (void)file, (void)user, (void)length, (void)offset;
    return -E_ISDIR;
}

static long directory_seek(struct file *file, int64_t offset, int whence)
{
    if (whence > SEEK_CUR || (whence == SEEK_CUR && __builtin_add_overflow((int64_t)file->offset, offset, &offset)) ||
        offset < 0)
        return -E_INVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

/* What stands at the place in the list: a name, or "." and ".." before the first. */
struct item {
    const char *name;
    const struct node *node;
    uint64_t position;
};

static bool next_item(const struct node *node, uint64_t position, const struct entry **entry, struct item *item)
{
    if (position < 2) {
        *item = (struct item){position == 0 ? "." : "..", position == 0 ? node : directory_parent(node), position};
        return true;
    }
    if (*entry == NULL)
        *entry = node->directory.first;
    else
        *entry = (*entry)->next;
    while (*entry != NULL && (*entry)->position < position)
        *entry = (*entry)->next;
    if (*entry == NULL)
        return false;
    *item = (struct item){(*entry)->name, (*entry)->node, (*entry)->position};
    return true;
}

/*
 * struct linux_dirent64, or linux_dirent of the older call, in which the type is the last byte. Bytes written, 0 if
 * there is no room, or -E_FAULT.
 */
static long put_item(const struct item *item, bool old, char *user, size_t room)
{
    size_t name_size = strlen(item->name) + 1, name_at = old ? 18 : LINUX_DIRENT64_NAME;
    size_t length = align_up(name_at + name_size + old, 8);
    uint8_t type = (uint8_t)(node_type(item->node) >> 12);
    char record[LINUX_DIRENT64_NAME + NAME_MAX + 16] = {0};
    struct linux_dirent64 head = {item->node->inode, (int64_t)item->position + 1, (uint16_t)length, type};

    if (length > room)
        return 0;
    memcpy(record, &head, sizeof(head));
    memcpy(record + name_at, item->name, name_size);
    if (old)
        record[length - 1] = (char)type;
    return user_write(user, record, length) != E_SUCCESS ? -E_FAULT : (long)length;
}

static long put_items(struct file *file, bool old, char *user, size_t size)
{
    const struct entry *entry = NULL;
    struct item item;
    error_t error;
    size_t done = 0;

    if (file->node->links == 0)
        return -E_NOENT;
    error = directory_fill(file->node);
    if (error != E_SUCCESS)
        return -error;
    while (next_item(file->node, file->offset, &entry, &item)) {
        long length = put_item(&item, old, user + done, size - done);

        if (length <= 0)
            return done > 0 ? (long)done : length < 0 ? length : -E_INVAL;
        done += (size_t)length;
        file->offset = item.position + 1;
    }
    return (long)done;
}

static long directory_getdents64(struct file *file, void *user, size_t size)
{
    return put_items(file, false, user, size);
}

long linux_getdents64(int fd, void *user, unsigned size)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    return file->operations->getdents64 != NULL ? file->operations->getdents64(file, user, size) : -E_NOTDIR;
}

long linux_getdents(int fd, void *user, unsigned size)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    return file->operations == &directory_operations ? put_items(file, true, user, size) : -E_NOTDIR;
}

const struct file_operations directory_operations = {
    .read = directory_read,
    .seek = directory_seek,
    .getdents64 = directory_getdents64,
    .has_offset = true,
    .is_stored = true,
};
