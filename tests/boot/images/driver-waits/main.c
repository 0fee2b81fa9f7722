/*
 * A segment driver whose faults wait (VM_DRIVER_WAITS): another thread of the program fetches each page and takes its
 * time. What the program and the core touch is there afterwards, other threads run meanwhile, and a segment that is
 * freed or changed while its driver waits stays until it has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/base/error.h"
#include "vm/driver.h"

#define PAGES 32u
#define READERS 4u
#define FETCH_NS 2000000

static void show(const char *what, long value)
{
    printf("%s: %ld\n", what, value);
}

static void sleep_ns(long ns)
{
    nanosleep(&(struct timespec){0, ns}, NULL);
}

/* ---- the driver ---- */

static sem_t wanted, fetched;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static atomic_int refuse, in_driver, most_in_driver;
static sem_t hold; /* faults wait here, too, while it is in use */
static atomic_int held;

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

/* The other thread fetches pages one after the other, and backs none: that is done here, for one fault at a time. */
static error_t serve(struct address_space *space, struct vm_segment *segment)
{
    vaddr_t page = vm_fault_info()->address & ~(VM_PAGE_SIZE - 1);
    int inside = atomic_fetch_add(&in_driver, 1) + 1;
    error_t error;

    if (inside > most_in_driver)
        most_in_driver = inside;
    if (held)
        wait_for(&hold);
    sleep_ns(FETCH_NS);
    pthread_mutex_lock(&one_at_a_time);
    sem_post(&wanted);
    wait_for(&fetched);
    error = refuse ? E_FAULT : vm_segment_back(space, segment, page);
    if (error == E_SUCCESS)
        *(vaddr_t *)page = page;
    pthread_mutex_unlock(&one_at_a_time);
    atomic_fetch_sub(&in_driver, 1);
    return error;
}

static atomic_int freed;

static void end(struct address_space *space, struct vm_segment *segment)
{
    freed++;
    vm_segment_free_owned(space, segment);
}

static struct vm_segment *begin(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags);

static const struct vm_segment_driver slow = {
    .vm_alloc = begin,
    .vm_free = end,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = serve,
    .split = vm_segment_split_nothing,
    .protect = vm_segment_protect_mapped,
    .name = "slow",
    .properties = VM_DRIVER_WAITS,
};

static struct vm_segment *begin(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(space, &slow, start, size, flags);
}

static void *fetch(void *unused)
{
    (void)unused;
    for (;;) {
        wait_for(&wanted);
        sleep_ns(FETCH_NS);
        sem_post(&fetched);
    }
}

static struct vm_segment *make(void)
{
    return vm_alloc(vm_space(), &slow, VM_ANYWHERE, PAGES * VM_PAGE_SIZE, VM_RW);
}

static volatile vaddr_t *page_of(struct vm_segment *segment, unsigned i)
{
    return (volatile vaddr_t *)(vm_start(segment) + i * VM_PAGE_SIZE);
}

/* ---- what touches it ---- */

static atomic_ulong turns;
static atomic_bool stop;

static void *turn(void *unused)
{
    (void)unused;
    while (!stop)
        turns++;
    return NULL;
}

static void *read_all(void *argument)
{
    struct vm_segment *segment = argument;
    unsigned long right = 0;

    for (unsigned i = 0; i < PAGES; i++)
        right += *page_of(segment, i) == vm_start(segment) + i * VM_PAGE_SIZE;
    return (void *)right;
}

/* The program touches: vector registers are as before, and another thread has run meanwhile. */
static void by_program(void)
{
    struct vm_segment *segment = make();
    double before = 1.5, after;
    unsigned long ran = turns;

    __asm__ volatile("movsd %1, %%xmm15\n\tmovq (%2), %%rax\n\tmovsd %%xmm15, %0"
                     : "=m"(after)
                     : "m"(before), "r"(page_of(segment, 0))
                     : "rax", "xmm15", "memory");
    show("vectors are as before", after == before);
    show("pages are right", (long)read_all(segment));
    show("others ran", turns > ran);
    vm_free(vm_space(), segment);
    show("freed", freed);
}

static void by_many(void)
{
    struct vm_segment *segment = make();
    pthread_t readers[READERS];
    long right = 0;

    most_in_driver = 0;
    for (unsigned i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_all, segment);
    for (unsigned i = 0; i < READERS; i++) {
        void *result;

        pthread_join(readers[i], &result);
        right += (long)result;
    }
    show("pages are right, of all", right);
    show("several faults at once", most_in_driver > 1);
    vm_free(vm_space(), segment);
}

/* The core touches, in calls. */
static void by_calls(void)
{
    struct vm_segment *segment = make();
    char *memory = (char *)vm_start(segment);
    unsigned long ran;
    struct iovec parts[2] = {{memory, 10}, {memory + 3 * VM_PAGE_SIZE, 10}};
    int ends[2];

    if (pipe(ends) != 0)
        return;
    show("write to a pipe", write(ends[1], "0123456789abcdefghij", 20));
    ran = turns;
    show("read across two pages", read(ends[0], memory + VM_PAGE_SIZE - 4, 8));
    show("others ran", turns > ran);
    printf("%.8s\n", memory + VM_PAGE_SIZE - 4);
    show("as far as it was there", readv(ends[0], parts, 2));
    show("the rest", read(ends[0], parts[1].iov_base, parts[1].iov_len));
    printf("%.10s%.2s\n", memory, memory + 3 * VM_PAGE_SIZE);
    show("write of pages that are not there", write(ends[1], memory + 5 * VM_PAGE_SIZE, sizeof(vaddr_t)));
    vaddr_t word = 0;

    show("read again", read(ends[0], &word, sizeof(word)));
    show("is that page's", word == vm_start(segment) + 5 * VM_PAGE_SIZE);
    show("a time", clock_gettime(CLOCK_MONOTONIC_RAW, (struct timespec *)(memory + 7 * VM_PAGE_SIZE)));
    show("one more", write(ends[1], "+", 1));
    refuse = 1;
    show("refused", read(ends[0], memory + 9 * VM_PAGE_SIZE, 1));
    show("and written", write(ends[1], memory + 9 * VM_PAGE_SIZE, 1));
    show("with", errno);
    refuse = 0;
    vm_free(vm_space(), segment);
    close(ends[0]);
    close(ends[1]);
}

static sigjmp_buf back;
static volatile void *address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    address = info->si_addr;
    siglongjmp(back, 1);
}

static atomic_int alarms;

static void on_signal(int signal)
{
    (void)signal;
    alarms++;
}

/* Signals: what the driver refuses is one, and others come when the fault is served. */
static void with_signals(void)
{
    struct vm_segment *segment = make();
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
    refuse = 1;
    if (sigsetjmp(back, 1) == 0)
        *page_of(segment, 3) = 1;
    refuse = 0;
    show("refused at", (long)((const char *)address - (const char *)vm_start(segment)));
    signal(SIGSEGV, SIG_DFL);
    signal(SIGALRM, on_signal);
    ualarm(1000, 0);
    *page_of(segment, 4) = 1;
    show("alarms", alarms);
    vm_free(vm_space(), segment);
}

static void *touch_first(void *argument)
{
    *page_of(argument, 0) = 1;
    return NULL;
}

static void *touch_refused(void *argument)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(back, 1) == 0)
        *page_of(argument, 0) = 1;
    return (void *)1;
}

static pthread_t touch_held(void *(*touch)(void *), struct vm_segment *segment)
{
    pthread_t thread;

    held = 1;
    pthread_create(&thread, NULL, touch, segment);
    while (in_driver == 0)
        sleep_ns(FETCH_NS);
    return thread;
}

static void let_go(pthread_t thread)
{
    held = 0;
    sem_post(&hold);
    pthread_join(thread, NULL);
}

/* While the driver waits. */
static void changed_meanwhile(void)
{
    struct vm_segment *segment = make();
    vaddr_t start = vm_start(segment);
    pthread_t thread = touch_held(touch_first, segment);
    int before = freed;

    show("resized", vm_resize(vm_space(), segment, 2 * PAGES * VM_PAGE_SIZE));
    show("cut", vm_unmap(vm_space(), start + VM_PAGE_SIZE, VM_PAGE_SIZE));
    show("shortened", vm_unmap(vm_space(), start + VM_PAGE_SIZE, (PAGES - 1) * VM_PAGE_SIZE));
    show("unmapped", vm_unmap(vm_space(), start, PAGES * VM_PAGE_SIZE));
    show("protected", vm_protect(vm_space(), start, PAGES * VM_PAGE_SIZE, VM_RW));
    let_go(thread);
    show("resized afterwards", vm_resize(vm_space(), segment, 2 * VM_PAGE_SIZE));
    vm_free(vm_space(), segment);
    show("freed", freed - before);
    segment = make();
    start = vm_start(segment);
    thread = touch_held(touch_refused, segment);
    vm_free(vm_space(), segment);
    show("freed while it waits", freed - before);
    let_go(thread);
    show("freed afterwards", freed - before);
    show("is gone", vm_find(vm_space(), start) == NULL);
}

/* ---- where a thread's number goes ---- */

#define THREAD                                                                                                         \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID |          \
     CLONE_CHILD_SETTID)

static atomic_int began;

/* Its end clears the second page's first word, which nobody has touched. */
static int end_there(void *segment)
{
    syscall(SYS_set_tid_address, page_of(segment, 2));
    began = 1;
    syscall(SYS_exit, 0);
    return 0;
}

static void numbers_of_threads(void)
{
    static _Alignas(16) char stack[65536];
    struct vm_segment *segment = make();
    volatile int *parent = (volatile int *)(page_of(segment, 0) + 1),
                 *child = (volatile int *)(page_of(segment, 1) + 1);
    int id = clone(end_there, stack + sizeof(stack), THREAD, segment, (void *)parent, NULL, (void *)child);

    while (!began)
        sleep_ns(FETCH_NS);
    show("told to who made it", *parent == id);
    show("told to itself", *child == id);
    for (unsigned i = 0; i < 100 && *(volatile int *)page_of(segment, 2) != 0; i++)
        sleep_ns(FETCH_NS);
    show("cleared at the end", *(volatile int *)page_of(segment, 2) == 0);
    vm_free(vm_space(), segment);
    freed = 0;
}

int main(void)
{
    pthread_t fetcher, turner;
    const char *wrong;

    sem_init(&wanted, 0, 0);
    sem_init(&fetched, 0, 0);
    sem_init(&hold, 0, 0);
    show("registered", vm_driver_register(&slow));
    pthread_create(&fetcher, NULL, fetch, NULL);
    pthread_create(&turner, NULL, turn, NULL);
    numbers_of_threads();
    by_program();
    by_many();
    by_calls();
    with_signals();
    changed_meanwhile();
    stop = true;
    pthread_join(turner, NULL);
    wrong = vm_validate(vm_space());
    printf("address space: %s\n", wrong ? wrong : "sound");
    return 0;
}
