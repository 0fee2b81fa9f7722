#include "memory.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "fake.h"
#include "vm/driver.h"
#include "vm/heap/counts.h"
#include "vm/heap/memory.h"

/* Large blocks: slots where ThreadSanitizer has a shadow, and AddressSanitizer has none of its own. */
#if __has_feature(thread_sanitizer)
#define SLOTS_START 0x7000000000ul
#else
#define SLOTS_START 0x510000000000ul
#endif
#define SLOTS 512u
#define SLOT_SIZE (16 * MIB)
#define PAGES_MAX (size_t)(1 << 16)

PERCPU uint64_t heap_freed_elsewhere; /* of vm/stats.c */

/* heap_create wants to see these. */
static struct vm_segment *no_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    (void)space, (void)start, (void)size, (void)flags;
    fake_violation("a driver was called");
}

static void no_free(struct address_space *space, struct vm_segment *segment)
{
    (void)space, (void)segment;
    fake_violation("a driver was called");
}

const struct vm_segment_driver vm_heap = {.name = "heap", .vm_alloc = no_alloc, .vm_free = no_free};
const struct vm_segment_driver vm_anon = {.name = "anon"}, heap_large_driver = {.name = "large"};
void (*frames_reclaim)(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static bool taken[PAGES_MAX];                            /* pages of RAM */
static size_t pages, used;
static bool failing; /* each third request */
static unsigned requests;
static struct {
    const struct vm_segment_driver *driver; /* NULL: it is free */
    size_t size;
} slots[SLOTS];

void fake_memory(size_t size)
{
    struct frame_range range = {0, size};
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

    fake_ram(&range, 1);
    pages = size >> VM_PAGE_SHIFT;
    if (pages > PAGES_MAX ||
        mmap((void *)SLOTS_START, SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0) != (void *)SLOTS_START)
        fake_violation("no room for the memory of the heap");
}

static size_t pages_used(void)
{
    pthread_mutex_lock(&lock);
    size_t count = used;

    pthread_mutex_unlock(&lock);
    return count;
}

void fake_memory_check(size_t structures)
{
    if (pages_used() != structures >> VM_PAGE_SHIFT)
        fake_violation("%zu pages are in use, not %zu", pages_used(), structures >> VM_PAGE_SHIFT);
}

void fake_memory_fail(bool on)
{
    pthread_mutex_lock(&lock);
    failing = on;
    pthread_mutex_unlock(&lock);
}

const bool fake_memory_has_locks = false;

void fake_memory_turn(void)
{
}

void fake_memory_reclaim(void)
{
    __atomic_load_n(&frames_reclaim, __ATOMIC_RELAXED)(); /* another CPU may be the one that sets it, to the same */
}

uint64_t fake_memory_read(uintptr_t address)
{
    return *(uint64_t *)address;
}

void fake_memory_write(uintptr_t address, uint64_t value)
{
    *(uint64_t *)address = value;
}

/* With the lock, as all that is static here. */
static bool fails(void)
{
    return failing && ++requests % 3 == 0;
}

static bool are_free(size_t first, size_t count)
{
    for (size_t page = first; page < first + count; page++) {
        if (taken[page])
            return false;
    }
    return first + count <= pages;
}

static void change(size_t first, size_t count, bool to)
{
    for (size_t page = first; page < first + count; page++) {
        if (taken[page] == to)
            fake_violation("page %zu is %s already", page, to ? "taken" : "free");
        taken[page] = to;
    }
    used += to ? count : -count;
}

/* The first free run, aligned to its length; 0: there is none. */
static uintptr_t run_get(size_t size)
{
    size_t count = size >> VM_PAGE_SHIFT;

    for (size_t first = 0; !fails() && first + count <= pages; first += count) {
        if (!are_free(first, count))
            continue;
        change(first, count, true);
        return PHYSMAP_BASE + (first << VM_PAGE_SHIFT);
    }
    return 0;
}

uintptr_t heap_run_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t flags)
{
    (void)driver, (void)flags;
    pthread_mutex_lock(&lock);
    uintptr_t run = run_get(size);

    pthread_mutex_unlock(&lock);
    return run;
}

bool heap_run_take(uintptr_t run, size_t size)
{
    size_t first = (run - PHYSMAP_BASE) >> VM_PAGE_SHIFT, count = size >> VM_PAGE_SHIFT;

    pthread_mutex_lock(&lock);
    bool free = !fails() && are_free(first, count);

    if (free)
        change(first, count, true);
    pthread_mutex_unlock(&lock);
    return free;
}

bool heap_run_put(uintptr_t run, size_t size)
{
    pthread_mutex_lock(&lock);
    change((run - PHYSMAP_BASE) >> VM_PAGE_SHIFT, size >> VM_PAGE_SHIFT, false);
    pthread_mutex_unlock(&lock);
    return true;
}

void *heap_page_get(void)
{
    return (void *)heap_run_get(&vm_heap, VM_PAGE_SIZE, 0);
}

void heap_page_put(void *page)
{
    heap_run_put((uintptr_t)page, VM_PAGE_SIZE);
}

/* ---- large blocks ---- */

static unsigned slot_of(uintptr_t block)
{
    return block >= SLOTS_START && block % SLOT_SIZE == 0 && block < SLOTS_START + SLOTS * SLOT_SIZE
               ? (unsigned)((block - SLOTS_START) / SLOT_SIZE)
               : SLOTS;
}

static bool is_large(unsigned slot, const struct vm_segment_driver *driver)
{
    return slot < SLOTS && slots[slot].driver && (!driver || slots[slot].driver == driver);
}

/* RAM is counted, not taken. */
static bool set_size(unsigned slot, size_t size)
{
    size_t counted = used + (size >> VM_PAGE_SHIFT) - (slots[slot].size >> VM_PAGE_SHIFT);

    if (size > SLOT_SIZE || (size > slots[slot].size && (fails() || counted > pages)))
        return false;
    used = counted;
    slots[slot].size = size;
    return true;
}

static uintptr_t large_get(const struct vm_segment_driver *driver, size_t size)
{
    unsigned slot = 0;

    while (slot < SLOTS && slots[slot].driver)
        slot++;
    if (slot == SLOTS || !set_size(slot, size))
        return 0;
    slots[slot].driver = driver;
    return SLOTS_START + slot * SLOT_SIZE;
}

uintptr_t heap_large_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t flags, bool zero)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    uintptr_t block = large_get(driver, size);

    pthread_mutex_unlock(&lock);
    if (block && zero)
        memset((void *)block, 0, size);
    return block;
}

bool heap_large_resize(uintptr_t block, size_t size)
{
    pthread_mutex_lock(&lock);
    bool done = set_size(slot_of(block), size);

    pthread_mutex_unlock(&lock);
    return done;
}

bool heap_large_put(const struct vm_segment_driver *driver, uintptr_t block)
{
    unsigned slot = slot_of(block);

    pthread_mutex_lock(&lock);
    bool done = is_large(slot, driver) && set_size(slot, 0);

    if (done)
        slots[slot].driver = NULL;
    pthread_mutex_unlock(&lock);
    return done;
}

size_t heap_large_size(const struct vm_segment_driver *driver, uintptr_t block)
{
    unsigned slot = slot_of(block);

    pthread_mutex_lock(&lock);
    size_t size = is_large(slot, driver) ? slots[slot].size : 0;

    pthread_mutex_unlock(&lock);
    return size;
}

uintptr_t heap_large_get_growing(size_t size)
{
    return heap_large_get(&heap_large_driver, align_up(size, VM_PAGE_SIZE), 0, false);
}

void *heap_large_fits(void *block, size_t size, heap_finish *finish,
                      void *(*otherwise)(void *block, size_t size, heap_finish *finish))
{
    return otherwise(block, size, finish);
}

uintptr_t heap_large_realloc(uintptr_t block, size_t size)
{
    return heap_large_resize(block, align_up(size, VM_PAGE_SIZE)) ? block : 0;
}

bool heap_memory_enter(void)
{
    return true;
}

void heap_memory_leave(void)
{
}

void heap_large_trim(void)
{
}

void heap_large_make_room(size_t size)
{
    (void)size;
}

size_t heap_ram(void)
{
    return pages << VM_PAGE_SHIFT;
}

bool heap_has_memory(size_t size)
{
    return pages_used() + (size >> VM_PAGE_SHIFT) <= pages;
}

void heap_zero(uintptr_t block, size_t size)
{
    memset((void *)block, 0, size);
}

void heap_copy(uintptr_t to, uintptr_t from, size_t size)
{
    memcpy((void *)to, (const void *)from, size);
}
