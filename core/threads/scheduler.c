/*
 * The scheduler. Each CPU has queues of threads that are ready, in the order in which they became so, and runs each
 * for a slice of time. One that waits keeps what is left of its slice, and goes first when it is woken, before those
 * that begin a new one; where it is not the running thread that wakes it, that one is interrupted. So who waits much
 * and computes little gets a CPU at once beside those that compute, and who has used its slice takes its turn. A thread
 * that becomes ready goes to the CPU where it ran last if that is idle (its caches may hold what it needs), else to
 * another one that is, else to where it ran last. A CPU that has nothing to do takes a thread from the queue of another
 * one before it sleeps. The timer of a CPU runs only if there is something that it is for: somebody waits for the CPU,
 * or sleeps until a time.
 *
 * Waiting is parking (after Java's LockSupport): a thread has a permit or not; thread_unpark gives it, thread_park
 * takes it and waits as long as there is none. So who waits says first where it can be found, looks once more whether
 * there is something to wait for, and parks: nothing can be lost in between.
 *
 *     RUNNING ── park ──> PARKING ── off its stack ──> PARKED
 *        ^                   │ unpark                    │ unpark
 *        └──── WOKEN <───────┴───────────────────────────┘        WOKEN: has the permit
 *
 * Nobody may run a thread whose context is not saved yet. The CPU that leaves it says so when it is on the next stack
 * (arrive): only then does the thread go to a queue, or become PARKED; who unparks it before leaves that to this CPU.
 * So no CPU ever waits for another one here.
 *
 * Locks: that of a CPU's scheduler is the last one; only one of them is held at a time.
 */
#include "core/threads/scheduler.h"

#include "core/base/assert.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/frame.h"
#include "core/percpu.h"
#include "vm/frames.h"

#define SLICE_NS 3000000u
#define SLICE_LEAST_NS 50000u /* less is none */
/* Where an interrupt came at a bad moment, in the middle of what the core does, it is tried again so much later. */
#define AGAIN_NS 50000u
#define IDLE_STACK 16384u

enum thread_state { RUNNING, PARKING, PARKED, WOKEN };

struct scheduler {
    struct spinlock_scheduler lock;    /* of the queues and the sleepers */
    struct thread_list resumed, ready; /* with a slice that they have begun, or a new one */
    unsigned length, resumed_length;   /* of both, and of the one; read without the lock, too */
    struct deadline *sleepers;
    struct thread *current, *previous;
    uint64_t began; /* with threads (monotonic); 0: not yet */
    uint64_t slice_end;
    uint64_t armed; /* the timer is set to this time */
    struct scheduler_counts counts;
    struct thread idle;
};

PERCPU struct scheduler scheduler;

/* A bit for each CPU that is about to sleep, or does. Written where a CPU has nothing to do, and by who wakes it. */
static uint64_t idle_cpus;
static uint64_t alarm = UINT64_MAX; /* of CPU 0 */
static void (*on_interrupt)(struct trap_frame *program);
static void (*on_arrival)(void);
static uint64_t (*on_idle)(void);

static inline struct scheduler *own(void)
{
    return &this_cpu(scheduler);
}

static inline uint64_t cpu_bit(unsigned cpu)
{
    return (uint64_t)1 << cpu;
}

static inline bool is_idle(void)
{
    return own()->current == &own()->idle;
}

struct thread *thread_current(void)
{
    return is_idle() ? NULL : own()->current;
}

static inline unsigned length_of(const struct scheduler *queue)
{
    return __atomic_load_n(&queue->length, __ATOMIC_RELAXED);
}

static inline uint64_t affinity_of(const struct thread *thread)
{
    return __atomic_load_n(&thread->affinity, __ATOMIC_RELAXED);
}

/* ---- the timer ---- */

static inline bool has_sleepers(const struct scheduler *self)
{
    return __atomic_load_n(&self->sleepers, __ATOMIC_RELAXED) != NULL;
}

/* With the lock: another CPU may take the first one out, whose thread then ends. */
static uint64_t first_sleeper(struct scheduler *self)
{
    uint64_t time = UINT64_MAX;

    spin_lock(&self->lock);
    if (self->sleepers != NULL)
        time = self->sleepers->time;
    spin_unlock(&self->lock);
    return time;
}

static uint64_t earliest(struct scheduler *self)
{
    uint64_t time = length_of(self) > 0 && !is_idle() ? self->slice_end : UINT64_MAX;

    if (has_sleepers(self)) {
        uint64_t first = first_sleeper(self);

        time = first < time ? first : time;
    }
    if (cpu_number() == 0 && __atomic_load_n(&alarm, __ATOMIC_RELAXED) < time)
        time = __atomic_load_n(&alarm, __ATOMIC_RELAXED);
    return time;
}

/* One that is set too early costs an interrupt, which sets it anew. */
static bool arm(void)
{
    struct scheduler *self = own();
    uint64_t time = earliest(self);

    if (time >= self->armed)
        return true;
    self->armed = time;
    return cpu_set_alarm(time);
}

bool scheduler_set_alarm(uint64_t time)
{
    __atomic_store_n(&alarm, time, __ATOMIC_RELAXED);
    if (cpu_number() == 0)
        return arm();
    cpu_kick(0);
    return true;
}

/* ---- queues ---- */

static void append(struct thread_list *list, struct thread *thread)
{
    thread->next = NULL;
    if (list->first == NULL)
        list->first = thread;
    else
        list->last->next = thread;
    list->last = thread;
}

/* The first thread that one of the CPUs may run, or NULL. */
static struct thread *take_from(struct thread_list *list, uint64_t cpus)
{
    struct thread *before = NULL, *thread = list->first;

    while (thread != NULL && !(affinity_of(thread) & cpus)) {
        before = thread;
        thread = thread->next;
    }
    if (thread == NULL)
        return NULL;
    if (before == NULL)
        list->first = thread->next;
    else
        before->next = thread->next;
    if (list->last == thread)
        list->last = before;
    return thread;
}

/* Whether it goes on with its slice, or begins a new one. */
static bool resumes(struct thread *thread)
{
    uint64_t computed = thread->ran - thread->ran_before;

    if (thread->leaving == LEAVE_PARKED)
        thread->ran_before = thread->ran;
    if (thread->slice >= SLICE_LEAST_NS && computed < SLICE_NS)
        return true;
    thread->slice = SLICE_NS;
    return false;
}

/* Both with the lock. */
static void put(struct scheduler *to, struct thread *thread)
{
    bool resumed = resumes(thread);

    append(resumed ? &to->resumed : &to->ready, thread);
    if (resumed)
        __atomic_store_n(&to->resumed_length, to->resumed_length + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&to->length, to->length + 1, __ATOMIC_RELAXED);
}

static struct thread *take_first(struct scheduler *from, uint64_t cpus)
{
    struct thread *thread = take_from(&from->resumed, cpus);

    if (thread != NULL)
        __atomic_store_n(&from->resumed_length, from->resumed_length - 1, __ATOMIC_RELAXED);
    else
        thread = take_from(&from->ready, cpus);
    if (thread != NULL)
        __atomic_store_n(&from->length, from->length - 1, __ATOMIC_RELAXED);
    return thread;
}

/* An idle CPU of these, which now counts as woken; -1: none is. */
static int claim_idle(uint64_t cpus)
{
    uint64_t idle = __atomic_load_n(&idle_cpus, __ATOMIC_RELAXED) & cpus;

    while (idle != 0) {
        uint64_t bit = idle & -idle;

        if (__atomic_fetch_and(&idle_cpus, ~bit, __ATOMIC_RELAXED) & bit)
            return __builtin_ctzll(bit);
        idle &= ~bit;
    }
    return -1;
}

/* idle: whether it is, or was until now. */
static unsigned choose_cpu(const struct thread *thread, uint64_t affinity, bool *idle)
{
    uint64_t last = affinity & cpu_bit(thread->cpu);
    int found = claim_idle(last);

    if (found < 0)
        found = claim_idle(affinity);
    *idle = found >= 0;
    if (*idle)
        return (unsigned)found;
    return last ? thread->cpu : (unsigned)__builtin_ctzll(affinity);
}

/* One of the CPUs that has become idle since there was none takes what lies in the queues of others (sleep). */
static void kick_idle(uint64_t cpus)
{
    int idle;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what is in the queue is there before it is looked who is idle */
    idle = claim_idle(cpus);
    if (idle >= 0)
        cpu_kick((unsigned)idle);
}

/* Where it is the first of its kind the CPU may sleep, run a thread without a timer, or one that it interrupts. */
static void enqueue(struct thread *thread)
{
    uint64_t affinity = affinity_of(thread);
    bool idle, is_first;
    unsigned cpu = choose_cpu(thread, affinity, &idle);
    struct scheduler *to = &cpu_variable(cpu, scheduler);

    spin_lock(&to->lock);
    is_first = to->length == 0;
    put(to, thread);
    is_first |= to->resumed.first == thread;
    spin_unlock(&to->lock);
    if (is_first && cpu == cpu_number())
        arm();
    else if (is_first)
        cpu_kick(cpu);
    if (!idle)
        kick_idle(affinity & ~cpu_bit(cpu));
}

/* Threads that may not run here any more are passed on. */
static struct thread *take_own(void)
{
    struct scheduler *self = own();

    while (length_of(self) > 0) {
        struct thread *thread;

        spin_lock(&self->lock);
        thread = take_first(self, UINT64_MAX);
        spin_unlock(&self->lock);
        if (thread == NULL || (affinity_of(thread) & cpu_bit(cpu_number())))
            return thread;
        enqueue(thread);
    }
    return NULL;
}

/* From the next CPU that has some. all: queues that others look at just now, too. */
static struct thread *steal(bool all)
{
    unsigned count = cpu_count(), self = cpu_number();

    for (unsigned i = 1; i < count; i++) {
        struct scheduler *from = &cpu_variable((self + i) % count, scheduler);
        struct thread *thread;

        if (length_of(from) == 0)
            continue;
        if (all)
            spin_lock(&from->lock);
        else if (!spin_try(&from->lock))
            continue;
        thread = take_first(from, cpu_bit(self));
        spin_unlock(&from->lock);
        if (thread != NULL)
            return thread;
    }
    return NULL;
}

/* ---- switching ---- */

static inline bool may_run_here(const struct thread *thread)
{
    return (affinity_of(thread) & cpu_bit(cpu_number())) != 0;
}

static inline void start_clock(struct thread *thread, uint64_t now)
{
    __atomic_store_n(&thread->ran, THREAD_RUNS | (now - thread->ran), __ATOMIC_RELEASE);
}

static inline void stop_clock(struct thread *thread, uint64_t now)
{
    __atomic_store_n(&thread->ran, thread_time_at(thread->ran, now), __ATOMIC_RELEASE);
}

static void leave(enum leaving);

/* On the stack of the thread that runs now: the one before has been left. Who sent it a signal or took this CPU from
 * its affinity may have found that it had none. */
static __attribute__((noinline)) void arrive(void)
{
    struct thread *previous = own()->previous;
    uint32_t parking = PARKING;

    switch (previous->leaving) {
    case LEAVE_READY:
        enqueue(previous);
        break;
    case LEAVE_PARKED:
        if (!__atomic_compare_exchange_n(&previous->state, &parking, PARKED, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            enqueue(previous);
        break;
    case LEAVE_FOR_EVER:
        previous->gone(previous);
        break;
    case LEAVE_IDLE:
        break;
    }
    if (is_idle())
        return;
    if (on_arrival != NULL)
        on_arrival();
    if (!may_run_here(own()->current))
        leave(LEAVE_READY);
}

static __attribute__((noinline)) void switch_to(struct thread *next, enum leaving leaving)
{
    struct scheduler *self = own();
    struct thread *previous = self->current;
    uint64_t now = clock_monotonic();

    spin_check_none("a thread is left");
    previous->leaving = leaving;
    previous->left[leaving]++;
    stop_clock(previous, now);
    start_clock(next, now);
    self->counts.migrations += next->cpu != cpu_number();
    self->counts.switches++;
    __atomic_store_n(&next->cpu, cpu_number(), __ATOMIC_RELAXED);
    self->previous = previous;
    __atomic_exchange_n(&self->current, next, __ATOMIC_SEQ_CST); /* before it is looked what else waits for it */
    previous->slice = now < self->slice_end ? self->slice_end - now : 0;
    self->slice_end = now + next->slice;
    if (length_of(self) > 0 || self->armed == UINT64_MAX) /* an interrupt that led here has left the timer to this */
        arm();
    context_switch(&previous->context, &next->context);
    arrive();
}

/* Where no other is ready a thread that could go on does. */
static void leave(enum leaving leaving)
{
    struct thread *next = take_own();
    bool may_stay = leaving == LEAVE_READY && may_run_here(own()->current);

    if (next == NULL && !may_stay)
        next = steal(false);
    if (next == NULL && !may_stay)
        next = &own()->idle;
    if (next != NULL)
        switch_to(next, leaving);
}

void thread_yield(void)
{
    own()->slice_end = 0;
    leave(LEAVE_READY);
}

_Noreturn void thread_end(void (*gone)(struct thread *))
{
    own()->current->gone = gone;
    leave(LEAVE_FOR_EVER);
    __builtin_unreachable();
}

void thread_set_affinity(struct thread *thread, uint64_t cpus)
{
    __atomic_store_n(&thread->affinity, cpus, __ATOMIC_SEQ_CST); /* before it is looked where it runs (switch_to) */
    if (thread != own()->current) {
        thread_interrupt(thread);
        return;
    }
    if (!may_run_here(thread))
        leave(LEAVE_READY);
}

void thread_interrupt(struct thread *thread)
{
    unsigned cpu = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED);

    if (cpu != cpu_number() && __atomic_load_n(&cpu_variable(cpu, scheduler).current, __ATOMIC_RELAXED) == thread)
        cpu_kick(cpu);
}

/* ---- parking ---- */

static void sleep_until(struct thread *thread, uint64_t deadline)
{
    struct scheduler *self = own();

    if (deadline == UINT64_MAX)
        return;
    thread->wake_cpu = cpu_number();
    spin_lock(&self->lock);
    deadline_add(&self->sleepers, &thread->wake, deadline);
    spin_unlock(&self->lock);
    arm();
}

static void sleep_no_more(struct thread *thread)
{
    struct scheduler *on = &cpu_variable(thread->wake_cpu, scheduler);

    if (!__atomic_load_n(&thread->wake.queued, __ATOMIC_ACQUIRE))
        return;
    spin_lock(&on->lock);
    if (thread->wake.queued)
        deadline_remove(&on->sleepers, &thread->wake);
    spin_unlock(&on->lock);
}

/* Gives the permit. True: the thread is the caller's, to be put into a queue. */
static inline bool permit(struct thread *thread)
{
    return __atomic_exchange_n(&thread->state, WOKEN, __ATOMIC_ACQ_REL) == PARKED;
}

static void put_woken(struct thread *thread)
{
    own()->counts.wakes++;
    enqueue(thread);
}

/* Takes out the first one whose time is over, if there is one, with its permit: as soon as it is out it may go on by
 * itself, and end. *woken: one that does not, or NULL. */
static bool wake_first(struct scheduler *self, struct thread **woken)
{
    bool due;

    *woken = NULL;
    spin_lock(&self->lock);
    due = self->sleepers != NULL && self->sleepers->time <= clock_monotonic();
    if (due) {
        struct thread *thread = CONTAINER_OF(self->sleepers, struct thread, wake);

        if (permit(thread))
            *woken = thread;
        deadline_remove(&self->sleepers, &thread->wake);
    }
    spin_unlock(&self->lock);
    return due;
}

/* Wakes those whose time is over. */
static void wake_sleepers(void)
{
    struct thread *woken;

    while (has_sleepers(own()) && wake_first(own(), &woken))
        if (woken != NULL)
            put_woken(woken);
}

/* In a page fault. The permit is taken before the caller looks at what it waits for. */
static __attribute__((noinline, cold)) void park_here(struct thread *thread, uint64_t deadline)
{
    while (__atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) != WOKEN && clock_monotonic() < deadline)
        cpu_relax();
    __atomic_exchange_n(&thread->state, RUNNING, __ATOMIC_ACQUIRE);
}

void thread_park(uint64_t deadline)
{
    struct thread *thread = own()->current;
    uint32_t running = RUNNING;

    if (context_is_pinned()) {
        park_here(thread, deadline);
        return;
    }
    sleep_until(thread, deadline);
    if (__atomic_compare_exchange_n(&thread->state, &running, PARKING, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
        leave(LEAVE_PARKED);
    __atomic_exchange_n(&thread->state, RUNNING, __ATOMIC_ACQUIRE);
    sleep_no_more(thread);
}

void thread_unpark(struct thread *thread)
{
    if (permit(thread))
        put_woken(thread);
}

void thread_unpark_later(struct thread *thread, struct thread_list *woken)
{
    if (permit(thread))
        append(woken, thread);
}

void threads_go(const struct thread_list *woken)
{
    for (struct thread *thread = woken->first, *next; thread != NULL; thread = next) {
        next = thread->next;
        put_woken(thread);
    }
}

bool thread_is_parked(const struct thread *thread)
{
    uint32_t state = __atomic_load_n(&thread->state, __ATOMIC_RELAXED);

    return state == PARKED || state == PARKING;
}

static void begin(void *argument)
{
    struct thread *thread = argument;

    arrive();
    thread->begin(thread);
}

void thread_make(struct thread *thread, uintptr_t low, uintptr_t high, void (*function)(struct thread *), bool program)
{
    *thread = (struct thread){.affinity = UINT64_MAX, .begin = function};
    context_make(&thread->context, low, high, begin, thread, program);
}

void thread_start(struct thread *thread)
{
    thread->cpu = cpu_number();
    thread->state = WOKEN;
    enqueue(thread);
}

/* ---- interrupts ---- */

static void preempted(void)
{
    own()->counts.preemptions++;
    leave(LEAVE_READY);
    arm(); /* where it has not left */
    if (on_interrupt != NULL)
        on_interrupt(context_program_frame(&own()->current->context));
}

static bool others_come_first(const struct scheduler *self, uint64_t now)
{
    return __atomic_load_n(&self->resumed_length, __ATOMIC_RELAXED) > 0 ||
           (length_of(self) > 0 && now >= self->slice_end);
}

/* Of the timer and of other CPUs. */
static void interrupt(struct trap_frame *program)
{
    struct scheduler *self = own();
    bool can = program != NULL || is_idle();
    uint64_t now = clock_monotonic();

    self->armed = UINT64_MAX;
    wake_sleepers();
    if (can && on_interrupt != NULL)
        on_interrupt(program);
    if (program != NULL && (others_come_first(self, now) || !may_run_here(self->current)))
        context_interrupt_program(program, preempted);
    if (!can) {
        self->armed = now + AGAIN_NS;
        cpu_set_alarm(now + AGAIN_NS);
    } else {
        arm();
    }
}

void scheduler_on_interrupt(void (*function)(struct trap_frame *program))
{
    on_interrupt = function;
}

void scheduler_on_arrival(void (*function)(void))
{
    on_arrival = function;
}

void scheduler_on_idle(uint64_t (*function)(void))
{
    on_idle = function;
}

/* ---- CPUs ---- */

/*
 * Sleeps unless something has come in the meantime, to this CPU or to one that is not idle: that thread. Who puts one
 * into a queue after the bit is set kicks. What is due already is done without an interrupt, as none comes where there
 * is no sleep. Before it sleeps the CPU cleans frames, a piece at a time.
 */
static struct thread *sleep(void)
{
    struct scheduler *self = own();
    struct thread *next = NULL;
    uint64_t until;

    if (frames_clean()) {
        cpu_relax();
        return NULL;
    }
    until = cpu_number() == 0 && on_idle != NULL ? on_idle() : UINT64_MAX;
    __atomic_fetch_or(&idle_cpus, cpu_bit(cpu_number()), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&self->length, __ATOMIC_SEQ_CST) == 0 && (next = steal(true)) == NULL) {
        uint64_t time = earliest(self);

        cpu_wait_until(time < until ? time : until);
    }
    __atomic_fetch_and(&idle_cpus, ~cpu_bit(cpu_number()), __ATOMIC_RELAXED);
    cpu_relax();
    interrupt(NULL);
    return next;
}

static _Noreturn void run_threads(void)
{
    for (;;) {
        struct thread *next = take_own();

        if (next == NULL)
            next = steal(false);
        if (next == NULL)
            next = sleep();
        if (next != NULL)
            switch_to(next, LEAVE_IDLE);
    }
}

static void idle(void *argument)
{
    (void)argument;
    arrive();
    run_threads();
}

/* Further CPUs, on the stacks that they were started on. */
static void run_cpu(void)
{
    struct scheduler *self = own();

    self->current = &self->idle;
    self->idle.cpu = cpu_number();
    self->began = clock_monotonic();
    start_clock(&self->idle, self->began);
    self->armed = UINT64_MAX;
    run_threads();
}

void scheduler_begin(struct thread *first, uintptr_t low, uintptr_t high)
{
    static _Alignas(4096) char stack[IDLE_STACK];
    struct scheduler *self = own();

    context_adopt(&first->context, low, high);
    first->affinity = UINT64_MAX;
    self->began = clock_monotonic();
    start_clock(first, self->began);
    self->current = first;
    self->armed = UINT64_MAX;
    context_make(&self->idle.context, (uintptr_t)stack, (uintptr_t)stack + IDLE_STACK, idle, NULL, false);
    frame_on_interrupt(interrupt);
    frame_on_kick(interrupt);
}

void scheduler_use_all_cpus(void)
{
    cpu_start_others(run_cpu);
}

/* What the thread had run at a moment, which goes into *now: it may get or leave a CPU meanwhile. */
static uint64_t cpu_time_at(const struct thread *thread, uint64_t *now)
{
    uint64_t ran;

    do {
        ran = __atomic_load_n(&thread->ran, __ATOMIC_ACQUIRE);
        *now = clock_monotonic();
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&thread->ran, __ATOMIC_RELAXED) != ran);
    return thread_time_at(ran, *now);
}

uint64_t thread_cpu_time(const struct thread *thread)
{
    uint64_t now;

    return cpu_time_at(thread, &now);
}

uint64_t scheduler_busy_time(unsigned cpu)
{
    const struct scheduler *of = &cpu_variable(cpu, scheduler);
    uint64_t now, idle = cpu_time_at(&of->idle, &now), passed = now - of->began;

    return of->began != 0 && passed > idle ? passed - idle : 0;
}

struct scheduler_counts scheduler_counts(unsigned cpu)
{
    return cpu_variable(cpu, scheduler).counts;
}

const struct thread *scheduler_current(unsigned cpu)
{
    const struct scheduler *of = &cpu_variable(cpu, scheduler);
    const struct thread *current = __atomic_load_n(&of->current, __ATOMIC_RELAXED);

    return current == &of->idle ? NULL : current;
}

int thread_runs_on(const struct thread *thread)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (scheduler_current(cpu) == thread)
            return (int)cpu;
    return -1;
}

bool thread_waits(const struct thread *thread)
{
    return thread->state == PARKED || thread->state == PARKING;
}
