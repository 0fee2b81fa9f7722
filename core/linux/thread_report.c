/*
 * What a report says of threads (core/panic.h): what each other CPU ran when it was stopped, and where each thread is.
 * The list may be damaged, or in the middle of a change, and no lock is taken: of a thread all that is used is a copy,
 * of which only what is checked leads on.
 *
 *     quire: CPU 1: thread 2 (name) in futex(0x7f001234)
 *     quire:   ADDRESS NAME+OFFSET                        where it was, and what that returns to
 *     quire: thread 1 (name): waits in futex(0x7f001234), 0.012 s of CPU time
 *     quire:   ADDRESS NAME+OFFSET                        the program's
 */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/table.h"
#include "core/linux/thread.h"
#include "core/panic.h"
#include "core/symbols.h"

#define FULL 16         /* CPUs, and threads, that are shown with their callers */
#define LINES 64        /* threads that are shown */
#define CALLERS 8       /* of each */
#define THREADS 1000000 /* more are a ring */
#define MILLISECOND 1000000u

static struct linux_thread seen; /* the copy: large for a stack, and the others are stopped */

static bool look_at(const struct linux_thread *thread)
{
    return panic_peek((uintptr_t)thread, &seen, sizeof(seen));
}

/* What the program has set may be anything; as long as it has not, it is the image's (core/linux/prctl.c). */
static const char *name_of(const struct linux_thread *thread)
{
    static char name[THREAD_NAME_SIZE];

    if (thread->name[0] == '\0' && thread->name[1] == '\0')
        return quire_config.name;

    for (size_t i = 0; i + 1 < sizeof(name); i++)
        name[i] = thread->name[i] == '\0' || (thread->name[i] >= ' ' && thread->name[i] <= '~') ? thread->name[i] : '?';
    return name;
}

static void print_trace(const struct panic_place *place)
{
    static struct panic_frame trace[PANIC_TRACE_MAX];
    size_t count = panic_trace(place, trace);

    panic_print_place(place->instruction, false, true);
    for (size_t i = 0; i < count && i + 1 < CALLERS; i++)
        panic_print_place(trace[i].address, true, trace[i].certain);
}

/* The name of a call is that of its function, linux_NAME. */
static bool name_call(unsigned long number, char *name, size_t size, size_t *start)
{
    const char prefix[] = "linux_";
    size_t offset;

    *start = sizeof(prefix) - 1;
    return number < LINUX_SYSCALL_COUNT && symbol_lookup((uintptr_t)linux_call_function(number), name, size, &offset) &&
           offset == 0 && memcmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static void print_inside(const struct panic_place *place)
{
    char name[SYMBOL_NAME_MAX];
    size_t start;

    if (place->inside == INSIDE_FAULT)
        kprintf(" in a page fault at 0x%lx", place->argument);
    if (place->inside != INSIDE_CALL)
        return;
    if (name_call(place->call, name, sizeof(name), &start))
        kprintf(" in %s(0x%lx)", name + start, place->argument);
    else
        kprintf(" in system call %lu(0x%lx)", place->call, place->argument);
}

/* ---- CPUs ---- */

static void print_cpu(unsigned cpu, bool full)
{
    const struct thread *current = scheduler_current(cpu);
    bool known = current != NULL && look_at((const struct linux_thread *)current);
    struct panic_place place;

    if (current == NULL)
        seen.thread.context.program = false;
    kprintf("quire: CPU %u: ", cpu);
    if (known)
        kprintf("thread %d (%s)", seen.id, name_of(&seen));
    else
        kprintf("%s", current == NULL ? "no thread" : "a thread that is damaged");
    if (!panic_stopped_at(cpu, &seen.thread.context, &place)) {
        kprintf(", did not stop\n");
        return;
    }
    print_inside(&place);
    kprintf("%s\n", panic_is_asleep(&place) ? ", asleep" : "");
    if (full && !panic_is_asleep(&place))
        print_trace(&place);
}

static void print_cpus(void)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (cpu != cpu_number())
            print_cpu(cpu, cpu < FULL);
}

/* ---- threads ---- */

/* seen, which is the copy of it. */
static void print_thread(const struct linux_thread *thread, bool full)
{
    int cpu = thread_runs_on(&thread->thread);
    unsigned long time = (unsigned long)(thread_time_at(seen.thread.ran, clock_monotonic()) / MILLISECOND);
    struct panic_place place;

    kprintf("quire: thread %d (%s): ", seen.id, name_of(&seen));
    if (cpu >= 0) {
        kprintf("%s on CPU %d", (unsigned)cpu == cpu_number() ? "this one," : "runs", cpu);
    } else {
        panic_left_at(&seen.thread.context, &place);
        if (thread_waits(&seen.thread))
            kprintf("waits");
        else
            kprintf("ready for CPU %u", seen.thread.cpu);
        print_inside(&place);
    }
    kprintf("%s, %lu.%03lu s of CPU time\n", seen.exiting ? ", ending" : "", time / 1000, time % 1000);
    if (full && cpu < 0)
        print_trace(&place);
}

static void print_threads(void)
{
    const struct linux_thread *thread = &linux_first_thread;
    size_t count = 0;

    for (; thread != NULL && count < THREADS; count++) {
        if (!look_at(thread)) {
            kprintf("quire: the list of threads is damaged: there is none at %p\n", (const void *)thread);
            break;
        }
        if (count < LINES)
            print_thread(thread, count < FULL);
        thread = seen.next;
    }
    if (count > LINES)
        kprintf("quire: and %zu more threads%s\n", count - LINES, count == THREADS ? " or a ring of them" : "");
}

/* A program with one thread has nothing to be told. */
void panic_print_threads(void)
{
    if (linux_first_thread.next == NULL && cpu_count() == 1)
        return;
    print_cpus();
    print_threads();
}
