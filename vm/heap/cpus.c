/*
 * malloc's heaps of several CPUs: what one frees that is another's, and what CPUs have in lists that others need. The
 * theory is at the top of program.c.
 */
#include "core/base/string.h"
#include "core/cpu.h"
#include "vm/heap/counts.h"
#include "vm/heap/internal.h"

#define REMOTE_MOST                                                                                                    \
    ((size_t)256 << 10)             /* beyond it whoever frees gives to the spans, if the owner is busy elsewhere      \
                                     */
#define TURNS_MOST 1000u            /* of waiting for a heap, where it must not be for ever */
#define ASK_LEAST ((size_t)1 << 20) /* smaller heaps ask nobody */
#define LOOK_PART 16u               /* by so much of itself a heap has to grow until it looks again, */
#define ASK_PART 4u                 /* or asks again, */
#define ENOUGH_PART 8u              /* unless it got that much: then beyond what is left */

PERCPU _Alignas(64) struct remote heap_remote;
PERCPU uint64_t heap_to_send, heap_asked;

/* What is to be sent to each other CPU's heap. */
static PERCPU struct outgoing {
    uintptr_t first, last;
    size_t count, bytes;
} outgoing[CPUS_MAX];

static struct heap *heap_of(unsigned cpu)
{
    return &cpu_variable(cpu, program_heap);
}

static size_t block_bytes(const struct span *span)
{
    return span->class ? span->size : span->slices * SLICE_SIZE;
}

/* ---- to the owners ---- */

void heap_collect(const struct span *span, uintptr_t block)
{
    unsigned owner = heap_owner(span_heap(span));
    struct outgoing *to = &this_cpu(outgoing)[owner];

    if (!to->first) {
        to->last = block;
        this_cpu(heap_to_send) |= 1ull << owner;
    }
    *link_of(block) = to->first;
    to->first = block;
    to->count++;
    to->bytes += block_bytes(span);
}

/* What was collected twice is no end of as many blocks as were collected: of those linked before it some are missing,
 * or it follows on itself. */
static void check_chain(const struct outgoing *chain)
{
    uintptr_t block = chain->first;

    for (size_t left = chain->count; --left > 0; block = *link_of(block)) {
        if (UNLIKELY(block == chain->last))
            heap_misused("free", block);
    }
    if (UNLIKELY(block != chain->last))
        heap_misused("free", block);
}

/* To its span, of a heap whose lock is held: its bytes. */
static size_t give(uintptr_t block)
{
    struct span *span = *heap_span_of_slice(block);

    if (UNLIKELY(!span || !span_holds(span, block)))
        heap_misused("free", block);
    size_t bytes = block_bytes(span);

    if (span->class)
        span_give(span, block);
    else
        span_free_medium(span);
    return bytes;
}

/* To the spans, of any CPU. With the lock of its heap. */
static void give_remote(unsigned cpu)
{
    struct remote *remote = &cpu_variable(cpu, heap_remote);
    size_t bytes = 0;

    for (uintptr_t block = remote_take(remote), next; block; block = next) {
        next = *link_of(block);
        bytes += give(block);
    }
    remote_taken(remote, bytes);
}

void heap_take_remote(void)
{
    struct remote *remote = &this_cpu(heap_remote);
    size_t bytes = 0;

    for (uintptr_t block = remote_take(remote), next; block; block = next) {
        unsigned class = CLASS_AT(*heap_class_of_slice(cpu_number(), block));

        next = *link_of(block);
        if (LIKELY(class != CLASS_NONE)) {
            list_put(&this_cpu(heap_lists)[class], block);
            bytes += size_classes[class].size;
        } else {
            bytes += give(block);
        }
    }
    remote_taken(remote, bytes);
}

/* If it has become much, and the owner is not about to take it, this CPU does its work. */
static void send_to(unsigned cpu)
{
    struct outgoing *from = &this_cpu(outgoing)[cpu];

    check_chain(from);
    this_cpu(heap_freed_elsewhere) += from->count;
    size_t bytes = remote_put(&cpu_variable(cpu, heap_remote), from->first, from->last, from->bytes);

    *from = (struct outgoing){0};
    if (bytes <= REMOTE_MOST || !spin_try(&heap_of(cpu)->lock))
        return;
    give_remote(cpu);
    spin_unlock(&heap_of(cpu)->lock);
}

void heap_send(void)
{
    uint64_t to = this_cpu(heap_to_send);

    this_cpu(heap_to_send) = 0;
    for (; to; to &= to - 1)
        send_to((unsigned)__builtin_ctzll(to));
}

/* ---- from other CPUs ---- */

/* Lists of a CPU: which, and what they were. */
struct lists {
    bool wanted[CLASSES];
    uintptr_t list[CLASSES];
};

/* Those of the CPU it runs on: program code is in no window, or starts again there, and core code that would use them
 * does not have the lock, which is the caller's. */
static void detach(void *argument)
{
    struct lists *lists = argument;

    for (unsigned class = 0; class < CLASSES; class ++) {
        if (!lists->wanted[class])
            continue;
        lists->list[class] = this_cpu(heap_lists)[class];
        this_cpu(heap_lists)[class] = 0;
    }
}

/* All of a list goes to the owners, at once where this CPU has the lock. */
static void collect_list(uintptr_t list)
{
    for (uintptr_t block; (block = list_take(&list));) {
        const struct span *span = heap_is_run(block) ? *heap_span_of_slice(block) : NULL;

        if (UNLIKELY(!span || !span->slices || (!span->class && span->start != block) ||
                     !heap_is_program(span_heap(span))))
            heap_misused("free", block);
        if (spin_is_held(&span_heap(span)->lock))
            give(block);
        else
            heap_collect(span, block);
    }
}

/* The same of what a CPU has in the lists. With the lock of its heap. */
static void collect_from(unsigned cpu, struct lists *lists)
{
    uintptr_t *aside = cpu_variable(cpu, program).aside;

    if (cpu == cpu_number())
        detach(lists);
    else
        cpu_call(1ull << cpu, detach, lists);
    for (unsigned class = 0; class < CLASSES; class ++) {
        if (!lists->wanted[class])
            continue;
        collect_list(lists->list[class]);
        collect_list(aside[class]);
        aside[class] = 0;
    }
}

/* Which lists of the CPU begin with a block of the heap: they may change meanwhile. False: none. */
static __attribute__((no_sanitize("thread"))) bool find_lists(unsigned cpu, const struct heap *heap,
                                                              struct lists *lists)
{
    const volatile uintptr_t *first = cpu_variable(cpu, heap_lists), *aside = cpu_variable(cpu, program).aside;
    bool any = false;

    for (unsigned class = 0; class < CLASSES; class ++) {
        /* In that of CLASS_NONE are objects of all heaps, and what lies behind the first cannot be told. */
        lists->wanted[class] = (class == CLASS_NONE && first[class]) || regions_have(heap, first[class]) ||
                               regions_have(heap, aside[class]);
        any |= lists->wanted[class];
    }
    return any;
}

/* True if a CPU was asked. */
static bool ask_others(const struct heap *heap)
{
    struct lists lists;
    bool asked = false;

    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (cpu == cpu_number() || !find_lists(cpu, heap, &lists) || !spin_try(&heap_of(cpu)->lock))
            continue;
        collect_from(cpu, &lists);
        spin_unlock(&heap_of(cpu)->lock);
        this_cpu(heap_asked)++;
        asked = true;
    }
    return asked;
}

bool heap_ask(struct heap *heap)
{
    size_t used = heap->used, held = heap->held, part = LOOK_PART;

    if (held < ASK_LEAST || held < this_cpu(program).ask_from)
        return false;
    if (ask_others(heap)) {
        part = ASK_PART;
        heap_send();
        give_remote(cpu_number());
    }
    if (used - heap->used > held / ENOUGH_PART)
        held = heap->used;
    this_cpu(program).ask_from = held + held / part;
    return heap->used < used;
}

/* wait: no matter how long; else it is passed over if it is not let go soon: who has it may wait for this CPU. */
static bool lock_heap(unsigned cpu, bool wait)
{
    if (wait) {
        spin_lock(&heap_of(cpu)->lock);
        return true;
    }
    for (unsigned turn = 0; turn < TURNS_MOST; turn++) {
        if (spin_try(&heap_of(cpu)->lock))
            return true;
        cpu_relax();
    }
    return false;
}

/* All is collected before anything is given back, as blocks of one heap are in the lists of all. */
COLD void heap_trim_all(bool wait)
{
    struct lists lists;

    memset(lists.wanted, true, sizeof(lists.wanted));
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (!lock_heap(cpu, wait))
            continue;
        collect_from(cpu, &lists);
        program_free_kept(&cpu_variable(cpu, program));
        spin_unlock(&heap_of(cpu)->lock);
    }
    heap_send();
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (!lock_heap(cpu, wait))
            continue;
        give_remote(cpu);
        regions_trim(heap_of(cpu));
        spin_unlock(&heap_of(cpu)->lock);
    }
}
