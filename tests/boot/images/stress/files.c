/*
 * Files in memory that all workers write to at the same time, by a mapping and by calls, each its own words, while one
 * at a time cuts them off, punches holes or fills them. What a worker finds is what it has written, or zero, if the
 * file was cut or punched since it began to write.
 */
#include "stress.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>

#define FILES 6u
#define FILE_PAGES 48u

static struct file {
    pthread_mutex_t mutex;
    int descriptor;
    volatile char *start;
    _Atomic uint64_t losses; /* odd: contents may go now */
} files[FILES];

/* What a worker has written to each page of each file, and how many losses there were when it began to. */
static struct {
    uint32_t value;
    uint64_t losses;
} written[WORKERS_MOST][FILES][FILE_PAGES];

static __thread sigjmp_buf behind_the_end;
static __thread volatile bool may_be_behind;

void files_escape(void)
{
    if (may_be_behind)
        siglongjmp(behind_the_end, 1);
}

static off_t place_of(const struct worker *worker, unsigned page)
{
    return (off_t)(page * PAGE + worker->number * 20);
}

/* By the mapping or by a call; behind the end is nothing, which is zero. */
static uint32_t read_word(const struct file *file, off_t place, bool by_call)
{
    uint32_t value = 0;

    if (by_call) {
        must(pread(file->descriptor, &value, sizeof(value), place) < 0 ? errno : 0, "pread");
        return value;
    }
    if (sigsetjmp(behind_the_end, 1) == 0) {
        may_be_behind = true;
        value = *(volatile uint32_t *)(file->start + place);
    }
    may_be_behind = false;
    return value;
}

static void write_word(const struct file *file, off_t place, uint32_t value, bool by_call)
{
    if (by_call) {
        must(pwrite(file->descriptor, &value, sizeof(value), place) == sizeof(value) ? 0 : errno, "pwrite");
        return;
    }
    if (sigsetjmp(behind_the_end, 1) == 0) {
        may_be_behind = true;
        *(volatile uint32_t *)(file->start + place) = value;
    }
    may_be_behind = false;
}

/* Losses since the worker wrote there are counted before and after: they have begun, or ended. */
static void check_word(struct worker *worker, struct file *file, unsigned page, bool by_call)
{
    unsigned number = (unsigned)(file - files);
    uint32_t found = read_word(file, place_of(worker, page), by_call),
             wanted = written[worker->number][number][page].value;
    uint64_t before = written[worker->number][number][page].losses;

    if (found != wanted && (found != 0 || (atomic_load(&file->losses) == before && before % 2 == 0)))
        finding("file %u, page %u: worker %u finds %u by %s, not %u", number, page, worker->number, found,
                by_call ? "a call" : "the mapping", wanted);
}

static void write_pages(struct worker *worker, struct file *file)
{
    unsigned number = (unsigned)(file - files);

    for (unsigned i = 0; i < 8; i++) {
        unsigned page = below(&worker->random, FILE_PAGES);

        check_word(worker, file, page, below(&worker->random, 2));
        written[worker->number][number][page].losses = atomic_load(&file->losses);
        write_word(file, place_of(worker, page), ++written[worker->number][number][page].value,
                   below(&worker->random, 2));
        check_word(worker, file, page, below(&worker->random, 2));
    }
}

static void lose_pages(struct file *file, uint64_t *random)
{
    unsigned first = below(random, FILE_PAGES), count = 1 + below(random, FILE_PAGES - first);
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    atomic_fetch_add(&file->losses, 1);
    switch (below(random, 3)) {
    case 0:
        must(ftruncate(file->descriptor, (off_t)(first * PAGE)) ? errno : 0, "ftruncate");
        must(ftruncate(file->descriptor, FILE_PAGES * PAGE) ? errno : 0, "ftruncate");
        break;
    case 1:
        must(fallocate(file->descriptor, mode, (off_t)(first * PAGE), (off_t)(count * PAGE)) ? errno : 0, "fallocate");
        break;
    default:
        must(madvise((char *)file->start + first * PAGE, count * PAGE, MADV_REMOVE) ? errno : 0, "madvise");
    }
    atomic_fetch_add(&file->losses, 1);
}

static void change_file(struct file *file, uint64_t *random)
{
    if (pthread_mutex_trylock(&file->mutex))
        return;
    if (below(random, 4))
        lose_pages(file, random);
    else
        must(fallocate(file->descriptor, 0, 0, FILE_PAGES * PAGE) ? errno : 0, "fallocate");
    pthread_mutex_unlock(&file->mutex);
}

void use_file(struct worker *worker)
{
    struct file *file = &files[below(&worker->random, FILES)];

    if (below(&worker->random, 3) == 0)
        change_file(file, &worker->random);
    else
        write_pages(worker, file);
}

void files_begin(void)
{
    memset(written, 0, sizeof(written));
    for (unsigned i = 0; i < FILES; i++) {
        struct file *file = &files[i];

        pthread_mutex_init(&file->mutex, NULL);
        file->descriptor = memfd_create("stress", 0);
        must(file->descriptor < 0 || ftruncate(file->descriptor, FILE_PAGES * PAGE) ? errno : 0, "a file in memory");
        file->start = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file->descriptor, 0);
        must(file->start == MAP_FAILED ? errno : 0, "mmap of a file");
    }
}

void files_end(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        for (unsigned number = 0; number < worker_count; number++)
            for (unsigned page = 0; page < FILE_PAGES; page++) {
                check_word(&workers[number], &files[i], page, true);
                check_word(&workers[number], &files[i], page, false);
            }
        must(munmap((char *)files[i].start, FILE_PAGES * PAGE) || close(files[i].descriptor) ? errno : 0, "munmap");
        pthread_mutex_destroy(&files[i].mutex);
    }
}
