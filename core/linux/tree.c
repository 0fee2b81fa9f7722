/*
 * The tree as it is when the program starts: the packed files, and what the core adds to them (devices, /proc, /sys,
 * /tmp). It is made when a path is first looked up.
 */
#include "core/linux/tree.h"
#include "core/linux/calls.h"

#include "core/allocate.h"
#include "core/base/string.h"

#define PROC_DEVICE 2u
#define SYS_DEVICE 3u

struct node *tree_root, *process_root, *working_directory;

static bool started;

static error_t add_common_directories(void)
{
    error_t error = tree_add_directory("/tmp", 01777);

    return error == E_EXIST ? E_SUCCESS : error;
}

/* What is added, in this order; each may be called again after a failure. */
static error_t (*const parts[])(void) = {add_common_directories, devices_add};

static bool make_root(void)
{
    struct node *root = node_create(S_IFDIR | 0755);

    if (root == NULL)
        return false;
    root->links = 2;
    root->inode = 1;
    root->directory.unfilled = linux_files()->count > 0;
    root->directory.packed_number = ARCHIVE_ROOT;
    root->directory.packed_next = SIZE_MAX;
    tree_root = process_root = working_directory = root;
    root->references += 2; /* of the last two */
    return true;
}

/* The console that descriptors start with gets a name. */
static void name_console(void)
{
    struct file *file = linux_file(0);
    struct entry *dev = directory_find(tree_root, "dev", 3), *console;

    if (file == NULL || file->operations != &console_operations || file->node != NULL || dev == NULL || IS_ERR(dev))
        return;
    console = directory_find(dev->node, "console", 7);
    if (console == NULL || IS_ERR(console) || node_type(console->node) != S_IFCHR)
        return;
    node_reference(console->node);
    file->node = console->node;
}

error_t tree_start(void)
{
    error_t error = E_SUCCESS;

    if (LIKELY(started))
        return E_SUCCESS;
    if (tree_root == NULL && !make_root())
        return E_NOMEM;
    started = true; /* the parts themselves come here */
    for (size_t i = 0; error == E_SUCCESS && i < ARRAY_LENGTH(parts); i++)
        error = parts[i]();
    started = error == E_SUCCESS;
    if (started) {
        node_hooks_set();
        name_console();
    }
    return error;
}

struct node *tree_execute(const char *name)
{
    struct entry *entry = tree_start() == E_SUCCESS ? directory_find(tree_root, name, strlen(name)) : NULL;

    if (entry == NULL || IS_ERR(entry) || node_type(entry->node) != S_IFREG)
        return NULL;
    node_reference(entry->node);
    entry->node->running = true;
    return entry->node;
}

error_t directory_may_add(const struct node *directory)
{
    return directory->links == 0 || directory->directory.closed ? E_NOENT : E_SUCCESS;
}

error_t directory_may_remove(const struct node *directory)
{
    return directory->directory.closed ? E_PERM : E_SUCCESS;
}

error_t directory_add(struct node *directory, const char *name, size_t length, struct node *node)
{
    bool exists = entry_find(directory, name, length) != NULL;
    struct entry *entry = !exists && node != NULL ? entry_create(name, length) : NULL;

    if (entry != NULL) {
        node->device = directory->device;
        if (node_is_directory(node))
            node->directory.closed = directory->directory.closed;
        entry_link(entry, directory, node);
    }
    if (node != NULL)
        node_release(node);
    return exists ? E_EXIST : entry == NULL ? E_NOMEM : E_SUCCESS;
}

/* The same, where the directory may not be filled yet. */
static error_t add_node(struct node *directory, const char *name, size_t length, struct node *node)
{
    error_t error = directory_fill(directory);

    if (error == E_SUCCESS)
        return directory_add(directory, name, length, node);
    if (node != NULL)
        node_release(node);
    return error;
}

/* The names of /proc and /sys are the core's alone. */
static void close_directory(struct node *directory, const char *name)
{
    const struct node *parent = directory_parent(directory);

    if (parent == tree_root && strcmp(name, "proc") == 0)
        directory->device = PROC_DEVICE;
    else if (parent == tree_root && strcmp(name, "sys") == 0)
        directory->device = SYS_DEVICE;
    else
        return;
    directory->directory.closed = true;
}

/* The directory, which is made if it is not there. */
static error_t enter(struct node **directory, const char *name, size_t length, uint32_t mode)
{
    error_t error = add_node(*directory, name, length, node_create(S_IFDIR | mode));
    struct entry *entry;

    if (error != E_SUCCESS && error != E_EXIST)
        return error;
    entry = directory_find(*directory, name, length);
    if (IS_ERR(entry) || !node_is_directory(entry->node))
        return IS_ERR(entry) ? ERR_OF(entry) : E_NOTDIR;
    *directory = entry->node;
    if (error == E_SUCCESS)
        close_directory(*directory, entry->name);
    return E_SUCCESS;
}

/* The directory of the path, made as needed, and the last name in it. */
static error_t enter_all(const char *path, struct node **directory, const char **name)
{
    error_t error = tree_start();

    *directory = tree_root;
    for (*name = path + 1; error == E_SUCCESS; (*name)++) {
        size_t length = 0;

        while ((*name)[length] != '\0' && (*name)[length] != '/')
            length++;
        if ((*name)[length] == '\0')
            break;
        error = enter(directory, *name, length, 0755);
        *name += length;
    }
    return error;
}

static error_t add(const char *path, struct node *node)
{
    struct node *directory;
    const char *name;
    error_t error = enter_all(path, &directory, &name);

    if (error == E_SUCCESS)
        return add_node(directory, name, strlen(name), node);
    if (node != NULL)
        node_release(node);
    return error;
}

error_t tree_enter(const char *path, uint32_t mode, struct node **directory)
{
    const char *name;
    error_t error = enter_all(path, directory, &name);

    return error != E_SUCCESS ? error : enter(directory, name, strlen(name), mode);
}

error_t tree_add_directory(const char *path, uint32_t mode)
{
    struct node *directory;

    return tree_enter(path, mode, &directory);
}

static struct node *generated_node(const struct generated_file *file)
{
    struct node *node = node_create(S_IFREG | file->mode);

    if (node != NULL)
        node->generated = file;
    return node;
}

error_t tree_add_generated(const struct generated_file *file)
{
    return add(file->path, generated_node(file));
}

error_t directory_add_generated(struct node *directory, const struct generated_file *table, size_t count)
{
    error_t error = E_SUCCESS;

    for (size_t i = 0; i < count && error == E_SUCCESS; i++)
        error = directory_add(directory, table[i].path, strlen(table[i].path), generated_node(&table[i]));
    return error;
}

error_t tree_add_device(const char *path, uint32_t mode, unsigned number, const struct file_operations *operations,
                        void *own)
{
    struct node *node = node_create(S_IFCHR | mode);

    if (node != NULL)
        node->special = (struct device){number, operations, own};
    return add(path, node);
}

static struct node *generated_link(void (*generate)(struct text *))
{
    struct node *node = node_create(S_IFLNK | 0777);

    if (node != NULL)
        node->link.generate = generate;
    return node;
}

error_t tree_add_link(const char *path, const char *text, void (*generate)(struct text *))
{
    struct node *node = generated_link(generate);

    if (node != NULL && text != NULL) {
        node->link.text = core_allocate(strlen(text) + 1);
        if (node->link.text == NULL) {
            node_release(node);
            return E_NOMEM;
        }
        node->link.length = strlen(text);
        memcpy(node->link.text, text, node->link.length);
    }
    return add(path, node);
}

error_t directory_add_link(struct node *directory, const char *name, void (*generate)(struct text *))
{
    return directory_add(directory, name, strlen(name), generated_link(generate));
}

const struct device *device_find(unsigned number)
{
    struct entry *entry = directory_find(tree_root, "dev", 3);

    if (entry == NULL || IS_ERR(entry) || !node_is_directory(entry->node))
        return NULL;
    for (entry = entry->node->directory.first; entry != NULL; entry = entry->next)
        if (node_type(entry->node) == S_IFCHR && entry->node->special.number == number)
            return &entry->node->special;
    return NULL;
}
