/*
 * The way along a path (path_resolution(7)). A symbolic link in the middle puts what follows it on a stack and goes on
 * with its text, so that nothing is copied and nothing recurs; at most LINKS_MAX are followed in all.
 */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/tree.h"

#define LINKS_MAX 40 /* MAXSYMLINKS */

struct walk {
    struct node *at, *root, *base;
    const char *path;
    const char *rest[LINKS_MAX]; /* what follows the links that are being followed */
    unsigned depth, links, flags;
};

/* Copies the path in and terminates it. */
static error_t read_path(struct lookup *lookup, const char *user)
{
    intptr_t length = user_string_length(user, PATH_MAX);

    if (length < 0)
        return (error_t)-length;
    if (length >= PATH_MAX)
        return E_NAMETOOLONG;
    lookup->path = lookup->few;
    lookup->path_size = (size_t)length + 1;
    if (lookup->path_size > sizeof(lookup->few) && (lookup->path = core_allocate(lookup->path_size)) == NULL)
        return E_NOMEM;
    if (user_read(lookup->path, user, (size_t)length) != E_SUCCESS) {
        lookup_end(lookup);
        return E_FAULT;
    }
    lookup->path[length] = '\0';
    return E_SUCCESS;
}

void lookup_end(struct lookup *lookup)
{
    if (lookup->path != lookup->few)
        core_release(lookup->path, lookup->path_size);
    if (lookup->held != NULL)
        node_release(lookup->held);
}

static const char *skip_slashes(const char *path)
{
    while (*path == '/')
        path++;
    return path;
}

/* True if nothing but '/' follows anywhere; *slash if there is one. */
static bool at_end(const struct walk *walk, const char *path, bool *slash)
{
    *slash |= *path == '/';
    if (*skip_slashes(path) != '\0')
        return false;
    for (unsigned i = walk->depth; i > 0; i--) {
        *slash |= *walk->rest[i - 1] == '/';
        if (*skip_slashes(walk->rest[i - 1]) != '\0')
            return false;
    }
    return true;
}

/* An absolute path, or an absolute link, begins anew. */
static error_t start_at(struct walk *walk, const char *path)
{
    walk->path = path;
    if (*path != '/')
        return E_SUCCESS;
    if (walk->flags & LOOKUP_BENEATH)
        return E_XDEV;
    walk->at = walk->root;
    return E_SUCCESS;
}

static error_t follow(struct walk *walk, struct lookup *lookup, struct node *link, const char *rest)
{
    const char *text;
    size_t length;
    error_t error;

    if ((walk->flags & LOOKUP_NO_LINKS) || ++walk->links > LINKS_MAX)
        return E_LOOP;
    if (link->link.follow != NULL) {
        struct node *node = walk->flags & LOOKUP_NO_MAGIC ? ERR_PTR(E_LOOP) : link->link.follow(link);

        if (IS_ERR(node) || node == NULL)
            return node == NULL ? E_NXIO : ERR_OF(node);
        if (lookup->held != NULL)
            node_release(lookup->held);
        lookup->held = walk->at = node;
        walk->path = rest;
        return E_SUCCESS;
    }
    error = link_text(link, &text, &length);
    if (error != E_SUCCESS)
        return error;
    if (length == 0)
        return E_NOENT;
    if (*rest != '\0')
        walk->rest[walk->depth++] = rest;
    return start_at(walk, text);
}

static error_t go_up(struct walk *walk)
{
    if (walk->at == walk->base && (walk->flags & LOOKUP_BENEATH))
        return E_XDEV;
    if (walk->at != walk->root && walk->at != process_root)
        walk->at = directory_parent(walk->at);
    return E_SUCCESS;
}

/* Looks the name up in the directory; the node, NULL, or an error. */
static struct node *step(struct walk *walk, struct lookup *lookup, const char *name, size_t length)
{
    error_t error = E_SUCCESS;

    if (!node_is_directory(walk->at))
        return ERR_PTR(E_NOTDIR);
    if (length > NAME_MAX)
        return ERR_PTR(E_NAMETOOLONG);
    lookup->directory = walk->at;
    lookup->name = name;
    lookup->length = length;
    lookup->entry = NULL;
    lookup->last = length == 1 && name[0] == '.' ? LAST_DOT : LAST_NAME;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        lookup->last = LAST_DOT_DOT;
        error = go_up(walk);
    }
    if (lookup->last != LAST_NAME)
        return error != E_SUCCESS ? ERR_PTR(error) : walk->at;
    lookup->entry = directory_find(walk->at, name, length);
    return lookup->entry == NULL || IS_ERR(lookup->entry) ? (struct node *)lookup->entry : lookup->entry->node;
}

static bool is_dots(const char *name, const char *end)
{
    return name[0] == '.' && (end - name == 1 || (end - name == 2 && name[1] == '.'));
}

static error_t walk_all(struct walk *walk, struct lookup *lookup)
{
    error_t error = E_SUCCESS;

    while (error == E_SUCCESS) {
        const char *name = skip_slashes(walk->path), *end = name;
        struct node *node;
        bool last;

        if (*name == '\0') { /* the end of a link, of the path, or of what a magic link led to */
            if (walk->depth > 0) {
                walk->path = walk->rest[--walk->depth];
                continue;
            }
            lookup->node = walk->at;
            lookup->slash |= name != walk->path;
            return lookup->slash && !node_is_directory(walk->at) ? E_NOTDIR : E_SUCCESS;
        }
        while (*end != '\0' && *end != '/')
            end++;
        lookup->slash = false;
        last = at_end(walk, end, &lookup->slash);
        if (last && lookup->slash && (walk->flags & LOOKUP_CREATE) && node_is_directory(walk->at) &&
            !is_dots(name, end))
            return E_ISDIR;
        node = step(walk, lookup, name, (size_t)(end - name));
        if (IS_ERR(node))
            return ERR_OF(node);
        if (node != NULL && node_type(node) == S_IFLNK &&
            (!last || (walk->flags & LOOKUP_FOLLOW) || (lookup->slash && !(walk->flags & LOOKUP_PARENT)))) {
            error = follow(walk, lookup, node, end);
            lookup->last = LAST_ROOT; /* unless a name follows */
            lookup->entry = NULL;
            continue;
        }
        if (!last && node == NULL)
            return E_NOENT;
        if (last) {
            lookup->node = node;
            return node != NULL && lookup->slash && !node_is_directory(node) && !(walk->flags & LOOKUP_PARENT)
                       ? E_NOTDIR
                       : E_SUCCESS;
        }
        walk->at = node;
        walk->path = end;
    }
    return error;
}

/* The directory that a relative path starts from; of the empty path what it names. */
static error_t base_of(struct lookup *lookup, int directory, struct node **base)
{
    *base = working_directory;
    if (directory == AT_FDCWD || (*lookup->path == '/'))
        return E_SUCCESS;
    lookup->file = linux_file(directory);
    if (lookup->file == NULL)
        return E_BADF;
    *base = lookup->file->node;
    return E_SUCCESS;
}

error_t lookup_start(struct lookup *lookup, int directory, const char *user_path, unsigned flags)
{
    struct walk walk = {.flags = flags};
    error_t error = tree_start();

    lookup->node = lookup->held = lookup->directory = NULL;
    lookup->entry = NULL;
    lookup->file = NULL;
    lookup->slash = false;
    lookup->last = LAST_ROOT;
    if (error == E_SUCCESS)
        error = read_path(lookup, user_path);
    if (error != E_SUCCESS)
        return error;
    if (*lookup->path == '\0' && !(flags & LOOKUP_EMPTY))
        error = E_NOENT;
    else
        error = base_of(lookup, directory, &walk.base);
    if (error == E_SUCCESS && *lookup->path == '\0') {
        lookup->node = walk.base;
        return E_SUCCESS;
    }
    if (error == E_SUCCESS && (walk.base == NULL || !node_is_directory(walk.base)))
        error = E_NOTDIR;
    if (error == E_SUCCESS) {
        lookup->file = NULL;
        walk.at = walk.base;
        walk.root = flags & LOOKUP_IN_ROOT ? walk.base : process_root;
        error = start_at(&walk, lookup->path);
    }
    if (error == E_SUCCESS)
        error = walk_all(&walk, lookup);
    if (error != E_SUCCESS)
        lookup_end(lookup);
    return error;
}

error_t lookup_node(struct lookup *lookup, int directory, const char *user_path, unsigned flags)
{
    error_t error = lookup_start(lookup, directory, user_path, flags);

    if (error == E_SUCCESS && lookup->node == NULL) {
        error = lookup->file != NULL ? E_BADF : E_NOENT;
        lookup_end(lookup);
    }
    return error;
}
