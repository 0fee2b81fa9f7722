/*
 * Memory policies, protection keys and barriers: what allocators ask of a machine with one node.
 * Arguments are checked as on Linux (mm/mempolicy.c), and node 0 has all memory.
 */
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/memory.h"
#include "vm/space.h"

/* ---- protection keys: the machine has them not, or they stay off ---- */

#define PKEY_RIGHTS 3ul /* PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE */

long linux_pkey_alloc(unsigned long flags, unsigned long rights)
{
    return flags != 0 || (rights & ~PKEY_RIGHTS) ? -E_INVAL : -E_NOSPC;
}

long linux_pkey_free(int key)
{
    (void)key;
    return -E_INVAL;
}

/* Key -1 is none; key 0, which all memory has, is not one that pkey_alloc gave out. */
long linux_pkey_mprotect(uintptr_t address, size_t length, unsigned long protection, int key)
{
    long result = linux_mprotect(address, 0, protection);

    if (result != 0 || key == -1 || key == 0 || length == 0)
        return result != 0 ? result : linux_mprotect(address, length, protection);
    return -E_INVAL;
}

/* ---- membarrier ---- */

enum {
    MEMBARRIER_QUERY = 0,
    MEMBARRIER_GLOBAL = 1,
    MEMBARRIER_GLOBAL_EXPEDITED = 2,
    MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 4,
    MEMBARRIER_PRIVATE_EXPEDITED = 8,
    MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16,
    MEMBARRIER_PRIVATE_SYNC_CORE = 32,
    MEMBARRIER_REGISTER_PRIVATE_SYNC_CORE = 64,
    MEMBARRIER_PRIVATE_RSEQ = 128,
    MEMBARRIER_REGISTER_PRIVATE_RSEQ = 256,
    MEMBARRIER_GET_REGISTRATIONS = 512,
};
#define MEMBARRIER_FLAG_CPU 1u
#define MEMBARRIER_REGISTERING                                                                                         \
    (MEMBARRIER_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED |                                    \
     MEMBARRIER_REGISTER_PRIVATE_SYNC_CORE)
/* Without rseq, which is ENOSYS. */
#define MEMBARRIER_KNOWN                                                                                               \
    (MEMBARRIER_GLOBAL | MEMBARRIER_GLOBAL_EXPEDITED | MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_PRIVATE_SYNC_CORE |   \
     MEMBARRIER_REGISTERING | MEMBARRIER_GET_REGISTRATIONS)

/* An interrupt, and coming back from it, is a barrier of every kind; a CPU that has none pending runs the core. */
static void order(void *unused)
{
    (void)unused;
}

long linux_membarrier(int command, unsigned flags, int cpu)
{
    static int registered; /* atomic */

    (void)cpu; /* only for rseq */
    if (flags != 0 && (command != MEMBARRIER_PRIVATE_RSEQ || flags != MEMBARRIER_FLAG_CPU))
        return -E_INVAL;
    if (command == MEMBARRIER_QUERY)
        return MEMBARRIER_KNOWN;
    if ((command & (command - 1)) != 0 || !(command & MEMBARRIER_KNOWN))
        return -E_INVAL;
    if (command == MEMBARRIER_GET_REGISTRATIONS)
        return __atomic_load_n(&registered, __ATOMIC_RELAXED);
    if (command & MEMBARRIER_REGISTERING)
        __atomic_fetch_or(&registered, command, __ATOMIC_RELAXED);
    if ((command & (MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_PRIVATE_SYNC_CORE)) &&
        !(__atomic_load_n(&registered, __ATOMIC_RELAXED) & command << 1))
        return -E_PERM;
    if (!(command & MEMBARRIER_REGISTERING))
        cpu_call(UINT64_MAX, order, NULL);
    return 0;
}

/* ---- memory policies ---- */

enum {
    MPOL_DEFAULT,
    MPOL_PREFERRED,
    MPOL_BIND,
    MPOL_INTERLEAVE,
    MPOL_LOCAL,
    MPOL_PREFERRED_MANY,
    MPOL_WEIGHTED_INTERLEAVE,
    MPOL_MODES
};
#define MPOL_F_STATIC_NODES (1u << 15)
#define MPOL_F_RELATIVE_NODES (1u << 14)
#define MPOL_F_NUMA_BALANCING (1u << 13)
#define MPOL_MODE_FLAGS (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING)
#define MPOL_MF_VALID 7u /* STRICT, MOVE, MOVE_ALL */
enum { MPOL_F_NODE = 1, MPOL_F_ADDR = 2, MPOL_F_MEMS_ALLOWED = 4 };

#define MASK_BITS_MAX (VM_PAGE_SIZE * 8)
#define NODE_BITS 64u /* of the mask that get_mempolicy fills at least: nodes there could be */

static struct {
    unsigned mode; /* with flags */
    uint64_t nodes;
} policy;

/* The nodes of a mask of `bits` - 1 bits, as Linux counts them; E_INVAL if one is named that cannot be. */
static error_t read_nodes(const uint64_t *mask, unsigned long bits, uint64_t *nodes)
{
    uint64_t word;

    *nodes = 0;
    if (mask == NULL || --bits == 0)
        return E_SUCCESS;
    if (bits > MASK_BITS_MAX)
        return E_INVAL;
    for (unsigned long i = 0; i * 64 < bits; i++) {
        if (user_read(&word, mask + i, sizeof(word)) != E_SUCCESS)
            return E_FAULT;
        if (bits - i * 64 < 64)
            word &= ((uint64_t)1 << bits % 64) - 1;
        if (i > 0 && word != 0)
            return E_INVAL;
        *nodes |= i == 0 ? word : 0;
    }
    return E_SUCCESS;
}

static error_t check_policy(int mode, uint64_t nodes)
{
    unsigned flags = (unsigned)mode & MPOL_MODE_FLAGS, kind = (unsigned)mode & ~MPOL_MODE_FLAGS;

    if (kind >= MPOL_MODES || (flags & MPOL_F_STATIC_NODES && flags & MPOL_F_RELATIVE_NODES))
        return E_INVAL;
    if ((flags & MPOL_F_NUMA_BALANCING) && kind != MPOL_BIND && kind != MPOL_PREFERRED_MANY)
        return E_INVAL;
    if (kind == MPOL_DEFAULT || kind == MPOL_LOCAL)
        return nodes != 0 || (kind == MPOL_LOCAL && flags) ? E_INVAL : E_SUCCESS;
    if (kind == MPOL_PREFERRED && nodes == 0)
        return flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES) ? E_INVAL : E_SUCCESS;
    if (nodes == 0)
        return E_INVAL;
    return nodes & 1 || (flags & MPOL_F_RELATIVE_NODES) ? E_SUCCESS : E_INVAL;
}

long linux_set_mempolicy(int mode, const uint64_t *mask, unsigned long bits)
{
    uint64_t nodes;
    error_t error = ((unsigned)mode & ~MPOL_MODE_FLAGS) >= MPOL_MODES ? E_INVAL : read_nodes(mask, bits, &nodes);

    if (error == E_SUCCESS)
        error = check_policy(mode, nodes);
    if (error != E_SUCCESS)
        return -error;
    policy.mode = (unsigned)mode;
    policy.nodes = nodes & 1;
    return 0;
}

/* All memory is of node 0, wherever it is bound to. */
long linux_mbind(uintptr_t address, size_t length, unsigned long mode, const uint64_t *mask, unsigned long bits,
                 unsigned flags)
{
    SPACE_HOLD_ALL(vm_space());
    size_t size = align_up(length, VM_PAGE_SIZE);
    uint64_t nodes;
    error_t error = (mode & ~(unsigned long)MPOL_MODE_FLAGS) >= MPOL_MODES ? E_INVAL : read_nodes(mask, bits, &nodes);

    if (error != E_SUCCESS)
        return -error;
    if ((flags & ~MPOL_MF_VALID) || !is_aligned(address, VM_PAGE_SIZE) || address + size < address)
        return -E_INVAL;
    if (size == 0)
        return 0;
    error = check_policy((int)mode, nodes);
    for (uintptr_t at = address; error == E_SUCCESS && at < address + size;) {
        struct vm_segment *segment = vm_find(vm_space(), at);

        if (segment == NULL)
            return -E_FAULT;
        at = vm_start(segment) + vm_size(segment);
    }
    return -error;
}

static error_t write_nodes(uint64_t *mask, unsigned long bits, uint64_t nodes)
{
    static const uint64_t zero;

    if (mask == NULL)
        return E_SUCCESS;
    for (unsigned long i = 0; i < (bits - 1 + 63) / 64; i++) {
        if (user_write(mask + i, i == 0 ? &nodes : &zero, sizeof(nodes)) != E_SUCCESS)
            return E_FAULT;
    }
    return E_SUCCESS;
}

long linux_get_mempolicy(int *mode, uint64_t *mask, unsigned long bits, uintptr_t address, unsigned long flags)
{
    int answer = (int)policy.mode;
    uint64_t nodes = policy.nodes;

    if (mask != NULL && (bits < NODE_BITS || bits > MASK_BITS_MAX))
        return -E_INVAL;
    if (flags & ~(unsigned long)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -E_INVAL;
    if (flags & MPOL_F_MEMS_ALLOWED) {
        if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
            return -E_INVAL;
        answer = 0;
        nodes = 1;
    } else if (flags & MPOL_F_ADDR) {
        if (vm_find(vm_space(), address) == NULL)
            return -E_FAULT;
        answer = flags & MPOL_F_NODE ? 0 : MPOL_DEFAULT;
        nodes = 0;
    } else if (address != 0) {
        return -E_INVAL;
    } else if (flags & MPOL_F_NODE) {
        if ((policy.mode & ~MPOL_MODE_FLAGS) != MPOL_INTERLEAVE &&
            (policy.mode & ~MPOL_MODE_FLAGS) != MPOL_WEIGHTED_INTERLEAVE)
            return -E_INVAL;
        answer = 0;
    }
    if (mode != NULL && user_write(mode, &answer, sizeof(answer)) != E_SUCCESS)
        return -E_FAULT;
    return -write_nodes(mask, bits, nodes);
}
