/*
 * Threads of the program: clone(2) as C libraries call it to make one, the end of a thread, the numbers they go by, and
 * what interrupts them. The stack that the core runs a thread's system calls on lies below the thread's structure, in a
 * segment of the stack driver, so that there is a guard under it; each CPU keeps some for the next threads.
 */
#include "core/linux/thread.h"

#include "core/base/print.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/alarm.h"
#include "core/linux/calls.h"
#include "core/linux/futex.h"
#include "core/linux/lock.h"
#include "core/linux/process.h"
#include "core/linux/signals.h"
#include "core/linux/wait.h"
#include "core/percpu.h"
#include "core/power.h"
#include "vm/fault.h"
#include "vm/space.h"

#define CORE_STACK ((size_t)16384)
#define STACKS_KEPT 8u /* by each CPU */

#define CLONE_VM 0x100u
#define CLONE_FS 0x200u
#define CLONE_FILES 0x400u
#define CLONE_SIGHAND 0x800u
#define CLONE_THREAD 0x10000u
#define CLONE_SETTLS 0x80000u
#define CLONE_PARENT_SETTID 0x100000u
#define CLONE_CHILD_CLEARTID 0x200000u
#define CLONE_CHILD_SETTID 0x1000000u
/* Of a thread; without all of them it would be another process. */
#define CLONE_OF_THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
/* CLONE_SYSVSEM, CLONE_DETACHED, CLONE_IO and CLONE_UNTRACED change nothing here. */
#define CLONE_IGNORED (0x40000u | 0x400000u | 0x80000000u | 0x800000u)
#define CLONE_SIGNAL 0xffu

#define ROBUST_MOST 2048u /* locks of a list, which may be a ring */
#define ROBUST_HEAD_SIZE 24u

extern char __boot_stack[], __boot_stack_end[];

struct linux_thread linux_first_thread;

/* On lines of their own: what every locked call writes, and what threads that come and go write. */
_Alignas(64) struct spinlock_calls linux_lock;
struct thread_list linux_woken;

static struct {
    _Alignas(64) struct linux_thread *last;
    unsigned count, ending; /* ending: they are not counted any more, but have not told it */
    int last_id;
} list = {.last = &linux_first_thread, .count = 1, .last_id = 1};
static int first_status; /* of the program's own thread, if it has ended before others */

static PERCPU struct {
    struct linux_thread *kept; /* of threads that are no more, by `next` */
    unsigned count;
} stacks;

void linux_leave_to_woken(void)
{
    struct thread_list woken = linux_woken;

    linux_woken = (struct thread_list){NULL, NULL};
    spin_unlock(&linux_lock);
    threads_go(&woken);
}

/* ---- the list ---- */

struct linux_thread *linux_thread_next(const struct linux_thread *thread)
{
    return thread == NULL ? &linux_first_thread : thread->next;
}

struct linux_thread *linux_thread_find(int id)
{
    struct linux_thread *thread = &linux_first_thread, *self = linux_thread();

    if (id == 0 || (self != NULL && id == self->id))
        return self;
    while (thread != NULL && thread->id != id)
        thread = thread->next;
    return thread;
}

unsigned linux_thread_count(void)
{
    return __atomic_load_n(&list.count, __ATOMIC_RELAXED) + linux_first_thread.exiting;
}

error_t linux_each_thread(error_t (*visit)(int id, void *argument), void *argument)
{
    error_t error = E_SUCCESS;

    for (const struct linux_thread *thread = &linux_first_thread; thread != NULL && error == E_SUCCESS;
         thread = thread->next)
        error = visit(thread->id, argument);
    return error;
}

bool linux_thread_facts(int id, struct thread_facts *facts)
{
    const struct linux_thread *found = linux_thread_find(id);
    const struct thread *thread = &found->thread;

    if (found == NULL)
        return false;
    *facts = (struct thread_facts){
        .state = found->exiting             ? 'Z'
                 : thread_is_parked(thread) ? 'S'
                                            : 'R',
        .cpu = thread->cpu,
        .cpu_time = thread_cpu_time(thread),
        .waits = thread->left[LEAVE_PARKED],
        .interruptions = thread->left[LEAVE_READY],
        .blocked = found->signals.blocked,
        .pending = found->signals.pending.set,
    };
    return true;
}

/* A CPU that was started without the scheduler has no thread, and nobody who waits. */
void files_note_none(void)
{
    struct linux_thread *self = linux_thread();

    if (LIKELY(self != NULL))
        self->in_use[0] = self->in_use[1] = NULL;
}

void files_set_aside(struct file **files)
{
    const struct linux_thread *self = linux_thread();

    for (unsigned i = 0; i < FILES_IN_USE; i++)
        files[i] = self != NULL ? self->in_use[i] : NULL;
    files_hold(files);
}

void files_take_up(struct file *const *files)
{
    struct linux_thread *self = linux_thread();

    for (unsigned i = 0; self != NULL && i < FILES_IN_USE; i++)
        self->in_use[i] = files[i];
    files_let_go(files);
}

void files_note_use(struct file *file)
{
    struct linux_thread *self = linux_thread();

    if (UNLIKELY(self == NULL))
        return;
    self->in_use[1] = self->in_use[0];
    self->in_use[0] = file;
}

bool linux_thread_is_alone(void)
{
    return __atomic_load_n(&list.count, __ATOMIC_ACQUIRE) == 1 && __atomic_load_n(&list.ending, __ATOMIC_ACQUIRE) == 0;
}

static void add(struct linux_thread *thread)
{
    thread->id = ++list.last_id;
    thread->previous = list.last;
    list.last->next = thread;
    list.last = thread;
    list.count++;
}

static void drop(struct linux_thread *thread)
{
    thread->previous->next = thread->next;
    if (thread->next != NULL)
        thread->next->previous = thread->previous;
    else
        list.last = thread->previous;
}

bool linux_thread_cpu_time(int id, uint64_t *time)
{
    const struct linux_thread *thread = linux_thread_find(id);

    *time = thread != NULL ? thread_cpu_time(&thread->thread) : 0;
    return thread != NULL;
}

/* ---- stacks ---- */

static struct linux_thread *make_stack(void)
{
    size_t size = VM_STACK_GUARD + CORE_STACK + align_up(sizeof(struct linux_thread), VM_PAGE_SIZE);
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_stack, VM_ANYWHERE, size, VM_RW | VM_POPULATE | VM_NOZERO);
    struct linux_thread *thread;

    if (IS_ERR(segment))
        return NULL;
    thread = (struct linux_thread *)(vm_start(segment) + VM_STACK_GUARD + CORE_STACK);
    thread->stack = segment;
    return thread;
}

/* NULL: no memory. */
static struct linux_thread *get_stack(void)
{
    struct linux_thread *thread = this_cpu(stacks).kept;

    if (thread == NULL)
        return make_stack();
    this_cpu(stacks).kept = thread->next;
    this_cpu(stacks).count--;
    return thread;
}

static void put_stack(struct linux_thread *thread)
{
    if (this_cpu(stacks).count == STACKS_KEPT) {
        vm_free(vm_space(), thread->stack);
        return;
    }
    thread->next = this_cpu(stacks).kept;
    this_cpu(stacks).kept = thread;
    this_cpu(stacks).count++;
}

static void gone(struct thread *thread)
{
    struct linux_thread *own = (struct linux_thread *)thread;

    if (own->stack != NULL)
        put_stack(own);
}

/* ---- memory whose driver waits ---- */

/* Behind an access to the program's memory, where the call cannot be made again, and no lock is held. True: the driver
 * has served it meanwhile. */
static bool is_served(error_t error)
{
    struct linux_thread *self = linux_thread();
    uint32_t access = self->fault_access;

    self->fault_access = 0;
    return UNLIKELY(error == E_FAULT && access != 0) && vm_wait_fault(self->fault, access, false) == E_SUCCESS;
}

static error_t read_waiting(void *to, uintptr_t user, size_t length)
{
    error_t error;

    do
        error = user_read(to, (const void *)user, length);
    while (is_served(error));
    return error;
}

static error_t write_waiting(void *user, const void *from, size_t length)
{
    error_t error;

    do
        error = user_write(user, from, length);
    while (is_served(error));
    return error;
}

/* ---- beginning ---- */

struct clone_arguments { /* linux/sched.h */
    uint64_t flags, pidfd, child_id, parent_id, exit_signal, stack, stack_size, tls, set_id, set_id_size, cgroup;
};
#define CLONE_SIZE_FIRST 64u

static error_t read_arguments(const struct trap_frame *call, bool is_clone3, struct clone_arguments *arguments)
{
    size_t size = frame_argument(call, 1);

    memset(arguments, 0, sizeof(*arguments));
    if (!is_clone3) {
        arguments->flags = frame_argument(call, 0) & ~(unsigned long)CLONE_SIGNAL;
        arguments->stack = frame_argument(call, 1);
        arguments->parent_id = frame_argument(call, 2);
        arguments->child_id = frame_argument(call, 3);
        arguments->tls = frame_argument(call, 4);
        return E_SUCCESS;
    }
    if (size < CLONE_SIZE_FIRST)
        return E_INVAL;
    if (size > sizeof(*arguments))
        return E_2BIG;
    return user_read(arguments, (const void *)frame_argument(call, 0), size);
}

static error_t check_arguments(const struct clone_arguments *arguments)
{
    static bool told;
    const uint64_t known = CLONE_OF_THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID |
                           CLONE_CHILD_SETTID | CLONE_IGNORED;

    if ((arguments->flags & CLONE_OF_THREAD) != CLONE_OF_THREAD) {
        if (!told)
            kprintf("quire: system call clone is there for threads only: ENOSYS; there is one process\n");
        told = true;
        return E_NOSYS;
    }
    if ((arguments->flags & ~known) || arguments->set_id_size != 0)
        return E_INVAL;
    return E_SUCCESS;
}

static void interrupt(struct trap_frame *program);

static void begin(struct thread *thread)
{
    struct linux_thread *own = (struct linux_thread *)thread;

    if (own->child_id != NULL)
        write_waiting(own->child_id, &own->id, sizeof(own->id));
    interrupt(context_program_frame(&thread->context));
    context_enter_program(context_program_frame(&thread->context));
}

static void make_thread(struct linux_thread *thread, const struct trap_frame *call,
                        const struct clone_arguments *arguments)
{
    struct linux_thread *parent = linux_thread();
    struct vm_segment *segment = thread->stack;
    uintptr_t low = vm_start(segment) + VM_STACK_GUARD;

    memset(thread, 0, sizeof(*thread));
    thread->stack = segment;
    thread_make(&thread->thread, low, low + CORE_STACK, begin, true);
    thread->thread.affinity = parent->thread.affinity;
    context_set_thread_pointer(&thread->thread.context,
                               arguments->flags & CLONE_SETTLS ? arguments->tls : cpu_thread_pointer());
    frame_make_thread(context_program_frame(&thread->thread.context), call, arguments->stack + arguments->stack_size);
    thread->signals.blocked = parent->signals.blocked;
    thread->signals.alternate.flags = SS_DISABLE;
    memcpy(thread->name, parent->name, sizeof(thread->name));
    thread->scheduling = parent->scheduling;
    if (parent->scheduling.reset_on_fork)
        thread->scheduling =
            (struct thread_scheduling){.nice = parent->scheduling.nice < 0 ? 0 : parent->scheduling.nice};
    if (arguments->flags & CLONE_CHILD_CLEARTID)
        thread->clear_id = (uint32_t *)arguments->child_id;
    if (arguments->flags & CLONE_CHILD_SETTID)
        thread->child_id = (int *)arguments->child_id;
}

long linux_begin_thread(struct trap_frame *call, int is_clone3)
{
    struct clone_arguments arguments;
    struct linux_thread *thread;
    error_t error = read_arguments(call, is_clone3, &arguments);
    int id;

    if (error == E_SUCCESS)
        error = check_arguments(&arguments);
    if (error != E_SUCCESS)
        return -error;
    thread = get_stack();
    if (thread == NULL)
        return -E_AGAIN;
    make_thread(thread, call, &arguments);
    linux_enter();
    scheduler_use_all_cpus();
    add(thread);
    id = thread->id;
    linux_leave();
    if (arguments.flags & CLONE_PARENT_SETTID)
        write_waiting((void *)arguments.parent_id, &id, sizeof(id));
    thread_start(&thread->thread);
    return id;
}

/* ---- ending ---- */

/* The locks of the list that the thread holds (linux/futex.h: struct robust_list_head); the lowest bit of an entry's
 * address says that the lock has inheritance of priorities. */
static void release_one(const struct linux_thread *self, uintptr_t entry, int64_t offset, bool pending)
{
    uintptr_t word = (entry & ~(uintptr_t)1) + (uintptr_t)offset;
    uint32_t value;

    if (read_waiting(&value, word, sizeof(value)) == E_SUCCESS)
        futex_owner_died((uint32_t *)word, (uint32_t)self->id, entry & 1, pending);
}

static void release_robust(struct linux_thread *self)
{
    struct {
        uintptr_t first;
        int64_t offset;
        uintptr_t pending;
    } head;
    uintptr_t entry, next;

    if (self->robust == 0 || read_waiting(&head, self->robust, sizeof(head)) != E_SUCCESS)
        return;
    entry = head.first;
    for (unsigned i = 0; i < ROBUST_MOST && (entry & ~(uintptr_t)1) != self->robust; i++) {
        bool more = read_waiting(&next, entry & ~(uintptr_t)1, sizeof(next)) == E_SUCCESS;

        if (entry != head.pending)
            release_one(self, entry, head.offset, false);
        if (!more)
            break;
        entry = next;
    }
    if (head.pending != 0)
        release_one(self, head.pending, head.offset, true);
}

static void tell_end(const struct linux_thread *self)
{
    const uint32_t zero = 0;

    if (self->clear_id != NULL && write_waiting(self->clear_id, &zero, sizeof(zero)) == E_SUCCESS)
        futex_wake(self->clear_id, 1);
}

/* Signals of the process that it may have been told of are for another one now. */
static void leave_list(struct linux_thread *self, int status)
{
    linux_enter();
    if (list.count == 1)
        power_off((self == &linux_first_thread ? status : first_status) & 0xff);
    __atomic_fetch_add(&list.ending, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&list.count, 1, __ATOMIC_RELEASE);
    self->exiting = true;
    if (self == &linux_first_thread)
        first_status = status;
    else
        drop(self);
    signals_end_thread(&self->signals);
    signals_pass_on(UINT64_MAX);
    linux_leave();
}

_Noreturn void linux_exit(int status)
{
    struct linux_thread *self = linux_thread();

    release_robust(self);
    leave_list(self, status); /* who comes later to wait for a lock of this thread's finds that it has ended */
    futex_thread_ends((uint32_t)self->id);
    tell_end(self);
    __atomic_fetch_sub(&list.ending, 1, __ATOMIC_RELEASE);
    thread_end(gone);
}

/* With the lock, as all ends of the program: what observers write at the end is written by one, and no tick of theirs
 * comes in between. */
_Noreturn void linux_exit_group(int status)
{
    power_off(status & 0xff);
}

/* ---- calls ---- */

long linux_gettid(void)
{
    return linux_thread()->id;
}

long linux_set_tid_address(uint32_t *address)
{
    linux_thread()->clear_id = address;
    return linux_thread()->id;
}

long linux_set_robust_list(uintptr_t head, size_t size)
{
    if (size != ROBUST_HEAD_SIZE)
        return -E_INVAL;
    linux_thread()->robust = head;
    return 0;
}

long linux_get_robust_list(int id, uintptr_t *head, size_t *size)
{
    LINUX_HOLD_IF(linux_thread_is_other(id));
    const size_t head_size = ROBUST_HEAD_SIZE;
    struct linux_thread *thread = linux_thread_find(id);

    if (thread == NULL)
        return -E_SRCH;
    if (user_write(head, &thread->robust, sizeof(thread->robust)) != E_SUCCESS)
        return -E_FAULT;
    return -user_write(size, &head_size, sizeof(head_size));
}

long linux_sched_yield(void)
{
    thread_yield();
    return 0;
}

/* ---- interrupts ---- */

/* Alarms are CPU 0's; signals those of the thread that is interrupted. */
static void interrupt(struct trap_frame *program)
{
    bool due = cpu_number() == 0 && alarm_is_due();

    if (!due && (program == NULL || signals_deliverable() == 0))
        return;
    linux_enter();
    if (due)
        alarm_interrupt(program);
    if (program != NULL && signals_deliverable() != 0)
        signals_deliver(program, false);
    linux_leave();
}

/* ---- faults whose driver waits ---- */

/* The call will fail: nothing of it is done, and it is made again. */
static bool note_fault(uintptr_t address, uint32_t access)
{
    struct linux_thread *thread = linux_thread();

    if (thread->attends)
        return false;
    thread->fault = address;
    thread->fault_access = access;
    this_cpu(linux_attention) |= ATTEND_FAULT;
    return true;
}

/* One that has done something in spite of it has ended. */
void thread_begin_attending(struct trap_frame *call)
{
    struct linux_thread *thread = linux_thread();
    uint32_t access = thread->fault_access;

    thread->attends = true;
    thread->fault_access = 0;
    this_cpu(linux_attention) &= ~(uint32_t)ATTEND_FAULT;
    if (UNLIKELY(access != 0) && frame_result(call) == -E_FAULT &&
        vm_wait_fault(thread->fault, access, false) == E_SUCCESS)
        frame_restart_call(call);
}

void thread_end_attending(void)
{
    linux_thread()->attends = false;
}

/* What was sent to it meanwhile it finds at the end of its call. */
static void arrive(void)
{
    linux_signal_waits(WAIT_FOR_EVER);
}

void linux_threads_init(void)
{
    linux_first_thread.id = 1;
    scheduler_on_interrupt(interrupt);
    scheduler_on_arrival(arrive);
    frame_on_waiting_fault(note_fault);
    scheduler_on_idle(linux_idle);
    scheduler_begin(&linux_first_thread.thread, (uintptr_t)__boot_stack, (uintptr_t)__boot_stack_end);
}
