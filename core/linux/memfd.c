/* memfd_create: a file of the tree's kind that has no place in the tree. */
#include "core/base/print.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/memory.h"
#include "core/linux/node.h"
#include "core/linux/tree.h"

#define MFD_CLOEXEC 1u
#define MFD_ALLOW_SEALING 2u
#define MFD_HUGETLB 4u
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#define MFD_ALL (MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC)

#define PREFIX "memfd:"
#define NAME_SIZE 256 /* with the prefix and the end */

/* The program's name behind the prefix. E_FAULT; E_INVAL: too long. */
static error_t read_name(const char *user, char *name)
{
    size_t length = sizeof(PREFIX) - 1;

    text_format(name, NAME_SIZE, PREFIX);
    for (;; length++, user++) {
        if (user_read(&name[length], user, 1) != E_SUCCESS)
            return E_FAULT;
        if (name[length] == '\0')
            return E_SUCCESS;
        if (length == NAME_SIZE - 1)
            return E_INVAL;
    }
}

/* Pages of 2 MiB and 1 GiB are accepted; the file has small ones all the same. */
static error_t check_flags(unsigned flags)
{
    unsigned shift = flags >> MAP_HUGE_SHIFT;

    if (!(flags & MFD_HUGETLB))
        return flags & ~MFD_ALL ? E_INVAL : E_SUCCESS;
    if (flags & ~(MFD_ALL | MAP_HUGE_MASK << MAP_HUGE_SHIFT))
        return E_INVAL;
    return shift == 0 || shift == page_shift(PAGE_2M) || shift == page_shift(PAGE_1G) ? E_SUCCESS : E_NODEV;
}

long linux_memfd_create(const char *user_name, unsigned flags)
{
    error_t error = check_flags(flags);
    char name[NAME_SIZE];
    unsigned seals = flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
    struct node *node;
    struct file *file;
    long descriptor;

    if ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL))
        return -E_INVAL;
    if (flags & MFD_NOEXEC_SEAL)
        seals = F_SEAL_EXEC;
    if (error == E_SUCCESS)
        error = read_name(user_name, name);
    if (error != E_SUCCESS)
        return -error;
    node = node_create_anonymous(name, flags & MFD_NOEXEC_SEAL ? 0666 : 0777);
    if (node == NULL)
        return -E_NOMEM;
    node_set_seals(node, seals);
    file = node_open(node, O_RDWR | O_LARGEFILE);
    node_release(node); /* the open file has its own reference */
    if (file == NULL)
        return -E_NOMEM;
    descriptor = file_install(file, 0, flags & MFD_CLOEXEC);
    if (descriptor < 0)
        file_release(file);
    return descriptor;
}
