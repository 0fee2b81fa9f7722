/* /proc/self/task: what others see of a thread. */
#include "threads.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char task_text[8192];

/* A file of the thread, terminated. */
static const char *read_task(int tid, const char *name)
{
    char path[64];
    ssize_t got = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        got = read(fd, task_text, sizeof(task_text) - 1);
    close(fd);
    task_text[got > 0 ? got : 0] = '\0';
    return task_text;
}

/* What follows a name in "status". */
static const char *status_of(int tid, const char *name)
{
    const char *at = strstr(read_task(tid, "status"), name);

    return at != NULL ? at + strlen(name) + strspn(at + strlen(name), "\t ") : "";
}

/* The field of "stat", as proc(5) numbers them, from the third on. */
static const char *stat_of(int tid, int field)
{
    const char *at = strrchr(read_task(tid, "stat"), ')');

    for (int i = 2; i < field && at != NULL; i++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at != NULL ? at : "";
}

static long number_of_stat(int tid, int field)
{
    return strtol(stat_of(tid, field), NULL, 10);
}

struct task {
    atomic_int tid;
    sem_t ready, go;
};

static void burn_processor(int64_t ms)
{
    int64_t end = to_ns(clock_now(CLOCK_THREAD_CPUTIME_ID)) + ms * NS_PER_MS;

    while (to_ns(clock_now(CLOCK_THREAD_CPUTIME_ID)) < end)
        continue;
}

static void stay_on_first(void)
{
    cpu_set_t set;
    int cpu = 0;

    pthread_getaffinity_np(pthread_self(), sizeof(set), &set);
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(pthread_setaffinity_np(pthread_self(), sizeof(set), &set), "pthread_setaffinity_np");
}

static void *is_a_task(void *argument)
{
    struct task *task = argument;
    int tid = (int)syscall(SYS_gettid);

    stay_on_first();
    setpriority(PRIO_PROCESS, (id_t)tid, 7);
    pthread_setname_np(pthread_self(), "a (task)");
    burn_processor(60);
    YES("it runs while it looks", *stat_of(tid, 3) == 'R' && *status_of(tid, "State:") == 'R');
    atomic_store(&task->tid, tid);
    sem_post(&task->ready);
    wait_sem(&task->go);
    return NULL;
}

static void show_word(const char *what, const char *text)
{
    printf("%s: %.*s\n", what, (int)strcspn(text, "\n"), text);
}

static void check_what_is_told(int tid)
{
    while (*stat_of(tid, 3) != 'S')
        sched_yield();
    show_word("State", status_of(tid, "State:"));
    show_word("Name", status_of(tid, "Name:"));
    YES("its number",
        strtol(status_of(tid, "Pid:"), NULL, 10) == tid && strtol(read_task(tid, "stat"), NULL, 10) == tid);
    YES("its process", strtol(status_of(tid, "Tgid:"), NULL, 10) == getpid());
    YES("more than one thread", number_of_stat(tid, 20) >= 2 && strtol(status_of(tid, "Threads:"), NULL, 10) >= 2);
    printf("priority %ld, nice %ld\n", number_of_stat(tid, 18), number_of_stat(tid, 19));
    printf("main's: %ld, %ld\n", number_of_stat(getpid(), 18), number_of_stat(getpid(), 19));
    YES("ticks of what it burnt", number_of_stat(tid, 14) + number_of_stat(tid, 15) >= 3);
    YES("it runs on one CPU", number_of_stat(tid, 39) == strtol(status_of(tid, "Cpus_allowed_list:"), NULL, 10) &&
                                  strpbrk(status_of(tid, "Cpus_allowed_list:"), ",-\n")[0] == '\n');
    YES("it has waited", strtol(status_of(tid, "voluntary_ctxt_switches:"), NULL, 10) >= 1);
}

static void check_comm(int tid, pthread_t thread)
{
    char path[64], name[16];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    SHOW_ERRNO(write(fd, "a name that is too long", 23));
    SHOW(pthread_getname_np(thread, name, sizeof(name)));
    printf("name: %s, %s", name, read_task(tid, "comm"));
    SHOW_ERRNO(write(fd, "short", 5));
    close(fd);
    printf("comm: %s", read_task(tid, "comm"));
}

static void *reads_thread_self(void *unused)
{
    char link[64] = "", expected[64];

    (void)unused;
    snprintf(expected, sizeof(expected), "%d/task/%d", getpid(), (int)syscall(SYS_gettid));
    readlink("/proc/thread-self", link, sizeof(link) - 1);
    return (void *)(uintptr_t)(strcmp(link, expected) == 0);
}

/* The directory of a thread that is no more, and what is opened in it by a descriptor from before. */
static void check_gone(int tid, int directory, int descriptors)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
    while (access(path, F_OK) == 0) /* Linux forgets the number a little later */
        sched_yield();
    SHOW_ERRNO(access(path, F_OK));
    SHOW_ERRNO(openat(directory, "comm", O_RDONLY));
    SHOW_ERRNO(openat(descriptors, "0", O_RDONLY));
    SHOW_ERRNO(mkdirat(AT_FDCWD, path, 0777));
}

static int open_task(int tid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long lines_with(const char *path, const char *start)
{
    FILE *file = fopen(path, "re");
    char line[4096];
    long lines = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        lines += strncmp(line, start, strlen(start)) == 0;
    if (file != NULL)
        fclose(file);
    return lines;
}

static void check_cpus(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    YES("a line of times for each CPU", lines_with("/proc/stat", "cpu") == 1 + cpus);
    YES("and a block of cpuinfo", lines_with("/proc/cpuinfo", "processor\t") == cpus);
    YES("no thread has run without a switch", lines_with("/proc/stat", "ctxt 0\n") == 0);
    YES("somebody runs", lines_with("/proc/stat", "procs_running 0\n") == 0);
}

void check_tasks(void)
{
    struct task task = {.tid = 0};
    int tid, directory, descriptors;
    pthread_t thread;

    puts("-- /proc/self/task");
    sem_init(&task.ready, 0, 0);
    sem_init(&task.go, 0, 0);
    thread = start(is_a_task, &task);
    wait_sem(&task.ready);
    tid = atomic_load(&task.tid);
    check_what_is_told(tid);
    check_comm(tid, thread);
    YES("thread-self of another", finish(start(reads_thread_self, NULL)));
    YES("and of main", reads_thread_self(NULL));
    directory = open_task(tid);
    descriptors = openat(directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    YES("it has main's descriptors", faccessat(descriptors, "0", F_OK, 0) == 0);
    sem_post(&task.go);
    finish(thread);
    check_gone(tid, directory, descriptors);
    close(directory);
    close(descriptors);
    SHOW_ERRNO(access("/proc/self/task/x", F_OK));
    check_cpus();
}
