/*
 * vm/frames.h on several CPUs, which threads of the host play: whatever they get and put at the same time, each frame
 * has one owner, nothing is lost, and none is refused a frame that is free anywhere. Compiled with ThreadSanitizer,
 * too: a frame that two have at once, or that goes from one to the other without order, is a race of what they write to
 * it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/spinlock.h"
#include "fake.h"
#include "harness.h"
#include "vm/frames.h"

#define FRAME VM_PAGE_SIZE
#define PER_2M (page_bytes(PAGE_2M) / FRAME)
#define CPUS 8u
#define HELD 300u
#define PASSED 64u

#define EXPECT(condition)                                                                                              \
    ((condition) ? (void)0 : fake_violation("%s:%d: CPU %u: %s", __FILE__, __LINE__, cpu_number(), #condition))

static const struct frame_range ram[] = {{0x1000, 0x9f000}, {0x100000, 48 * MIB - FRAME}, {50 * MIB, 160 * MIB}};
static const struct frame_range much[] = {{0x100000, 3 * GIB}};

/* By frame number, atomic: 0, or 1 + the CPU that has it. */
static uint8_t *owners;
static size_t total, whole;

struct piece {
    paddr_t first;
    unsigned order;
};

/* Pieces that go from one CPU to another. */
static struct {
    struct spinlock lock;
    unsigned count;
    struct piece pieces[PASSED];
} passed;

struct player {
    struct random random;
    struct piece held[HELD];
    unsigned count;
};
static struct player players[CPUS];

/* ---- who owns what ---- */

/* Free pieces are the store's, which writes to them only where it asks another CPU for them. */
static void own(paddr_t first, size_t frames)
{
    EXPECT(first != FRAME_NONE && is_aligned(first, FRAME) && fake_is_ram(first, frames * FRAME));
    for (size_t i = 0; i < frames; i++) {
        uint8_t before = __atomic_exchange_n(&owners[first / FRAME + i], 1 + cpu_number(), __ATOMIC_RELAXED);

        EXPECT(before == 0);
        *(uint64_t *)phys_to_virt(first + i * FRAME) = cpu_number();
    }
}

static void disown(paddr_t first, size_t frames)
{
    for (size_t i = 0; i < frames; i++) {
        EXPECT(*(uint64_t *)phys_to_virt(first + i * FRAME) == cpu_number());
        EXPECT(__atomic_exchange_n(&owners[first / FRAME + i], 0, __ATOMIC_RELAXED) == 1 + cpu_number());
    }
}

static void start(const struct frame_range *ranges, size_t count, unsigned number)
{
    fake_ram(ranges, count);
    owners = calloc(ranges[count - 1].end / FRAME, 1);
    assert_int_equal(frames_init(ranges, count), E_SUCCESS);
    fake_cpus(number);
    total = frames_stats().total;
    whole = frames_stats().free_2m;
}

/* All are back: the same 2 MiB are whole. */
static void drain(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    frames_drain();
}

static void assert_all_back(void)
{
    assert_int_equal(frames_stats().free, total);
    fake_cpus_run(drain, NULL);
    assert_int_equal(frames_free(), total);
    assert_int_equal(frames_stats().free_2m, whole);
}

/* Until all CPUs have come. */
static void meet(unsigned number)
{
    static unsigned arrived;
    unsigned end = (__atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL) / number + 1) * number;

    while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < end)
        cpu_relax();
}

/* ---- random operations ---- */

static void hold(struct player *player, paddr_t first, unsigned order)
{
    EXPECT(player->count < HELD);
    player->held[player->count++] = (struct piece){first, order};
}

static void hold_singles(struct player *player, paddr_t first, unsigned count)
{
    own(first, count);
    for (unsigned i = 0; i < count; i++)
        hold(player, first + i * FRAME, 0);
}

static void expect_zeros(paddr_t frame, size_t size)
{
    const uint64_t *words = phys_to_virt(frame);

    for (size_t i = 0; i < size / sizeof(words[0]); i++)
        EXPECT(words[i] == 0);
}

static void get_zeroed(struct player *player)
{
    enum page_size size = random_below(&player->random, 100) == 0 ? PAGE_2M : PAGE_4K;
    paddr_t frame = frame_get_zeroed(size);

    if (frame == FRAME_NONE)
        return;
    expect_zeros(frame, page_bytes(size));
    own(frame, page_bytes(size) / FRAME);
    hold(player, frame, size == PAGE_2M ? FRAME_RUN_ORDER_MAX : 0);
}

static void get_many(struct player *player)
{
    unsigned count = 1 + (unsigned)random_below(&player->random, 60), got;
    struct frame_run runs[8];
    paddr_t frames[60];

    if (random_below(&player->random, 2)) {
        got = frames_get(frames, count);
        EXPECT(got <= count);
        for (unsigned i = 0; i < got; i++)
            hold_singles(player, frames[i], 1);
        return;
    }
    bool zeroed = random_below(&player->random, 4) == 0;
    unsigned found = frames_get_runs(runs, ARRAY_LENGTH(runs), count, zeroed);

    for (unsigned i = 0; i < found; i++) {
        if (zeroed)
            expect_zeros(runs[i].first, runs[i].count * FRAME);
        hold_singles(player, runs[i].first, runs[i].count);
    }
}

static void get_large(struct player *player)
{
    size_t count = 0, most = 1 + random_below(&player->random, 20);
    paddr_t first = frames_get_large(most, &count);

    if (first == FRAME_NONE)
        return;
    EXPECT(count > 0 && count <= most && is_aligned(first, page_bytes(PAGE_2M)));
    own(first, count * PER_2M);
    for (size_t i = 0; i < count; i++)
        hold(player, first + i * page_bytes(PAGE_2M), FRAME_RUN_ORDER_MAX);
}

static void get_run(struct player *player)
{
    unsigned order = (unsigned)random_below(&player->random, FRAME_RUN_ORDER_MAX + 1);
    paddr_t first = frame_get_run(order);

    if (first == FRAME_NONE)
        return;
    EXPECT(is_aligned(first, FRAME << order));
    own(first, (size_t)1 << order);
    hold(player, first, order);
}

/* Where somebody has, or had, frames. */
static void get_there(struct player *player)
{
    unsigned order = (unsigned)random_below(&player->random, 6);
    struct piece near = player->held[random_below(&player->random, player->count)];
    paddr_t first = align_down(near.first, FRAME << order) ^ (FRAME << order);

    switch (random_below(&player->random, 3)) {
    case 0:
        if (!frames_get_at(first, 1u << order))
            return;
        break;
    case 1:
        if ((first = frames_get_beside(first, 1u << order)) == FRAME_NONE)
            return;
        break;
    default:
        if (frame_take(first, FRAME << order) != E_SUCCESS)
            return;
    }
    own(first, (size_t)1 << order);
    hold(player, first, order);
}

static void get_some(struct player *player)
{
    paddr_t frame;

    if (player->count > HELD - 62)
        return;
    switch (random_below(&player->random, 12)) {
    case 0:
        get_zeroed(player);
        break;
    case 1:
        get_large(player);
        break;
    case 2:
    case 3:
        get_run(player);
        break;
    case 4:
    case 5:
        get_many(player);
        break;
    case 6:
        if (player->count > 0)
            get_there(player);
        break;
    default:
        frame = frame_get(PAGE_4K);
        if (frame != FRAME_NONE)
            hold_singles(player, frame, 1);
    }
}

static void put(struct player *player, struct piece piece)
{
    bool clean = random_below(&player->random, 4) == 0;

    disown(piece.first, (size_t)1 << piece.order);
    if (piece.order > 0 && piece.order < FRAME_RUN_ORDER_MAX)
        frame_put_run(piece.first, piece.order);
    else if (piece.order > 0 && !clean)
        frames_put_neighbours(piece.first, PAGE_2M, 1);
    else if (piece.order > 0)
        frames_put_neighbours(piece.first, PAGE_4K, PER_2M);
    else if (!clean)
        frame_put(piece.first, PAGE_4K);
    else {
        memset(phys_to_virt(piece.first), 0, FRAME);
        frame_put_clean(piece.first, PAGE_4K);
    }
}

/* Single ones that were got last, at once. */
static void put_many(struct player *player)
{
    paddr_t frames[100];
    unsigned count = 0;

    while (count < ARRAY_LENGTH(frames) && player->count > 0 && player->held[player->count - 1].order == 0) {
        frames[count] = player->held[--player->count].first;
        disown(frames[count++], 1);
    }
    frames_put(frames, count);
}

static void put_some(struct player *player)
{
    unsigned which = (unsigned)random_below(&player->random, player->count);
    struct piece piece = player->held[which];

    if (random_below(&player->random, 8) == 0) {
        put_many(player);
        return;
    }
    player->held[which] = player->held[--player->count];
    while (piece.order > 0 && player->count < HELD && random_below(&player->random, 3) == 0) {
        piece.order--;
        hold(player, piece.first + (FRAME << piece.order), piece.order);
    }
    put(player, piece);
}

/* To another CPU, or from it: the first word of each says whose it is. */
static void pass(struct player *player)
{
    struct piece piece = {.first = FRAME_NONE};
    unsigned count;

    spin_lock(&passed.lock);
    if (passed.count > 0 && random_below(&player->random, 2)) {
        piece = passed.pieces[--passed.count];
    } else if (passed.count < PASSED && player->count > 0) {
        passed.pieces[passed.count++] = player->held[--player->count];
    }
    spin_unlock(&passed.lock);
    if (piece.first == FRAME_NONE)
        return;
    count = 1u << piece.order;
    for (unsigned i = 0; i < count; i++) {
        __atomic_store_n(&owners[piece.first / FRAME + i], 0, __ATOMIC_RELAXED);
    }
    own(piece.first, count);
    if (player->count < HELD)
        hold(player, piece.first, piece.order);
    else
        put(player, piece);
}

static void expect_stats(unsigned number)
{
    struct frame_stats stats = frames_stats();

    EXPECT(stats.total == total && stats.free_2m <= whole && stats.clean <= total);
    /* Others may have moved what a magazine and a large window hold between two looks of this one. */
    EXPECT(stats.free <= total + number * 40 * PER_2M);
}

static void play(unsigned cpu, void *steps)
{
    struct player *player = &players[cpu];
    bool growing = true;

    player->random.state = harness_seed() + cpu;
    for (size_t step = 0; step < *(size_t *)steps; step++) {
        unsigned kind = (unsigned)random_below(&player->random, 100);

        fake_cpu_look();
        if (player->count == 0 || player->count > HELD - 70)
            growing = player->count == 0;
        if (kind == 0)
            frames_drain();
        else if (kind < 3)
            frames_clean();
        else if (kind == 3)
            expect_stats(cpu_count());
        else if (kind < 15)
            pass(player);
        else if (kind < (growing ? 70 : 45))
            get_some(player);
        else if (player->count > 0)
            put_some(player);
    }
    while (player->count > 0)
        put_some(player);
    meet(cpu_count());
    while (cpu == 0 && passed.count > 0) {
        pass(player);
        if (player->count > 0)
            put_some(player);
    }
    while (player->count > 0)
        put_some(player);
}

static void play_on(unsigned number, bool trust_virgin)
{
    size_t steps = harness_number("QUIRE_STEPS", 60000) / number;

    start(ram, ARRAY_LENGTH(ram), number);
    for (size_t i = 0; trust_virgin && i < ARRAY_LENGTH(ram); i++)
        memset(phys_to_virt(ram[i].start), 0, ram[i].end - ram[i].start);
    if (trust_virgin)
        assert_int_equal(frames_init(ram, ARRAY_LENGTH(ram)), E_SUCCESS);
    frames_trust_virgin = trust_virgin;
    fake_cpus_run(play, &steps);
    assert_all_back();
}

static void test_random_on_2(void **state)
{
    (void)state;
    play_on(2, true);
}

static void test_random_on_3(void **state)
{
    (void)state;
    play_on(3, false);
}

static void test_random_on_8(void **state)
{
    (void)state;
    play_on(8, true);
}

/* ---- to the last frame ---- */

static struct {
    paddr_t *frames;
    size_t count;
} all[CPUS];

/* All CPUs at once, until there is none. Before and behind others wait with what they hold in magazines. */
static void get_all(unsigned cpu, void *unused)
{
    paddr_t frame;

    (void)unused;
    for (unsigned round = 0; round < 3; round++) {
        all[cpu].count = 0;
        meet(cpu_count());
        while ((frame = frame_get(PAGE_4K)) != FRAME_NONE) {
            own(frame, 1);
            all[cpu].frames[all[cpu].count++] = frame;
            fake_cpu_look();
        }
        meet(cpu_count());
        EXPECT(frames_free() == 0);
        EXPECT(frame_get(PAGE_2M) == FRAME_NONE && frame_get_run(3) == FRAME_NONE);
        for (size_t i = 0, sum = 0; cpu == 0 && i <= cpu_count(); i++) {
            EXPECT(i < cpu_count() || sum == total);
            sum += i < cpu_count() ? all[i].count : 0;
        }
        meet(cpu_count());
        for (size_t i = 0; i < all[cpu].count; i++) {
            disown(all[cpu].frames[i], 1);
            frame_put(all[cpu].frames[i], PAGE_4K);
            fake_cpu_look();
        }
        meet(cpu_count());
        EXPECT(frames_free() == total);
        meet(cpu_count());
    }
}

static void test_every_frame_is_got(void **state)
{
    (void)state;
    start(ram, ARRAY_LENGTH(ram), CPUS);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        all[cpu].frames = calloc(total, sizeof(paddr_t));
    fake_cpus_run(get_all, NULL);
    assert_all_back();
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        free(all[cpu].frames);
}

/* Frames of both sizes, and one that is being cleaned, in the magazines. */
static void fill_magazines(void)
{
    paddr_t frames[FRAME_MAGAZINE_MAX], large[FRAME_MAGAZINE_2M];

    for (unsigned i = 0; i < ARRAY_LENGTH(large); i++)
        EXPECT((large[i] = frame_get(PAGE_2M)) != FRAME_NONE);
    EXPECT(frames_get(frames, ARRAY_LENGTH(frames)) == ARRAY_LENGTH(frames));
    for (unsigned i = 0; i < ARRAY_LENGTH(large); i++)
        frame_put(large[i], PAGE_2M);
    frames_put(frames, ARRAY_LENGTH(frames));
    for (unsigned i = 0; i < 20; i++)
        frames_clean();
}

/* Frames of 4 KiB in this CPU's magazines. */
static size_t in_magazines(void)
{
    size_t count = this_cpu(frame_magazines).uncleaned > 0 ? PER_2M : 0;

    for (unsigned state = 0; state < FRAME_STATES; state++)
        count += frame_magazine(PAGE_4K, state)->count + frame_magazine(PAGE_2M, state)->count * PER_2M;
    return count;
}

/* In the core for a while, where nobody takes anything out of the magazines, until there is nothing left elsewhere. */
static void stay_inside(size_t elsewhere)
{
    size_t held = in_magazines();
    unsigned turns = 0, after = 0;

    fake_cpu_inside_core(true);
    while (turns++ < 100000 && after < 100) {
        EXPECT(in_magazines() == held);
        after += frames_free() <= elsewhere;
        cpu_relax();
    }
    fake_cpu_inside_core(false);
}

/* CPU 0 wants everything; the others fill their magazines, and then are elsewhere. */
static void hold_in_magazines(unsigned cpu, void *got)
{
    static size_t held;
    static bool done;

    if (cpu != 0) {
        fill_magazines();
        __atomic_fetch_add(&held, in_magazines(), __ATOMIC_RELAXED);
    }
    meet(cpu_count());
    if (cpu == 1)
        stay_inside(__atomic_load_n(&held, __ATOMIC_RELAXED));
    while (cpu != 0 && !__atomic_load_n(&done, __ATOMIC_ACQUIRE))
        cpu_relax();
    if (cpu != 0)
        return;
    while (frame_get(*(enum page_size *)got) != FRAME_NONE)
        all[0].count++;
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
}

static void test_magazines_of_others(void **state)
{
    enum page_size size = PAGE_4K;

    (void)state;
    start(ram, ARRAY_LENGTH(ram), 4);
    fake_cpus_run(hold_in_magazines, &size);
    assert_int_equal(all[0].count, total);
    assert_int_equal(frames_free(), 0);
}

static void test_large_magazines_of_others(void **state)
{
    enum page_size size = PAGE_2M;

    (void)state;
    start(ram, ARRAY_LENGTH(ram), 4);
    fake_cpus_run(hold_in_magazines, &size);
    assert_in_range(all[0].count, whole - 3, whole); /* the others have split one each */
}

/* CPU 0 asks for a frame that is out, and so for what all magazines hold, while the others move frames between these
 * and the only tree there is. */
static void take_while_moving(unsigned cpu, void *unused)
{
    paddr_t frames[100], frame;
    static bool done;

    (void)unused;
    if (cpu == 0) {
        EXPECT((frame = frame_get(PAGE_4K)) != FRAME_NONE);
        for (unsigned i = 0; i < 3000; i++)
            EXPECT(frame_take(frame, FRAME) == E_BUSY);
        frame_put(frame, PAGE_4K);
        __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    }
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        for (unsigned i = 0; i < ARRAY_LENGTH(frames); i++) {
            EXPECT((frames[i] = frame_get(PAGE_4K)) != FRAME_NONE);
            own(frames[i], 1);
        }
        for (unsigned i = 0; i < ARRAY_LENGTH(frames); i++) {
            disown(frames[i], 1);
            frame_put(frames[i], PAGE_4K);
        }
        fake_cpu_look();
    }
}

static void test_asked_while_moving(void **state)
{
    static const struct frame_range tiny[] = {{0x100000, 5 * MIB}};

    (void)state;
    start(tiny, ARRAY_LENGTH(tiny), 4);
    fake_cpus_run(take_while_moving, NULL);
    assert_all_back();
}

/* All that is free is in the magazine of the last CPU, and the others want one each, at the same time: what the first
 * one is given by it is neither there nor in the store for a while. */
static void ask_at_once(unsigned cpu, void *unused)
{
    static paddr_t frames[1024];
    paddr_t frame;
    bool has_all = cpu == cpu_count() - 1;
    size_t held = 0;

    (void)unused;
    while (has_all && (frame = frame_get(PAGE_4K)) != FRAME_NONE)
        frames[held++] = frame;
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned i = 0; has_all && i < FRAME_MAGAZINE_MAX; i++)
            frame_put(frames[--held], PAGE_4K);
        meet(cpu_count());
        EXPECT(has_all || (frame = frame_get(PAGE_4K)) != FRAME_NONE);
        meet(cpu_count());
        if (!has_all) {
            frame_put(frame, PAGE_4K);
            frames_drain();
        }
        meet(cpu_count());
        for (unsigned i = 0; has_all && i < FRAME_MAGAZINE_MAX; i++)
            EXPECT((frames[held++] = frame_get(PAGE_4K)) != FRAME_NONE);
    }
    while (held > 0)
        frame_put(frames[--held], PAGE_4K);
}

static void test_asked_at_once(void **state)
{
    static const struct frame_range tiny[] = {{0x100000, 2 * MIB}};

    (void)state;
    start(tiny, ARRAY_LENGTH(tiny), 3);
    fake_cpus_run(ask_at_once, NULL);
    assert_all_back();
}

/* A GiB that all of them have pieces of in their magazines. */
static void test_1g_after_all(void **state)
{
    enum page_size size = PAGE_1G;

    (void)state;
    start(much, ARRAY_LENGTH(much), 4);
    assert_int_equal(frames_stats().free_1g, 2);
    fake_cpus_run(hold_in_magazines, &size);
    assert_in_range(all[0].count, 1, 2);
    assert_int_equal(frames_free(), total - all[0].count * PER_2M * PER_2M);
}

/* ---- 2 MiB and 1 GiB by all ---- */

static void get_large_at_once(unsigned cpu, void *unused)
{
    struct random random = {harness_seed() + cpu};
    paddr_t frames[40];
    unsigned count = 0;

    (void)unused;
    for (unsigned step = 0; step < 2000; step++) {
        enum page_size size = random_below(&random, cpu < 2 ? 2 : 30) == 0 ? PAGE_1G : PAGE_2M;
        paddr_t frame;

        fake_cpu_look();
        if (random_below(&random, 2) && count < ARRAY_LENGTH(frames)) {
            if ((frame = frame_get(size)) == FRAME_NONE)
                continue;
            for (size_t i = 0; i < page_bytes(size) / FRAME; i += PER_2M)
                own(frame + i * FRAME, 1);
            if (size == PAGE_2M) {
                frames[count++] = frame;
                continue;
            }
            for (size_t i = 0; i < page_bytes(size) / FRAME; i += PER_2M)
                disown(frame + i * FRAME, 1);
            frame_put(frame, PAGE_1G);
        } else if (count > 0) {
            disown(frames[--count], 1);
            frame_put(frames[count], PAGE_2M);
        }
    }
    while (count > 0) {
        disown(frames[--count], 1);
        frame_put(frames[count], PAGE_2M);
    }
}

static void test_large_by_all(void **state)
{
    (void)state;
    start(much, ARRAY_LENGTH(much), 4);
    fake_cpus_run(get_large_at_once, NULL);
    assert_all_back();
    assert_int_equal(frames_stats().free_1g, 2);
}

/* ---- apart ---- */

#define APART 4u
#define TREE_SHIFT 25u

static uint8_t users[3 * GIB >> TREE_SHIFT]; /* of the trees: 1 + the CPU */

static void use_tree(paddr_t frame)
{
    uint8_t before = __atomic_exchange_n(&users[frame >> TREE_SHIFT], 1 + cpu_number(), __ATOMIC_RELAXED);

    EXPECT(before == 0 || before == 1 + cpu_number());
}

/* Up to 24 MiB in single frames and as much in large ones, again and again. */
static void keep_apart(unsigned cpu, void *unused)
{
    static paddr_t singles[APART][6000], large[APART][12];

    (void)unused;
    for (unsigned round = 0; round < 8; round++) {
        EXPECT(frames_get(singles[cpu], 6000) == 6000);
        for (unsigned i = 0; i < 6000; i++)
            use_tree(singles[cpu][i]);
        for (unsigned i = 0; i < 12; i++)
            use_tree(large[cpu][i] = frame_get(PAGE_2M));
        for (unsigned i = 0; i < 12; i++)
            frame_put(large[cpu][i], PAGE_2M);
        for (unsigned i = 0; i < 6000; i++)
            frame_put(singles[cpu][i], PAGE_4K);
        fake_cpu_look();
    }
}

/* CPUs that use their own memory do not use each other's trees, and find no lock taken. */
static void test_cpus_keep_apart(void **state)
{
    (void)state;
    start(much, ARRAY_LENGTH(much), APART);
    fake_cpus_run(keep_apart, NULL);
    for (unsigned cpu = 0; cpu < APART; cpu++)
        assert_int_equal(cpu_variable(cpu, spin_contended), 0);
    assert_all_back();
}

/* ---- cleaning ---- */

static void clean_all(unsigned cpu, void *unused)
{
    (void)unused;
    if (cpu == CPUS - 1) { /* has never got anything */
        EXPECT(!frames_clean());
        return;
    }
    paddr_t large = frame_get(PAGE_2M), small = frame_get(PAGE_4K);

    frame_put(large, PAGE_2M);
    frame_put(small, PAGE_4K);
    meet(CPUS - 1);
    while (frames_clean()) {
        if (cpu == 0)
            expect_stats(CPUS);
        fake_cpu_look();
    }
}

/* Together not more than an eighth of what is free, and the piece that each begins. */
static void test_cleaning_has_a_limit(void **state)
{
    static const struct frame_range little[] = {{0x100000, 33 * MIB}};

    (void)state;
    start(little, ARRAY_LENGTH(little), CPUS);
    fake_cpus_run(clean_all, NULL);
    assert_in_range(frames_stats().clean, FRAME_MAGAZINE_MAX, total / 8 + CPUS * PER_2M);
    assert_int_equal(frames_stats().cleaned % 0x1000, 0);
    assert_true(frames_stats().cleaned >= frames_stats().clean * FRAME);
    assert_all_back();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_on_2),         cmocka_unit_test(test_random_on_3),
        cmocka_unit_test(test_random_on_8),         cmocka_unit_test(test_every_frame_is_got),
        cmocka_unit_test(test_magazines_of_others), cmocka_unit_test(test_large_magazines_of_others),
        cmocka_unit_test(test_asked_while_moving),  cmocka_unit_test(test_asked_at_once),
        cmocka_unit_test(test_1g_after_all),        cmocka_unit_test(test_large_by_all),
        cmocka_unit_test(test_cpus_keep_apart),     cmocka_unit_test(test_cleaning_has_a_limit),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
