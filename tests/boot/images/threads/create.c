/* Threads come and go: results, attributes, stacks, identities, many of them. */
#include "threads.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define MANY 3000u
#define TOGETHER 500u
#define SMALL_STACK (64ul << 10)

/* ---- one thread ---- */

static void *returns_argument(void *argument)
{
    return argument;
}

static void *exits_deep(void *argument)
{
    char frame[64];

    if ((uintptr_t)argument % 16 == 0)
        pthread_exit(argument);
    memset(frame, (int)(uintptr_t)argument, sizeof(frame));
    exits_deep((void *)((uintptr_t)argument - 1));
    return frame[5] ? NULL : argument;
}

static void check_results(void)
{
    SHOW((uintptr_t)finish(start(returns_argument, (void *)42)));
    SHOW((uintptr_t)finish(start(exits_deep, (void *)27)));
    YES("the same thread is equal", pthread_equal(pthread_self(), pthread_self()));
}

struct slow {
    sem_t go;
    pthread_t itself;
};

static void *waits_for_go(void *argument)
{
    struct slow *slow = argument;

    slow->itself = pthread_self();
    wait_sem(&slow->go);
    return slow;
}

static void check_joins(void)
{
    struct slow slow;
    struct timespec soon = in_ms(CLOCK_REALTIME, 20), later = in_ms(CLOCK_REALTIME, 100000);
    void *result = NULL;

    sem_init(&slow.go, 0, 0);
    pthread_t thread = start(waits_for_go, &slow);

    SHOW(pthread_tryjoin_np(thread, &result));
    SHOW(pthread_timedjoin_np(thread, &result, &soon));
    sem_post(&slow.go);
    SHOW(pthread_timedjoin_np(thread, &result, &later));
    YES("joined result", result == &slow);
    YES("a thread knows itself", pthread_equal(slow.itself, thread));
}

/* ---- detached ---- */

static sem_t detached_ran;

static void *tells_it_ran(void *unused)
{
    (void)unused;
    sem_post(&detached_ran);
    return NULL;
}

static void check_detached(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int state = -1;

    sem_init(&detached_ran, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_getdetachstate(&attributes, &state);
    YES("joinable without more", state == PTHREAD_CREATE_JOINABLE);
    SHOW(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
    SHOW(pthread_attr_setdetachstate(&attributes, 7));
    for (int i = 0; i < 100; i++)
        must(pthread_create(&thread, &attributes, tells_it_ran, NULL), "pthread_create, detached");
    for (int i = 0; i < 100; i++)
        must(pthread_detach(start(tells_it_ran, NULL)), "pthread_detach");
    for (int i = 0; i < 200; i++)
        wait_sem(&detached_ran);
    puts("200 detached threads ran");
    pthread_attr_destroy(&attributes);
}

/* ---- stacks ---- */

struct stack_seen {
    char *local;
    char *base;
    size_t size, guard;
};

static void *looks_at_stack(void *argument)
{
    struct stack_seen *seen = argument;
    pthread_attr_t attributes;
    char local[256];
    void *base;

    memset(local, 1, sizeof(local));
    seen->local = local;
    must(pthread_getattr_np(pthread_self(), &attributes), "pthread_getattr_np");
    pthread_attr_getstack(&attributes, &base, &seen->size);
    pthread_attr_getguardsize(&attributes, &seen->guard);
    seen->base = base;
    pthread_attr_destroy(&attributes);
    return NULL;
}

static bool inside(const struct stack_seen *seen)
{
    return seen->local >= seen->base && seen->local < seen->base + seen->size;
}

static void *uses_stack(void *argument)
{
    size_t size = (size_t)(uintptr_t)argument;
    volatile char area[size];
    size_t sum = 0;

    for (size_t i = 0; i < size; i += PAGE)
        area[i] = (char)(i / PAGE);
    for (size_t i = 0; i < size; i += PAGE)
        sum += area[i] == (char)(i / PAGE);
    return (void *)sum;
}

static void run_with(pthread_attr_t *attributes, void *(*function)(void *), void *argument, void **result)
{
    pthread_t thread;

    must(pthread_create(&thread, attributes, function, argument), "pthread_create, with attributes");
    must(pthread_join(thread, result), "pthread_join");
}

static void check_stacks(void)
{
    pthread_attr_t attributes;
    struct stack_seen seen;
    size_t size = 0;
    void *result;

    pthread_attr_init(&attributes);
    SHOW(pthread_attr_setstacksize(&attributes, 1));
    SHOW(pthread_attr_setstacksize(&attributes, 1 << 20));
    SHOW(pthread_attr_setguardsize(&attributes, 3 * PAGE));
    pthread_attr_getstacksize(&attributes, &size);
    SHOW(size);
    run_with(&attributes, looks_at_stack, &seen, &result);
    YES("locals are on the stack", inside(&seen));
    YES("the stack has its size", seen.size >= (1 << 20) - 3 * PAGE && seen.size < 2 << 20);
    SHOW(seen.guard / PAGE);
    run_with(&attributes, uses_stack, (void *)(uintptr_t)(900 << 10), &result);
    SHOW((uintptr_t)result);
    SHOW(pthread_attr_setstacksize(&attributes, 32 << 20));
    run_with(&attributes, uses_stack, (void *)(uintptr_t)(24 << 20), &result);
    SHOW((uintptr_t)result);
    pthread_attr_destroy(&attributes);
}

static void check_own_stack(void)
{
    size_t size = 256 << 10;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_t attributes;
    struct stack_seen seen;
    void *result;

    pthread_attr_init(&attributes);
    SHOW(pthread_attr_setstack(&attributes, memory, size));
    for (int i = 0; i < 20; i++)
        run_with(&attributes, looks_at_stack, &seen, &result);
    YES("20 threads on a stack of the program's", seen.local >= memory && seen.local < memory + size);
    run_with(&attributes, uses_stack, (void *)(uintptr_t)(160 << 10), &result);
    SHOW((uintptr_t)result);
    pthread_attr_destroy(&attributes);
    SHOW_ERRNO(munmap(memory, size));
}

static void check_main_stack(void)
{
    struct stack_seen seen;

    looks_at_stack(&seen);
    YES("main's locals are on its stack", inside(&seen));
}

/* ---- identities ---- */

struct identity {
    sem_t told, go;
    atomic_int tid;
};

static void *tells_tid(void *argument)
{
    struct identity *identity = argument;

    atomic_store(&identity->tid, (int)syscall(SYS_gettid));
    sem_post(&identity->told);
    wait_sem(&identity->go);
    return (void *)(uintptr_t)(getpid() == (int)syscall(SYS_gettid));
}

static void check_identities(void)
{
    struct identity one;
    int pid = getpid();

    sem_init(&one.told, 0, 0);
    sem_init(&one.go, 0, 0);
    YES("main's number is the process's", pid == (int)syscall(SYS_gettid));
    pthread_t thread = start(tells_tid, &one);

    wait_sem(&one.told);
    int tid = atomic_load(&one.tid);

    YES("another thread has another", tid > 0 && tid != pid);
    SHOW_ERRNO(syscall(SYS_tgkill, pid, tid, 0));
    SHOW_ERRNO(syscall(SYS_tkill, tid, 0));
    SHOW_ERRNO(syscall(SYS_tgkill, tid, tid, 0));
    SHOW_ERRNO(syscall(SYS_tgkill, pid, tid, 65));
    SHOW(pthread_kill(thread, 0));
    sem_post(&one.go);
    YES("and the same process", (uintptr_t)finish(thread) == 0);
    while (syscall(SYS_tgkill, pid, tid, 0) == 0) /* Linux forgets the number a little later */
        sched_yield();
    SHOW_ERRNO(syscall(SYS_tgkill, pid, tid, 0));
}

/* ---- many ---- */

static long threads_of_status(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long threads = -1;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        sscanf(line, "Threads: %ld", &threads);
    if (file != NULL)
        fclose(file);
    return threads;
}

static int tasks_in_proc(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* Linux counts a thread that was joined a little longer. */
static void show_threads(long expected)
{
    while (threads_of_status() != expected)
        sched_yield();
    printf("Threads: %ld, in /proc/self/task: %d\n", threads_of_status(), tasks_in_proc());
}

static long resident_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long size = 0, resident = 0;

    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = -1;
    if (file != NULL)
        fclose(file);
    return resident;
}

static void create_and_join(unsigned count)
{
    uintptr_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += (uintptr_t)finish(start(returns_argument, (void *)(uintptr_t)i));
    printf("%u threads one after the other: %s\n", count, sum == (uintptr_t)count * (count - 1) / 2 ? "yes" : "NO");
}

static void check_churn(void)
{
    create_and_join(100);
    long before = resident_pages();

    create_and_join(MANY);
    long grown = resident_pages() - before;

    YES("and their memory is given back", before > 0 && grown < 256);
    show_threads(1);
}

static pthread_barrier_t all_there;
static pthread_t together[TOGETHER];

static void *meets_all(void *number)
{
    char frame[1000];

    memset(frame, (int)(uintptr_t)number, sizeof(frame));
    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&all_there);
    return (void *)(uintptr_t)(frame[777] == (char)(uintptr_t)number);
}

static void check_together(void)
{
    pthread_attr_t attributes;

    pthread_barrier_init(&all_there, NULL, TOGETHER + 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK);
    for (unsigned i = 0; i < TOGETHER; i++)
        must(pthread_create(&together[i], &attributes, meets_all, (void *)(uintptr_t)i), "pthread_create, together");
    pthread_barrier_wait(&all_there);
    show_threads(TOGETHER + 1);
    pthread_barrier_wait(&all_there);
    SHOW(finish_all(together, TOGETHER));
    show_threads(1);
    pthread_attr_destroy(&attributes);
    pthread_barrier_destroy(&all_there);
}

/* A thread starts two others until there is no more to start: creation from everywhere. */
static void *starts_two(void *depth)
{
    uintptr_t left = (uintptr_t)depth;

    if (left == 0)
        return (void *)1;
    pthread_t one = start(starts_two, (void *)(left - 1)), two = start(starts_two, (void *)(left - 1));

    return (void *)((uintptr_t)finish(one) + (uintptr_t)finish(two));
}

void check_create(void)
{
    puts("-- create");
    check_results();
    check_joins();
    check_detached();
    puts("-- stacks");
    check_stacks();
    check_own_stack();
    check_main_stack();
    puts("-- identities");
    check_identities();
    puts("-- many");
    check_churn();
    check_together();
    SHOW((uintptr_t)starts_two((void *)6));
}
