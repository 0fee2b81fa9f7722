/*
 * Several CPUs: threads of the host, each with a per-CPU block of its own. What they ask of each other (core/cpu.h) is
 * done where the one who is asked looks, in cpu_relax or fake_cpu_look, or when it is not running.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "core/symbols.h"
#include "fake.h"

#define CPUS 64u

extern char __start_percpu[], __stop_percpu[];

_Thread_local uintptr_t fake_percpu_offset;
char fake_percpu_memory;

#if QUIRE_THREADS

PERCPU unsigned percpu_number;
uintptr_t percpu_offsets[CPUS_MAX];

struct request {
    void (*function)(void *);
    void *argument;
    unsigned left; /* CPUs that have not run it */
};

static unsigned cpus = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static struct request *asked[CPUS][CPUS];                /* of each CPU by each other */
static bool running[CPUS];
static size_t kicks[CPUS];
static bool kicked[CPUS];
static unsigned pending[CPUS]; /* atomic: whether there is anything in `asked` */

unsigned cpu_count(void)
{
    return cpus;
}

void fake_cpus(unsigned count)
{
    size_t size = (size_t)(__stop_percpu - __start_percpu);

    if (count == 0 || count > CPUS)
        fake_violation("%u CPUs", count);
    for (; cpus < count; cpus++) {
        char *block = aligned_alloc(64, align_up(size, 64));

        memset(block, 0, size);
        percpu_offsets[cpus] = (uintptr_t)block - (uintptr_t)__start_percpu;
        cpu_variable(cpus, percpu_number) = cpus;
    }
}

/* With the lock held. */
static void serve(unsigned cpu)
{
    __atomic_store_n(&pending[cpu], 0, __ATOMIC_RELAXED);
    for (unsigned by = 0; by < cpus; by++) {
        struct request *request = asked[cpu][by];

        if (request == NULL)
            continue;
        asked[cpu][by] = NULL;
        request->function(request->argument);
        __atomic_fetch_sub(&request->left, 1, __ATOMIC_RELEASE);
    }
}

void fake_cpu_look(void)
{
    unsigned cpu = cpu_number();

    if (__atomic_load_n(&pending[cpu], __ATOMIC_RELAXED) == 0)
        return;
    pthread_mutex_lock(&lock);
    serve(cpu);
    pthread_mutex_unlock(&lock);
}

void cpu_relax(void)
{
    fake_cpu_look();
    sched_yield();
}

/* For one that does not run: on its block. */
static void serve_for(unsigned cpu)
{
    uintptr_t own = fake_percpu_offset;

    fake_percpu_offset = percpu_offsets[cpu];
    serve(cpu);
    fake_percpu_offset = own;
}

void cpu_call(uint64_t mask, void (*function)(void *), void *argument)
{
    struct request request = {.function = function, .argument = argument};
    unsigned self = cpu_number();

    pthread_mutex_lock(&lock);
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        if (cpu == self || !(mask >> cpu & 1))
            continue;
        asked[cpu][self] = &request;
        __atomic_fetch_add(&request.left, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&pending[cpu], 1, __ATOMIC_RELAXED);
        if (!running[cpu])
            serve_for(cpu);
    }
    pthread_mutex_unlock(&lock);
    while (__atomic_load_n(&request.left, __ATOMIC_ACQUIRE) > 0)
        cpu_relax();
}

static _Thread_local bool inside_core;

void fake_cpu_inside_core(bool inside)
{
    inside_core = inside;
}

bool cpu_is_inside_core(void)
{
    return inside_core && running[cpu_number()];
}

uint64_t cpu_interrupts_off(void)
{
    return 0;
}

void cpu_interrupts_restore(uint64_t before)
{
    (void)before;
}

static _Thread_local bool interrupts_on, handler;

void fake_cpu_interrupts(bool on, bool in_handler)
{
    interrupts_on = on;
    handler = in_handler;
}

bool cpu_interrupts_were_on(uint64_t before)
{
    (void)before;
    return interrupts_on;
}

bool cpu_is_handler_in_core(void)
{
    return handler;
}

/* A test may have a clock of its own. */
__attribute__((weak)) uint64_t clock_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* There are no names of functions. */
bool symbol_lookup(uintptr_t address, char *name, size_t size, size_t *offset)
{
    (void)address, (void)name, (void)size, (void)offset;
    return false;
}

bool cpu_others_stopped(void)
{
    return false;
}

void cpu_kick(unsigned cpu)
{
    __atomic_fetch_add(&kicks[cpu], 1, __ATOMIC_RELAXED);
    __atomic_exchange_n(&kicked[cpu], true, __ATOMIC_ACQ_REL);
}

bool fake_cpu_is_kicked(unsigned cpu)
{
    return __atomic_load_n(&kicked[cpu], __ATOMIC_RELAXED);
}

bool fake_cpu_take_kick(void)
{
    return fake_cpu_is_kicked(cpu_number()) && __atomic_exchange_n(&kicked[cpu_number()], false, __ATOMIC_ACQ_REL);
}

size_t fake_cpu_kicks(unsigned cpu)
{
    return __atomic_load_n(&kicks[cpu], __ATOMIC_RELAXED);
}

/* ---- threads that play CPUs ---- */

struct play {
    unsigned cpu;
    void (*function)(unsigned cpu, void *argument);
    void *argument;
    pthread_t thread;
};

static void set_running(unsigned cpu, bool on)
{
    pthread_mutex_lock(&lock);
    if (!on)
        serve(cpu);
    running[cpu] = on;
    pthread_mutex_unlock(&lock);
}

void fake_cpu_be(unsigned cpu)
{
    fake_percpu_offset = percpu_offsets[cpu];
}

static void *play(void *argument)
{
    struct play *own = argument;

    fake_cpu_be(own->cpu);
    set_running(own->cpu, true);
    own->function(own->cpu, own->argument);
    set_running(own->cpu, false);
    return NULL;
}

void fake_cpus_run(void (*function)(unsigned cpu, void *argument), void *argument)
{
    struct play plays[CPUS];

    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        plays[cpu] = (struct play){.cpu = cpu, .function = function, .argument = argument};
        if (pthread_create(&plays[cpu].thread, NULL, play, &plays[cpu]) != 0)
            fake_violation("the host has no thread for CPU %u", cpu);
    }
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        pthread_join(plays[cpu].thread, NULL);
}

#endif
