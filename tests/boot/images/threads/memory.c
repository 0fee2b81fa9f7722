/* Memory of several threads: faults on the same pages, mappings that come and go, protection that counts everywhere. */
#include "threads.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define SHARERS 4u
#define SHARED_PAGES 600u

/* ---- faults ---- */

static unsigned char *region;
static pthread_barrier_t memory_barrier;

/* All touch the same pages at the same time, each its own bytes of them: every page appears once. */
static void *shares_pages(void *number)
{
    uintptr_t wrong = 0, mine = (uintptr_t)number;

    pthread_barrier_wait(&memory_barrier);
    for (unsigned i = 0; i < SHARED_PAGES; i++) {
        volatile unsigned char *byte = region + i * PAGE + mine * 900;

        wrong += *byte != 0;
        *byte = (unsigned char)(mine + i + 1);
    }
    pthread_barrier_wait(&memory_barrier);
    for (unsigned i = 0; i < SHARED_PAGES; i++)
        for (unsigned k = 0; k < SHARERS; k++)
            wrong += region[i * PAGE + k * 900] != (unsigned char)(k + i + 1);
    return (void *)wrong;
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    must(memory == MAP_FAILED ? errno : 0, "mmap");
    return memory;
}

static void check_shared_faults(void)
{
    pthread_t threads[SHARERS];

    pthread_barrier_init(&memory_barrier, NULL, SHARERS);
    for (int round = 0; round < 3; round++) {
        region = map(SHARED_PAGES * PAGE);
        start_all(threads, SHARERS, shares_pages);
        SHOW(finish_all(threads, SHARERS));
        munmap(region, SHARED_PAGES * PAGE);
    }
    pthread_barrier_destroy(&memory_barrier);
}

/* ---- mappings ---- */

static uintptr_t wrong_stamps(const volatile uintptr_t *memory, size_t words, uintptr_t stamp)
{
    uintptr_t wrong = 0;

    for (size_t i = 0; i < words; i += 64)
        wrong += memory[i] != stamp + i;
    return wrong;
}

static void write_stamps(volatile uintptr_t *memory, size_t words, uintptr_t stamp)
{
    for (size_t i = 0; i < words; i += 64)
        memory[i] = stamp + i;
}

/* Maps, fills, protects, grows, cuts and unmaps, all of it its own. */
static void *maps_and_unmaps(void *number)
{
    uintptr_t wrong = 0;

    for (unsigned i = 0; i < 60; i++) {
        size_t pages = 1 + (i * 7 + (uintptr_t)number) % 40, words = pages * PAGE / sizeof(uintptr_t);
        uintptr_t stamp = (uintptr_t)number << 32 | i << 16;
        uintptr_t *memory = map(pages * PAGE);

        wrong += memory[0] != 0 || memory[words - 1] != 0;
        write_stamps(memory, words, stamp);
        wrong += mprotect(memory, pages * PAGE, PROT_READ) != 0;
        wrong += wrong_stamps(memory, words, stamp);
        wrong += mprotect(memory, pages * PAGE, PROT_READ | PROT_WRITE) != 0;
        memory = mremap(memory, pages * PAGE, 2 * pages * PAGE, MREMAP_MAYMOVE);
        must(memory == MAP_FAILED ? errno : 0, "mremap");
        wrong += wrong_stamps(memory, words, stamp) + (memory[words] != 0);
        wrong += madvise(memory, pages * PAGE, MADV_DONTNEED) != 0;
        wrong += memory[0] != 0;
        wrong += munmap((char *)memory + pages * PAGE, pages * PAGE) != 0;
        wrong += munmap(memory, pages * PAGE) != 0;
    }
    return (void *)wrong;
}

static void check_own_mappings(void)
{
    pthread_t threads[SHARERS];

    start_all(threads, SHARERS, maps_and_unmaps);
    SHOW(finish_all(threads, SHARERS));
}

/* ---- protection of others ---- */

static volatile uintptr_t *counter;
static atomic_int writer_state; /* 1: it writes, 2: it has faulted, 3: it shall end */
static __thread sigjmp_buf memory_escape;

static void on_write_fault(int signal)
{
    (void)signal;
    siglongjmp(memory_escape, 1);
}

/* Writes without a pause; where it may not, it says so and tries again. */
static void *writes_all_the_time(void *unused)
{
    if (sigsetjmp(memory_escape, 1) != 0) {
        int writing = 1;

        atomic_compare_exchange_strong(&writer_state, &writing, 2);
        sched_yield();
    }
    while (atomic_load(&writer_state) != 3) {
        ++*counter;
        if (atomic_load(&writer_state) == 0)
            atomic_store(&writer_state, 1);
    }
    return unused;
}

static void handle_faults(bool handled)
{
    struct sigaction action = {.sa_handler = handled ? on_write_fault : SIG_DFL};

    must(sigaction(SIGSEGV, &action, NULL), "sigaction");
}

/* What mprotect takes is taken from all CPUs when it returns: from then on nothing changes. */
static void check_protection(void)
{
    uintptr_t changed = 0;

    counter = map(PAGE);
    *counter = 0;
    handle_faults(true);
    pthread_t thread = start(writes_all_the_time, NULL);

    for (int i = 0; i < 30; i++) {
        wait_value(&writer_state, 1);
        must(mprotect((void *)counter, PAGE, PROT_READ), "mprotect");
        uintptr_t value = *counter;

        wait_value(&writer_state, 2);
        changed += *counter != value;
        atomic_store(&writer_state, 0);
        must(mprotect((void *)counter, PAGE, PROT_READ | PROT_WRITE), "mprotect");
    }
    wait_value(&writer_state, 1);
    must(mprotect((void *)counter, PAGE, PROT_READ | PROT_WRITE), "mprotect");
    atomic_store(&writer_state, 3);
    finish(thread);
    SHOW(changed);
    handle_faults(false);
    munmap((void *)counter, PAGE);
}

/* ---- replaced under others ---- */

static atomic_int replaced_stop;

/* A page is either the old one or the new, never anything else, and never old again after new. */
static void *watches_replacement(void *unused)
{
    uintptr_t last = 0, wrong = 0;

    (void)unused;
    while (!atomic_load(&replaced_stop)) {
        uintptr_t now = *counter;

        wrong += now != 0 && now < last;
        last = now ? now : last;
    }
    return (void *)wrong;
}

static void check_replacement(void)
{
    pthread_t threads[2];

    counter = map(PAGE);
    start_all(threads, 2, watches_replacement);
    for (uintptr_t i = 1; i <= 300; i++) {
        void *again =
            mmap((void *)counter, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

        must(again == MAP_FAILED ? errno : 0, "mmap, fixed");
        *counter = i;
    }
    atomic_store(&replaced_stop, 1);
    SHOW(finish_all(threads, 2));
    munmap((void *)counter, PAGE);
}

/* ---- blocks that others free ---- */

#define BLOCKS 64u

static _Atomic(unsigned char *) exchange[BLOCKS];

/* Each round swaps a block of its own for one that another thread has left. */
static void *exchanges_blocks(void *number)
{
    uintptr_t wrong = 0;
    uint64_t random = 88172645463325252u + (uintptr_t)number;

    for (unsigned i = 0; i < 4000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t size = 16 + random % 2000;
        unsigned char *block = malloc(size);

        must(block == NULL ? ENOMEM : 0, "malloc");
        memset(block, (int)(size & 0xff), size);
        memcpy(block, &size, sizeof(size));
        block = atomic_exchange(&exchange[(random >> 32) % BLOCKS], block);
        if (block == NULL)
            continue;
        memcpy(&size, block, sizeof(size));
        wrong += size > 2016 || block[size - 1] != (unsigned char)(size & 0xff) ||
                 block[sizeof(size)] != (unsigned char)size;
        free(block);
    }
    return (void *)wrong;
}

static void check_blocks(void)
{
    pthread_t threads[SHARERS];

    start_all(threads, SHARERS, exchanges_blocks);
    SHOW(finish_all(threads, SHARERS));
    for (unsigned i = 0; i < BLOCKS; i++)
        free(exchange[i]);
}

void check_thread_memory(void)
{
    puts("-- faults of several");
    check_shared_faults();
    puts("-- mappings");
    check_own_mappings();
    check_protection();
    check_replacement();
    puts("-- blocks");
    check_blocks();
}
