/*
 * A copying collector of two generations whose write barrier is memory protection, after Appel, Ellis and Li
 * ("Real-time concurrent collection on stock multiprocessors", PLDI 1988) and the generational collectors that
 * followed.
 *
 * Cells are made in the nursery; what is reachable when that is full is copied behind the old cells. Full pages of old
 * cells are read-only: the first write to one is a SIGSEGV, whose handler notes the page and unprotects it, and the
 * next collection looks for pointers into the nursery only in the noted pages and in the last one. When the old space
 * fills up, what is reachable is copied (Cheney 1970) into the other one, and the pages go back to the system.
 *
 * The program keeps lists of numbers in the leaves of a tree, and makes cells that die at once. Checked: the lists at
 * the end, and the sum of those that were dropped, against arrays that are filled by the same random numbers.
 */
#include <signal.h>
#include <sys/mman.h>

#include "tests/bench/bench.h"

#define NURSERY BENCH_MIB
#define OLD (8 * BENCH_MIB)
#define OLD_PAGES (OLD / BENCH_PAGE)
#define DEPTH 14u
#define LISTS (1u << DEPTH)
#define LIST_MOST 8u
#define DYING 3u           /* cells of an operation that die at once */
#define OPERATIONS 450000u /* times the scale */
#define SEED 0xd6e8feb86659fd93

struct cell {
    struct cell *first, *second, *moved; /* moved: where it was copied to */
    uint64_t value;
};

static struct cell *nursery, *nursery_free, *nursery_end;
static struct cell *old, *old_free, *other_old; /* two spaces; only one of them is in use */
static struct cell *root;

static uint32_t noted[OLD_PAGES], noted_count; /* pages of `old` that were written to */
static uint64_t barrier_faults;

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_fail("no memory: mmap of %zu bytes was refused (%s)", size, strerror(errno));
    return memory;
}

static void protect(void *memory, size_t size, int protection)
{
    if (size > 0 && mprotect(memory, size, protection))
        bench_fail("no memory: mprotect of %zu bytes was refused (%s)", size, strerror(errno));
}

static char *page_of(uint32_t number)
{
    return (char *)old + number * BENCH_PAGE;
}

/* The page that is being filled: those before it are full. */
static uint32_t last_page(void)
{
    return (uint32_t)(((char *)old_free - (char *)old) / BENCH_PAGE);
}

/* The barrier. Anything but a write to a full page of old cells is an error of the program. */
static void note_write(int number, siginfo_t *info, void *context)
{
    static const char text[] = "bench: an access of the program is wrong: it is to none of its cells\n";
    uintptr_t offset = (uintptr_t)info->si_addr - (uintptr_t)old;
    uint32_t page = (uint32_t)(offset / BENCH_PAGE);

    (void)number;
    (void)context;
    if (offset >= OLD || page >= last_page() || noted_count == OLD_PAGES) {
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
            _exit(2);
        _exit(1);
    }
    noted[noted_count++] = page;
    barrier_faults++;
    protect(page_of(page), BENCH_PAGE, PROT_READ | PROT_WRITE);
}

static bool is_young(const struct cell *cell)
{
    return cell >= nursery && cell < nursery_end;
}

static struct cell *copy(struct cell *cell)
{
    if (!cell->moved) {
        *old_free = *cell;
        cell->moved = old_free++;
    }
    return cell->moved;
}

/* Copies what the cells point to in the nursery. */
static void scan_young(struct cell *cell, const struct cell *end)
{
    for (; cell < end; cell++) {
        if (is_young(cell->first))
            cell->first = copy(cell->first);
        if (is_young(cell->second))
            cell->second = copy(cell->second);
    }
}

/* What is full from the page on is protected, and so is what was noted. */
static void protect_full(uint32_t from)
{
    protect(page_of(from), (last_page() - from) * BENCH_PAGE, PROT_READ);
    for (uint32_t i = 0; i < noted_count; i++)
        protect(page_of(noted[i]), BENCH_PAGE, PROT_READ);
    noted_count = 0;
}

static void collect_young(void)
{
    uint32_t filled = last_page();

    for (uint32_t i = 0; i < noted_count; i++)
        scan_young((struct cell *)page_of(noted[i]), (struct cell *)(page_of(noted[i]) + BENCH_PAGE));
    if (is_young(root))
        root = copy(root);
    /* old_free moves on while this looks at what was copied */
    for (struct cell *cell = (struct cell *)page_of(filled); cell < old_free; cell++)
        scan_young(cell, cell + 1);
    protect_full(filled);
    nursery_free = nursery;
}

/* All that is reachable goes to the other old space. The nursery is empty. */
static void collect_old(void)
{
    struct cell *before = old;

    protect(before, OLD, PROT_READ | PROT_WRITE);
    noted_count = 0;
    old = other_old;
    other_old = before;
    old_free = old;
    root = copy(root);
    for (struct cell *cell = old; cell < old_free; cell++) {
        cell->first = cell->first ? copy(cell->first) : NULL;
        cell->second = cell->second ? copy(cell->second) : NULL;
    }
    if (madvise(before, OLD, MADV_DONTNEED))
        bench_fail("madvise of %zu bytes: %s", OLD, strerror(errno));
    protect_full(0);
}

static size_t old_room(void)
{
    return (size_t)((char *)old + OLD - (char *)old_free);
}

/* Room for some cells in the nursery. Cells move: only `root` is still right afterwards. */
static void need_cells(uint32_t count)
{
    if (nursery_free + count <= nursery_end)
        return;
    collect_young();
    if (old_room() >= NURSERY)
        return;
    collect_old();
    if (old_room() < NURSERY)
        bench_fail("no memory: %zu bytes are too few for the cells that live", OLD);
}

/* After need_cells. */
static struct cell *make(struct cell *first, struct cell *second, uint64_t value)
{
    *nursery_free = (struct cell){first, second, NULL, value};
    return nursery_free++;
}

/* After need_cells for all of it. */
static struct cell *make_tree(unsigned depth)
{
    if (depth == 0)
        return make(NULL, NULL, 0);
    struct cell *first = make_tree(depth - 1), *second = make_tree(depth - 1);

    return make(first, second, 0);
}

static struct cell *find_leaf(uint32_t list)
{
    struct cell *cell = root;

    for (uint32_t bit = LISTS / 2; bit > 0; bit /= 2)
        cell = list & bit ? cell->second : cell->first;
    return cell;
}

static uint64_t sum_of(const struct cell *list)
{
    uint64_t sum = 0;

    for (; list; list = list->first)
        sum += list->value;
    return sum;
}

/* A list of cells that nobody refers to afterwards. */
static uint64_t sum_of_dying(uint64_t number)
{
    struct cell *list = NULL;

    for (uint32_t i = 0; i < DYING; i++)
        list = make(list, NULL, number + i);
    return sum_of(list);
}

/* Puts a number into the list, which is dropped when it is too long. The sum of what died. */
static uint64_t operate(uint32_t list, uint64_t number)
{
    uint64_t died;

    need_cells(DYING + 1);
    struct cell *leaf = find_leaf(list);

    died = sum_of_dying(number);
    if (leaf->value == LIST_MOST) {
        died += sum_of(leaf->first);
        leaf->first = NULL;
        leaf->value = 0;
    }
    leaf->first = make(leaf->first, NULL, number);
    leaf->value++;
    return died;
}

static uint64_t run(uint64_t operations)
{
    uint64_t random = SEED, died = 0;

    nursery = map(NURSERY);
    old = map(OLD);
    other_old = map(OLD);
    nursery_free = nursery;
    nursery_end = nursery + NURSERY / sizeof(*nursery);
    old_free = old;
    root = make_tree(DEPTH);
    for (uint64_t i = 0; i < operations; i++)
        died += operate(bench_random_below(&random, LISTS), i);
    return died;
}

static void check(uint64_t operations, uint64_t died)
{
    static uint64_t sums[LISTS], counts[LISTS];
    uint64_t random = SEED, wanted = 0;

    for (uint64_t i = 0; i < operations; i++) {
        uint32_t list = bench_random_below(&random, LISTS);

        wanted += DYING * i + DYING * (DYING - 1) / 2;
        if (counts[list] == LIST_MOST) {
            wanted += sums[list];
            sums[list] = counts[list] = 0;
        }
        sums[list] += i;
        counts[list]++;
    }
    bench_check_number("the sum of the cells that died", died, wanted);
    for (uint32_t list = 0; list < LISTS; list++) {
        bench_check_number("the length of a list", find_leaf(list)->value, counts[list]);
        bench_check_number("the sum of a list", sum_of(find_leaf(list)->first), sums[list]);
    }
    if (barrier_faults == 0)
        bench_fail("the number of faults is wrong: no write was noted");
}

int main(int argc, char **argv)
{
    uint64_t operations = (uint64_t)OPERATIONS * bench_scale(argc, argv);
    struct sigaction action = {.sa_sigaction = note_write, .sa_flags = SA_SIGINFO};
    struct bench_span span = {0};

    bench_open();
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, &action, NULL))
        bench_fail("sigaction: %s", strerror(errno));
    bench_begin(&span);
    uint64_t died = run(operations);

    bench_end(&span);
    check(operations, died);
    bench_print("total", "copying collector, protection faults as barrier", 1, &span, 0);
    return bench_close();
}
