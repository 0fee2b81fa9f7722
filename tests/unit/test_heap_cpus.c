/*
 * malloc's heap on several CPUs, which threads of the host play: blocks are allocated on one and freed, resized and
 * asked for their size on others, and each is full of numbers of its own. The memory below is tests/unit/fake/memory.c,
 * or the VM core (memory_vm.c).
 * malloc and free are as in arch/x86_64/malloc.S; what CPUs ask of each other comes between them, as on the machine.
 */
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "fake.h"
#include "harness.h"
#include "memory.h"
#include "vm/heap/counts.h"
#include "vm/heap/internal.h"

#define CPUS 4u
#define RAM (96 * MIB)

extern uint64_t spin_contended;

/* For the hardened heap. */
bool cpu_random(uint64_t *value)
{
    *value = harness_seed();
    return true;
}

uint64_t cpu_cycles(void)
{
    return 1;
}

/* ---- malloc and free as the windows do them ---- */

static void *program_malloc(size_t size)
{
    uintptr_t *list, object;

    fake_cpu_look();
    if (size - 1 >= CLASS_SIZE_MAX)
        return heap_program_alloc(size);
    list = &this_cpu(
        heap_lists)[CLASS_AT(size <= SMALL_MAX ? heap_small_classes[size] : heap_medium_classes[(size - 1) >> 4])];
    object = *list;
    if (object == 0)
        return heap_program_refill(size, CLASS_OFFSET(class_of_size(size)));
    *list = *(uintptr_t *)object;
    return (void *)object;
}

static void program_free(void *block)
{
    fake_cpu_look();
    if (!heap_is_run((uintptr_t)block)) {
        heap_program_free_block(block);
        return;
    }
    uintptr_t *list = &this_cpu(heap_lists)[CLASS_AT(*heap_class_of_slice(cpu_number(), (uintptr_t)block))];

    *(uintptr_t *)block = *list;
    *list = (uintptr_t)block;
}

/* As core/libc/malloc.c. */
static void *finish_realloc(void *block, void *old, size_t size)
{
    if (!block)
        return NULL;
    for (size_t at = 0; at < size; at += 8)
        fake_memory_write((uintptr_t)block + at, fake_memory_read((uintptr_t)old + at));
    program_free(old);
    return block;
}

/* ---- blocks: their first words say how large they are, and what they are full of ---- */

struct block {
    uint64_t size, fill;
};

static uint64_t get(const struct block *block, size_t word)
{
    return fake_memory_read((uintptr_t)block + 8 * word);
}

static void put(struct block *block, size_t word, uint64_t value)
{
    fake_memory_write((uintptr_t)block + 8 * word, value);
}

/* Some words of large blocks; the last one is among them. */
static size_t next_word(size_t at, size_t words)
{
    size_t next = words < 512 ? at + 1 : at + words / 61;

    return next >= words && at + 1 < words ? words - 1 : next;
}

static void fill(struct block *block, size_t size, uint64_t with)
{
    put(block, 0, size);
    put(block, 1, with);
    for (size_t at = 2, words = size / 8; at < words; at = next_word(at, words))
        put(block, at, with ^ at);
}

/* Of a block that has moved to one of another size only so many bytes. */
static void check(const struct block *block, size_t size)
{
    size_t words = get(block, 0) / 8;

    for (size_t at = 2; at < words && at < size / 8; at = next_word(at, words)) {
        if (get(block, at) != (get(block, 1) ^ at))
            fail_msg("a block of %zu bytes does not hold what was written to it", 8 * words);
    }
}

static void check_all(const struct block *block)
{
    check(block, get(block, 0));
}

static size_t random_size(struct random *random)
{
    size_t size = sizeof(struct block) + (random_next(random) & (((size_t)1 << random_below(random, 23)) - 1));

    return size < 3 * MIB ? size : 3 * MIB;
}

static struct block *make(struct random *random)
{
    size_t size = random_size(random), align = 16;
    struct block *block;

    switch (random_below(random, 8)) {
    case 0:
        align = (size_t)16 << random_below(random, 10);
        block = heap_program_alloc_aligned(align, size);
        break;
    case 1:
        block = heap_program_alloc_zeroed(size);
        for (size_t at = 0; block && at < size / 8; at = next_word(at, size / 8))
            assert_int_equal(get(block, at), 0);
        break;
    default:
        block = program_malloc(size);
    }
    if (block) {
        assert_true(is_aligned((uintptr_t)block, align));
        fill(block, size, random_next(random));
    }
    return block;
}

static struct block *change(struct block *block, struct random *random)
{
    size_t old = get(block, 0),
           size = random_below(random, 2) ? random_size(random) : old - old / 8 + random_below(random, old / 4 + 16);
    struct block *moved;

    assert_true(heap_program_size(block) >= old);
    moved = heap_program_realloc(block, size, finish_realloc);
    if (!moved)
        return block;
    check(moved, old < size ? old : size);
    fill(moved, size, random_next(random));
    return moved;
}

static void end(struct block *block)
{
    check_all(block);
    program_free(block);
}

/* ---- random operations ---- */

#define BLOCKS 48u
#define MAIL 32u

static struct block *mail[MAIL]; /* atomic: who puts one gets the one before */
static unsigned turns_each;

static void turn(struct block **block, struct random *random)
{
    if (*block == NULL)
        *block = make(random);
    else if (random_below(random, 3) == 0)
        *block = change(*block, random);
    else if (random_below(random, 3) == 0)
        *block = __atomic_exchange_n(&mail[random_below(random, MAIL)], *block, __ATOMIC_ACQ_REL);
    else {
        end(*block);
        *block = NULL;
    }
}

static void seldom(struct random *random)
{
    const char *wrong = NULL;

    switch (random_below(random, 400)) {
    case 0:
        heap_program_trim();
        break;
    case 1:
        wrong = heap_validate(NULL);
        break;
    case 2:
        assert_true(heap_statistics(heap_program()).held <= RAM);
        break;
    case 3:
        fake_memory_reclaim();
        break;
    }
    if (wrong)
        fail_msg("heap_validate: %s", wrong);
}

static void play(unsigned cpu, void *unused)
{
    struct random random = {harness_seed() + cpu};
    struct block *blocks[BLOCKS] = {0};

    (void)unused;
    for (unsigned i = 0; i < turns_each; i++) {
        fake_memory_turn();
        turn(&blocks[random_below(&random, BLOCKS)], &random);
        seldom(&random);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i])
            end(blocks[i]);
    }
}

/* What was in the mail; and then there is nothing but structures that are kept: three pages of each heap at most. */
static void end_all(void)
{
    for (unsigned i = 0; i < MAIL; i++) {
        if (mail[i])
            end(mail[i]);
        mail[i] = NULL;
    }
    assert_null(heap_validate(NULL));
    heap_program_trim();
    assert_null(heap_validate(NULL));
    assert_int_equal(heap_statistics(heap_program()).held, 0);
    assert_int_equal(heap_statistics(heap_program()).used, 0);
    fake_memory_check(heap_statistics(heap_program()).structures);
    assert_true(heap_statistics(heap_program()).structures <= 3 * CPUS * VM_PAGE_SIZE);
}

static void start(void)
{
    fake_cpus(CPUS);
    fake_memory(RAM);
    program_free(program_malloc(1)); /* the tables are made before anybody else looks */
}

static void test_random(void **state)
{
    (void)state;
    start();
    turns_each = (unsigned)harness_number("QUIRE_TURNS", 4000);
    fake_cpus_run(play, NULL);
    end_all();
}

static void test_random_without_memory(void **state)
{
    (void)state;
    start();
    turns_each = (unsigned)harness_number("QUIRE_TURNS", 2500);
    fake_memory_fail(true);
    fake_cpus_run(play, NULL);
    end_all();
}

/* ---- one allocates, others free ---- */

#define RING 256u
#define SENT 40000u

static struct block *ring[RING]; /* atomic */
static unsigned sizes;           /* blocks have up to so many bytes */
static size_t most;              /* bytes that the heaps held at most */
static bool consumer_allocates;

static void produce(struct random *random)
{
    for (unsigned i = 0; i < SENT; i++) {
        struct block **place = &ring[i % RING], *block;

        while (__atomic_load_n(place, __ATOMIC_ACQUIRE))
            cpu_relax();
        block = program_malloc(sizeof(*block) + random_below(random, sizes));
        assert_non_null(block);
        fill(block, sizeof(*block), i);
        __atomic_store_n(place, block, __ATOMIC_RELEASE);
        if (i % 64 == 0) {
            size_t held = heap_statistics(heap_program()).held;

            most = held > most ? held : most;
        }
    }
}

static void consume(struct random *random)
{
    for (unsigned i = 0; i < SENT; i++) {
        struct block **place = &ring[i % RING], *block;

        while ((block = __atomic_load_n(place, __ATOMIC_ACQUIRE)) == NULL)
            cpu_relax();
        assert_int_equal(get(block, 1), i);
        __atomic_store_n(place, NULL, __ATOMIC_RELEASE);
        program_free(block);
        if (consumer_allocates && i % 8 == 0)
            program_free(program_malloc(1 + random_below(random, sizes)));
    }
}

static void produce_and_consume(unsigned cpu, void *unused)
{
    struct random random = {harness_seed() + cpu};

    (void)unused;
    if (cpu == 0)
        produce(&random);
    else if (cpu == 1)
        consume(&random);
}

/* Without being asked the consumer would hold all: 40,000 blocks. */
static void check_bounded(unsigned bytes, bool allocates, size_t bound)
{
    start();
    sizes = bytes;
    consumer_allocates = allocates;
    fake_cpus_run(produce_and_consume, NULL);
    if (most > bound)
        fail_msg("the heaps held %zu KiB", most / 1024);
    end_all();
}

static void test_consumer_only_frees(void **state)
{
    (void)state;
    check_bounded(1000, false, 2 * MIB);
}

static void test_consumer_of_large_objects(void **state)
{
    (void)state;
    check_bounded(12000, false, 4 * MIB);
}

static void test_consumer_of_medium_blocks(void **state)
{
    (void)state;
    check_bounded(90000, false, 24 * MIB);
}

static void test_consumer_allocates(void **state)
{
    (void)state;
    check_bounded(1000, true, 2 * MIB);
}

/* ---- who is idle, and who is not ---- */

#define MANY 20000u

static struct block *many[MANY];
static unsigned phase; /* atomic */

static void wait_for(unsigned value)
{
    while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) < value)
        cpu_relax();
}

static void next_phase(void)
{
    __atomic_fetch_add(&phase, 1, __ATOMIC_ACQ_REL);
}

static void allocate_many(size_t size)
{
    for (unsigned i = 0; i < MANY; i++)
        assert_non_null(many[i] = program_malloc(size));
}

static void free_many(void)
{
    for (unsigned i = 0; i < MANY; i++)
        program_free(many[i]);
}

/* What is freed elsewhere goes back while the owner does nothing, if slow steps are made there. */
static void free_of_idle(unsigned cpu, void *unused)
{
    (void)unused;
    if (cpu == 0) {
        allocate_many(500);
        next_phase();
        wait_for(2);
    } else if (cpu == 1) {
        wait_for(1);
        free_many();
        for (unsigned i = 0; i < 3 * 512 * 31; i++) /* none of them is freed: lists are put aside */
            assert_non_null(program_malloc(16));
        assert_true(heap_statistics(heap_program()).held < 3 * MIB);
        assert_true(cpu_variable(0, program_heap).used < MIB);
        next_phase();
    }
}

static void test_owner_is_idle(void **state)
{
    (void)state;
    start();
    fake_cpus_run(free_of_idle, NULL);
    assert_null(heap_validate(NULL));
}

/* What others have freed is taken by the owner's next slow step, and used again. */
static void free_of_busy(unsigned cpu, void *unused)
{
    (void)unused;
    if (cpu == 0) {
        for (unsigned i = 0; i < 8; i++)
            assert_non_null(many[i] = program_malloc(100000));
        next_phase();
        wait_for(2);
        assert_true(remote_has(&heap_remote));
        assert_int_equal(heap_remote.bytes, 2 * 102400);
        assert_ptr_equal(program_malloc(100000), many[0]);
        assert_ptr_equal(program_malloc(100000), many[1]);
        assert_false(remote_has(&heap_remote));
        assert_int_equal(heap_remote.bytes, 0);
    } else if (cpu == 1) {
        wait_for(1);
        program_free(many[0]);
        program_free(many[1]);
        program_malloc(100000); /* it looks at what was freed */
        next_phase();
    }
}

static void test_owner_is_busy(void **state)
{
    (void)state;
    start();
    fake_cpus_run(free_of_busy, NULL);
    assert_int_equal(cpu_variable(0, heap_freed_elsewhere), 0);
    assert_int_equal(cpu_variable(1, heap_freed_elsewhere), 2);
    assert_null(heap_validate(NULL));
}

/* ---- lines of the cache ---- */

#define LINE 64u
#define FEW 2000u

static bool is_beside_any(const void *block)
{
    for (unsigned i = 0; i < FEW; i++) {
        if (many[i] && (uintptr_t)many[i] / LINE == (uintptr_t)block / LINE)
            return true;
    }
    return false;
}

static void allocate_every(unsigned first, unsigned step, size_t size)
{
    for (unsigned i = first; i < FEW; i += step)
        assert_non_null(many[i] = program_malloc(size));
}

static void free_every(unsigned first, unsigned step)
{
    for (unsigned i = first; i < FEW; i += step) {
        program_free(many[i]);
        many[i] = NULL;
    }
}

static void allocate_apart(size_t size)
{
    void *blocks[FEW / 2];

    for (unsigned i = 0; i < FEW / 2; i++)
        assert_false(is_beside_any(blocks[i] = program_malloc(size)));
    for (unsigned i = 0; i < FEW / 2; i++)
        program_free(blocks[i]);
}

/* What is shorter than a line does not stay with who freed it, but serves its owner again. */
static void test_lines_are_not_shared(void **state)
{
    static const size_t sizes[] = {1, 16, 17, 32, 33, 48};

    (void)state;
    start();
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        fake_cpu_be(0);
        allocate_every(0, 1, sizes[i]);
        size_t held = cpu_variable(0, program_heap).held;

        fake_cpu_be(1);
        free_every(1, 2);
        allocate_apart(sizes[i]);
        fake_cpu_be(0);
        allocate_every(1, 2, sizes[i]);
        assert_int_equal(cpu_variable(0, program_heap).held, held);
        assert_null(heap_validate(NULL));
        free_every(0, 1);
        heap_program_trim();
    }
    end_all();
}

static unsigned known_by(unsigned cpu, void *const *blocks)
{
    unsigned count = 0;

    for (unsigned i = 0; i < FEW; i++)
        count += *heap_class_of_slice(cpu, (uintptr_t)blocks[i]) != 0;
    return count;
}

/* What is longer does, and its neighbours come into the list at once. When all are back nobody knows of the span. */
static void test_long_objects_stay(void **state)
{
    void *blocks[FEW];

    (void)state;
    start();
    allocate_every(0, 1, 100);
    memcpy(blocks, many, sizeof(blocks));
    fake_cpu_be(1);
    free_every(1, 2);
    program_free(program_malloc(100));
    assert_true(regions_have(&program_heap, cpu_variable(1, heap_lists)[class_of_size(100)]));
    assert_int_equal(known_by(1, blocks), FEW);
    assert_int_equal(known_by(2, blocks), 0);
    assert_null(heap_validate(NULL));
    free_every(0, 2);
    assert_int_equal(cpu_variable(1, heap_lists)[CLASS_NONE], 0);
    heap_program_trim();
    assert_int_equal(known_by(0, blocks) + known_by(1, blocks), 0);
    fake_cpu_be(0);
    end_all();
}

/* CPU 0 keeps half of what it allocates for a while, and CPU 1, which makes a slow step each time, frees the other:
 * objects come home also while the heap grows. None is lost. */
static void send_half(unsigned cpu, void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; cpu == 0 && i < FEW; i++) {
            struct block **place = &ring[i % RING];

            assert_non_null(many[i] = program_malloc(48));
            while (__atomic_load_n(place, __ATOMIC_ACQUIRE))
                cpu_relax();
            __atomic_store_n(place, program_malloc(48), __ATOMIC_RELEASE);
        }
        for (unsigned i = 0; cpu == 1 && i < FEW; i++) {
            struct block **place = &ring[i % RING], *block;

            while ((block = __atomic_load_n(place, __ATOMIC_ACQUIRE)) == NULL)
                cpu_relax();
            __atomic_store_n(place, NULL, __ATOMIC_RELEASE);
            program_free(block);
            program_free(program_malloc(100000));
        }
        if (cpu == 0) {
            free_every(0, 1);
            heap_program_trim();
        }
    }
}

static void test_home_while_growing(void **state)
{
    (void)state;
    start();
    fake_cpus_run(send_half, NULL);
    end_all();
}

/* What was freed last is a third CPU's: what lies behind it is asked for all the same. */
static void test_third_owner_in_front(void **state)
{
    static void *others[400];

    (void)state;
    start();
    fake_cpu_be(2);
    for (unsigned i = 0; i < ARRAY_LENGTH(others); i++)
        assert_non_null(others[i] = program_malloc(48));
    for (unsigned i = 0; i < ARRAY_LENGTH(others); i++) {
        fake_cpu_be(0);
        allocate_every(0, 1, 32);
        fake_cpu_be(1);
        free_every(0, 1);
        program_free(others[i]);
    }
    assert_true(cpu_variable(0, program_heap).held < 3 * MIB);
    fake_cpu_be(0);
    end_all();
}

/* One CPU holds nearly all of RAM in its lists, in the heap of another, and a third one allocates as much. */
static void hold_all(unsigned cpu, void *unused)
{
    (void)unused;
    if (cpu == 0) {
        allocate_many(4000);
        next_phase();
    } else if (cpu == 1) {
        wait_for(1);
        free_many();
        assert_true(heap_statistics(heap_program()).used > 75 * MIB);
        next_phase();
    } else if (cpu == 2) {
        wait_for(2);
        allocate_many(3900);
        free_many();
        next_phase();
    }
    wait_for(3);
}

static void test_memory_is_short(void **state)
{
    (void)state;
    start();
    fake_cpus_run(hold_all, NULL);
    end_all();
}

/* ---- who has nothing to do with others ---- */

static void play_alone(unsigned cpu, void *unused)
{
    struct random random = {harness_seed() + cpu};
    struct block *blocks[8 * BLOCKS] = {0};

    (void)unused;
    for (unsigned i = 0; i < 10000; i++) {
        struct block **block = &blocks[random_below(&random, ARRAY_LENGTH(blocks))];
        size_t size = sizeof(**block) + random_below(&random, 1 << random_below(&random, 16));

        if (*block)
            end(*block);
        assert_non_null(*block = program_malloc(size));
        fill(*block, size, random_next(&random));
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(blocks); i++) {
        if (blocks[i])
            end(blocks[i]);
    }
}

static void test_nothing_is_shared(void **state)
{
    (void)state;
    start();
    for (unsigned cpu = 0; cpu < CPUS; cpu++) { /* starting takes a lock of all */
        fake_cpu_be(cpu);
        program_free(program_malloc(1));
    }
    fake_cpu_be(0);
    fake_cpus_run(play_alone, NULL);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        assert_int_equal(cpu_variable(cpu, heap_asked), 0);
        assert_true(cpu_variable(cpu, spin_contended) == 0 || fake_memory_has_locks);
        assert_true(cpu_variable(cpu, program_heap).held > 0);
        for (unsigned class = 0; class < CLASSES; class ++) {
            uintptr_t object = cpu_variable(cpu, heap_lists)[class];

            assert_true(!object || regions_have(&cpu_variable(cpu, program_heap), object));
        }
    }
    end_all();
}

/* The first that a CPU's heap is asked for is another place for a block of another CPU's. */
static void test_begins_with_realloc(void **state)
{
    static const size_t sizes[] = {40, 4000, 3 * SLICE_SIZE, MEDIUM_MAX + 1};

    (void)state;
    start();
    for (unsigned cpu = 1; cpu < CPUS; cpu++) {
        for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
            struct block *block, *moved;

            fake_cpu_be(0);
            assert_non_null(block = program_malloc(32));
            fill(block, 32, cpu);
            fake_cpu_be(cpu);
            assert_non_null(moved =
                                heap_program_realloc(block, sizes[(i + cpu) % ARRAY_LENGTH(sizes)], finish_realloc));
            check(moved, 32);
            program_free(moved);
        }
    }
    fake_cpu_be(0);
    end_all();
}

/* ---- heaps of the program's own ---- */

static void share(unsigned cpu, void *argument)
{
    struct random random = {harness_seed() + cpu};
    struct heap *heap = argument;
    struct block *blocks[BLOCKS] = {0};

    for (unsigned i = 0; i < 4000; i++) {
        struct block **block = &blocks[random_below(&random, BLOCKS)], *moved;
        size_t size = random_size(&random);

        fake_cpu_look();
        if (*block == NULL && (*block = heap_alloc(heap, size)) != NULL) {
            fill(*block, size, random_next(&random));
        } else if (*block && random_below(&random, 3) == 0) {
            *block = __atomic_exchange_n(&mail[random_below(&random, MAIL)], *block, __ATOMIC_ACQ_REL);
        } else if (*block && random_below(&random, 2) == 0) {
            size_t old = get(*block, 0);

            if ((moved = heap_realloc(heap, *block, size)) != NULL) {
                check(moved, old < size ? old : size);
                fill(moved, size, random_next(&random));
                *block = moved;
            }
        } else if (*block) {
            check_all(*block);
            heap_free(heap, *block);
            *block = NULL;
        }
        if (random_below(&random, 200) == 0)
            assert_null(heap_validate(heap));
    }
}

static void test_shared_heap(void **state)
{
    struct heap *heap;

    (void)state;
    start();
    heap = heap_create(&vm_heap, 0, 48 * MIB);
    fake_cpus_run(share, heap);
    assert_null(heap_validate(heap));
    heap_destroy(heap);
    heap_program_trim();
    fake_memory_check(heap_statistics(heap_program()).structures + heap_statistics(heap_program()).held);
}

static void play_hardened(unsigned cpu, void *unused)
{
    struct random random = {harness_seed() + cpu};
    struct block *blocks[BLOCKS] = {0};

    (void)unused;
    for (unsigned i = 0; i < 2000; i++) {
        struct block **block = &blocks[random_below(&random, BLOCKS)];
        size_t size = random_size(&random) / 4 + sizeof(**block);

        fake_cpu_look();
        if (*block == NULL) {
            assert_non_null(*block = heap_hardened_alloc(16, size));
            fill(*block, size, random_next(&random));
        } else if (random_below(&random, 2) == 0) {
            *block = __atomic_exchange_n(&mail[random_below(&random, MAIL)], *block, __ATOMIC_ACQ_REL);
        } else {
            check_all(*block);
            assert_true(heap_hardened_size(*block) >= get(*block, 0));
            heap_hardened_free(*block);
            *block = NULL;
        }
    }
}

static void test_hardened(void **state)
{
    (void)state;
    start();
    fake_cpus_run(play_hardened, NULL);
    assert_null(heap_validate(heap_hardened()));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_without_memory),
        cmocka_unit_test(test_consumer_only_frees),
        cmocka_unit_test(test_consumer_of_large_objects),
        cmocka_unit_test(test_consumer_of_medium_blocks),
        cmocka_unit_test(test_consumer_allocates),
        cmocka_unit_test(test_owner_is_idle),
        cmocka_unit_test(test_owner_is_busy),
        cmocka_unit_test(test_lines_are_not_shared),
        cmocka_unit_test(test_long_objects_stay),
        cmocka_unit_test(test_home_while_growing),
        cmocka_unit_test(test_third_owner_in_front),
        cmocka_unit_test(test_memory_is_short),
        cmocka_unit_test(test_nothing_is_shared),
        cmocka_unit_test(test_begins_with_realloc),
        cmocka_unit_test(test_shared_heap),
        cmocka_unit_test(test_hardened),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
