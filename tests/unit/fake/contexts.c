/*
 * Contexts of the core's threads (core/context.h), which are stacks of the test, and interrupts: those of the timer and
 * of other CPUs come where the program says fake_program, or while a CPU waits. A handler runs on a stack of the CPU's
 * own; one that leaves it for the program's (context_interrupt_program) never returns.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/context.h"
#include "core/cpu.h"
#include "core/linux/frame.h"
#include "core/percpu.h"
#include "fake.h"

#define STACK ((size_t)64 << 10)

static struct cpu {
    struct fiber home;    /* what plays the CPU */
    struct fiber program; /* that was interrupted */
    struct fiber handler, first;
    char *stack;
    uint64_t alarm;
    void (*function)(void); /* of context_interrupt_program */
    bool pinned;
    bool took_kick; /* the interrupt that was served last */
} cpus[CPUS_MAX];

static void (*on_interrupt)(struct trap_frame *program), (*on_kick)(struct trap_frame *program);
static void (*run_others)(void);
static bool end;

/* ---- contexts ---- */

void context_adopt(struct machine_context *context, uintptr_t low, uintptr_t high)
{
    (void)context, (void)low, (void)high;
}

void context_make(struct machine_context *context, uintptr_t low, uintptr_t high, void (*begin)(void *), void *argument,
                  bool program)
{
    (void)program;
    fiber_make(&context->fiber, (void *)low, high - low, begin, argument);
}

void context_switch(struct machine_context *from, struct machine_context *to)
{
    fiber_switch(&from->fiber, &to->fiber);
}

struct trap_frame *context_program_frame(const struct machine_context *context)
{
    return (struct trap_frame *)context;
}

bool context_is_pinned(void)
{
    return cpus[cpu_number()].pinned;
}

void fake_pin(bool pinned)
{
    cpus[cpu_number()].pinned = pinned;
}

/* ---- interrupts ---- */

void frame_on_interrupt(void (*interrupt)(struct trap_frame *program))
{
    on_interrupt = interrupt;
}

void frame_on_kick(void (*kick)(struct trap_frame *program))
{
    on_kick = kick;
}

bool cpu_set_alarm(uint64_t deadline)
{
    cpus[cpu_number()].alarm = deadline;
    return true;
}

uint64_t fake_alarm(unsigned cpu)
{
    return cpus[cpu].alarm;
}

_Noreturn void context_interrupt_program(const struct trap_frame *program, void (*function)(void))
{
    struct cpu *cpu = &cpus[cpu_number()];

    (void)program;
    cpu->function = function;
    fiber_switch(&cpu->handler, &cpu->program);
    __builtin_unreachable();
}

static void handle(void *program)
{
    struct cpu *cpu = &cpus[cpu_number()];

    cpu->alarm = UINT64_MAX;
    cpu->took_kick = fake_cpu_take_kick();
    (cpu->took_kick ? on_kick : on_interrupt)(program);
    fiber_switch(&cpu->handler, &cpu->program);
}

void fake_interrupt(bool program)
{
    struct cpu *cpu = &cpus[cpu_number()];
    void (*function)(void);

    if (cpu->stack == NULL)
        cpu->stack = malloc(STACK);
    cpu->function = NULL;
    fiber_make(&cpu->handler, cpu->stack, STACK, handle, program ? cpu : NULL);
    fiber_switch(&cpu->program, &cpu->handler);
    function = cpu->function;
    if (function != NULL)
        function();
}

void fake_program(void)
{
    fake_cpu_look();
    if (fake_cpu_is_kicked(cpu_number()) || cpus[cpu_number()].alarm <= clock_monotonic())
        fake_interrupt(true);
}

void fake_contexts_reset(void)
{
    for (struct cpu *cpu = cpus; cpu < cpus + CPUS_MAX; cpu++) {
        cpu->alarm = UINT64_MAX;
        cpu->pinned = false;
    }
    while (fake_cpu_take_kick())
        continue;
}

/* ---- CPUs that threads of the host play ---- */

/* What waits here is the idle thread of the CPU, which stays on it. */
void cpu_wait_until(uint64_t deadline)
{
    struct cpu *cpu = &cpus[cpu_number()];
    struct fiber waiting = {NULL, NULL};

    while (!fake_cpu_take_kick() && clock_monotonic() < deadline) {
        if (__atomic_load_n(&end, __ATOMIC_ACQUIRE))
            fiber_switch(&waiting, &cpu->home);
        if (cpu->alarm <= clock_monotonic()) {
            fake_interrupt(false);
            if (cpu->took_kick) /* as the machine remembers one that comes while it waits */
                return;
        }
        cpu_relax();
    }
}

void cpu_start_others(void (*run)(void))
{
    __atomic_store_n(&run_others, run, __ATOMIC_RELEASE);
}

static void begin(void *function)
{
    ((void (*)(void))function)();
}

static void play(unsigned number, void *first)
{
    struct cpu *cpu = &cpus[number];
    void (*run)(void) = number == 0 ? first : NULL;

    while (run == NULL && !__atomic_load_n(&end, __ATOMIC_ACQUIRE)) {
        cpu_relax();
        run = __atomic_load_n(&run_others, __ATOMIC_ACQUIRE);
    }
    if (run == NULL)
        return;
    fiber_make(&cpu->first, malloc(STACK), STACK, begin, run);
    fiber_switch(&cpu->home, &cpu->first);
}

void fake_threads_run(void (*first)(void))
{
    fake_contexts_reset();
    __atomic_store_n(&end, false, __ATOMIC_RELEASE);
    fake_cpus_run(play, first);
}

void fake_threads_end(void)
{
    __atomic_store_n(&end, true, __ATOMIC_RELEASE);
}
