/*
 * Every window in the table .restarts (arch/x86_64/malloc.h, vm/malloc.h), interrupted at each of its instructions by
 * a signal whose handler allocates and frees of the same classes. A breakpoint of the CPU is set on each byte of a
 * window, and the debug exception enters by the gate of the timer's vector, so that it is an interrupt that comes just
 * there, when a timer has expired that interrupts, which are off, have not told of. A window must go on at its
 * beginning. Each block is full of its own address: one that is handed out twice, or lost, is seen; the heap checks
 * itself.
 */
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sys/time.h>
#include <ucontext.h>

#include "core/clock.h"
#include "vm/heap.h"
#include "vm/malloc.h"

static const unsigned DEBUG_VECTOR = 1, TIMER_VECTOR = 0x30; /* arch/x86_64/arch.h */
static const long TIMER_US = 500;
static const unsigned ROUNDS = 3, LEAST_INSTRUCTIONS = 3;

struct window {
    int32_t start, end; /* relative to where they stand */
};
struct gate {
    uint64_t words[2];
};

extern "C" const window __restarts_start[], __restarts_end[];

static volatile uintptr_t breakpoint, expected;
static volatile bool handled, hit;

static void fail(const char *what)
{
    printf("windows: %s at %#lx\n", what, (unsigned long)breakpoint);
    _Exit(1);
}

/* ---- blocks, by every way to allocate and to free ---- */

static const size_t SMALL = 48, MEDIUM = 3000;

static uintptr_t *mark(void *block, size_t size)
{
    uintptr_t *words = static_cast<uintptr_t *>(block);

    if (!words)
        fail("no memory");
    words[0] = words[size / 8 - 1] = reinterpret_cast<uintptr_t>(words);
    return words;
}

static void *check(uintptr_t *words, size_t size)
{
    if (words[0] != reinterpret_cast<uintptr_t>(words) || words[size / 8 - 1] != words[0])
        fail("a block was handed out twice");
    words[0] = 0;
    return words;
}

/* A size that the compiler does not know: the function is called. */
static size_t of(size_t size)
{
    __asm__("" : "+r"(size));
    return size;
}

/* NULL, which the compiler does not know either. */
static void *nothing(void)
{
    void *block = nullptr;

    __asm__("" : "+r"(block));
    return block;
}

static const unsigned WAYS = 12;

struct own {
    uintptr_t *blocks[2 * WAYS];
};

static void make(struct own *own)
{
    for (unsigned i = 0; i < 2; i++) {
        uintptr_t **blocks = own->blocks + WAYS * i;

        blocks[0] = mark(malloc(of(SMALL)), SMALL);
        blocks[1] = mark(malloc(of(MEDIUM)), MEDIUM);
        blocks[2] = mark(::operator new(of(SMALL)), SMALL);
        blocks[3] = mark(::operator new(of(MEDIUM)), MEDIUM);
        blocks[4] = mark(::operator new(of(SMALL), std::nothrow), SMALL);
        blocks[5] = mark(::operator new(of(MEDIUM), std::nothrow), MEDIUM);
        blocks[6] = mark(heap_malloc(SMALL), SMALL);
        blocks[7] = mark(heap_malloc(1000), 1000);
        blocks[8] = mark(malloc(SMALL), SMALL);
        blocks[9] = mark(calloc(1, SMALL), SMALL);
        blocks[10] = mark(::operator new(SMALL), SMALL);
        blocks[11] = mark(realloc(nothing(), of(SMALL)), SMALL);
    }
}

static void drop(struct own *own)
{
    for (unsigned i = 0; i < 2; i++) {
        uintptr_t **blocks = own->blocks + WAYS * i;

        free(check(blocks[2], SMALL));
        free(check(blocks[3], MEDIUM));
        ::operator delete(check(blocks[0], SMALL));
        ::operator delete(check(blocks[1], MEDIUM));
        heap_free_sized(check(blocks[4], SMALL), SMALL);
        free(check(blocks[5], MEDIUM));
        heap_free_sized(check(blocks[7], 1000), 1000);
        ::operator delete(check(blocks[6], SMALL));
        ::operator delete(check(blocks[8], SMALL), SMALL);
        ::operator delete(check(blocks[9], SMALL));
        free(check(blocks[10], SMALL));
        free(check(blocks[11], SMALL));
    }
}

/* ---- the interrupt ---- */

static void set_breakpoint(uintptr_t address)
{
    uint64_t control = address ? 0x403 : 0x400; /* execution of one byte; DR6 and the others are as they were */

    breakpoint = address;
    __asm__ volatile("movq %0, %%dr0\n\tmovq %1, %%dr7" : : "r"(address), "r"(control) : "memory");
}

static void on_tick(int, siginfo_t *, void *context)
{
    static own theirs;
    static bool made;
    uintptr_t address = static_cast<uintptr_t>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);

    handled = true;
    if (breakpoint) {
        uintptr_t at = breakpoint;

        set_breakpoint(0);
        breakpoint = at;
        if (address != expected)
            fail("the window does not go on at its beginning when it is interrupted");
        hit = true;
    }
    if (made)
        drop(&theirs);
    else
        make(&theirs);
    made = !made;
}

/* True if the timer has expired and no interrupt has told of it: none will, until they are on again. */
static bool expire(void)
{
    itimerval once = {{0, 0}, {0, TIMER_US}};
    uint64_t end;

    handled = false;
    setitimer(ITIMER_REAL, &once, nullptr);
    __asm__ volatile("cli" : : : "memory");
    for (end = clock_monotonic() + 2000 * TIMER_US; clock_monotonic() < end;)
        ;
    return !handled;
}

/* Everything once, with the interrupt at the address if it is that of an instruction. */
static bool interrupt_at(uintptr_t start, uintptr_t address)
{
    own ours;

    while (!expire())
        ;
    hit = false;
    expected = start;
    set_breakpoint(address);
    make(&ours);
    drop(&ours);
    set_breakpoint(0);
    __asm__ volatile("sti" : : : "memory");
    while (!handled)
        ;
    return hit;
}

static void take_gate(void)
{
    struct {
        uint16_t limit;
        gate *gates;
    } __attribute__((packed)) table;

    __asm__ volatile("sidt %0" : "=m"(table));
    table.gates[DEBUG_VECTOR] = table.gates[TIMER_VECTOR];
}

static unsigned interrupt_window(uintptr_t start, uintptr_t end, unsigned round)
{
    unsigned instructions = 0;

    for (uintptr_t address = start; address < end; address++) {
        void *more[33];
        const char *wrong;

        /* Magazines that are fuller in each round: at some point one is full, and one empty. */
        for (unsigned i = 0; i < 11 * round; i++)
            more[i] = malloc(i % 2 ? SMALL : MEDIUM);
        instructions += interrupt_at(start, address);
        for (unsigned i = 0; i < 11 * round; i++)
            free(more[i]);
        wrong = heap_validate(nullptr);
        if (wrong)
            fail(wrong);
    }
    return instructions;
}

int main()
{
    struct sigaction action = {};
    unsigned windows = 0, instructions = 0;
    own ours;

    action.sa_sigaction = on_tick;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGALRM, &action, nullptr);
    setvbuf(stdout, nullptr, _IONBF, 0);
    make(&ours);
    drop(&ours);
    take_gate();
    for (const window *window = __restarts_start; window < __restarts_end; window++, windows++) {
        uintptr_t start = reinterpret_cast<uintptr_t>(&window->start) + static_cast<uintptr_t>(intptr_t{window->start});
        uintptr_t end = reinterpret_cast<uintptr_t>(&window->end) + static_cast<uintptr_t>(intptr_t{window->end});

        for (unsigned round = 0; round < ROUNDS; round++) {
            unsigned found = interrupt_window(start, end, round);

            if (found < LEAST_INSTRUCTIONS) {
                breakpoint = start;
                fail("fewer instructions than a window has were reached");
            }
            instructions += found;
        }
    }
    printf("%u windows, interrupted %u times: every block is whole\n", windows, instructions);
    return 0;
}
