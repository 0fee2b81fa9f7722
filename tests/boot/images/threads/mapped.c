/* Mapped files of several threads: what one writes to the file, cuts off or gives up another one touches meanwhile. */
#include "threads.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define FILE_PAGES 256u
#define KEPT_PAGES 16u
#define ROUNDS 40u

static int file;
static volatile unsigned char *shown; /* all of the file, shared */
static atomic_int page_turn, page_ready;
static pthread_barrier_t both;

static void make_file(void)
{
    file = memfd_create("mapped", 0);
    must(file < 0 ? errno : 0, "memfd_create");
    must(ftruncate(file, FILE_PAGES * PAGE) ? errno : 0, "ftruncate");
    shown = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(shown == MAP_FAILED ? errno : 0, "mmap of a file");
}

static void close_file(void)
{
    munmap((void *)shown, FILE_PAGES * PAGE);
    close(file);
}

static unsigned char read_byte(size_t at)
{
    unsigned char byte;

    must(pread(file, &byte, 1, (off_t)at) == 1 ? 0 : EIO, "pread");
    return byte;
}

/* ---- written and touched at the same time ---- */

static void *touches_pages(void *unused)
{
    for (unsigned i = 0; i < FILE_PAGES; i++) {
        atomic_store(&page_ready, (int)i + 1);
        while (atomic_load(&page_turn) <= (int)i)
            continue;
        shown[i * PAGE + 200] = 2;
    }
    return unused;
}

/* A page that is there from now on is one page for both. */
static void check_written(void)
{
    uintptr_t wrong = 0;

    for (unsigned round = 0; round < 8; round++) {
        make_file();
        atomic_store(&page_turn, 0);
        atomic_store(&page_ready, 0);
        pthread_t thread = start(touches_pages, NULL);

        for (unsigned i = 0; i < FILE_PAGES; i++) {
            wait_value(&page_ready, (int)i + 1);
            atomic_store(&page_turn, (int)i + 1);
            must(pwrite(file, "\1", 1, (off_t)(i * PAGE + 100)) == 1 ? 0 : EIO, "pwrite");
        }
        finish(thread);
        for (size_t at = 0; at < FILE_PAGES * PAGE; at += PAGE)
            wrong +=
                shown[at + 100] != 1 || shown[at + 200] != 2 || read_byte(at + 100) != 1 || read_byte(at + 200) != 2;
        close_file();
    }
    SHOW(wrong);
}

/* ---- cut off under others ---- */

static __thread sigjmp_buf behind_the_end;

static void on_bus_error(int signal)
{
    (void)signal;
    siglongjmp(behind_the_end, 1);
}

/* All pages that are there, from the last one. */
static void write_backwards(unsigned char value)
{
    volatile unsigned page = FILE_PAGES;

    sigsetjmp(behind_the_end, 1);
    while (page > 0) {
        page--;
        shown[page * PAGE] = value;
    }
}

static void *writes_what_is_cut(void *unused)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&both);
        for (int i = 0; i < 4; i++)
            write_backwards(1);
        pthread_barrier_wait(&both); /* cut, and as long as before */
        write_backwards((unsigned char)(round + 2));
        pthread_barrier_wait(&both);
    }
    return unused;
}

/* What is shown behind is what is read: no page that was cut off is shown any longer. */
static void check_cut(void)
{
    struct sigaction action = {.sa_handler = on_bus_error}, old;
    uintptr_t wrong = 0;

    make_file();
    pthread_barrier_init(&both, NULL, 2);
    must(sigaction(SIGBUS, &action, &old), "sigaction");
    pthread_t thread = start(writes_what_is_cut, NULL);

    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&both);
        for (int i = 0; i < 4; i++) {
            must(ftruncate(file, KEPT_PAGES * PAGE) ? errno : 0, "ftruncate");
            must(ftruncate(file, FILE_PAGES * PAGE) ? errno : 0, "ftruncate");
        }
        pthread_barrier_wait(&both);
        pthread_barrier_wait(&both);
        for (size_t at = 0; at < FILE_PAGES * PAGE; at += PAGE)
            wrong += read_byte(at) != (unsigned char)(round + 2);
    }
    finish(thread);
    SHOW(wrong);
    sigaction(SIGBUS, &old, NULL);
    pthread_barrier_destroy(&both);
    close_file();
}

/* ---- given up once ---- */

static void *stores_after_zero(void *rounds)
{
    for (uintptr_t i = 0; i < (uintptr_t)rounds; i++) {
        pthread_barrier_wait(&both);
        while (*shown != 0)
            continue;
        *shown = 7;
        pthread_barrier_wait(&both);
    }
    return NULL;
}

/* What is stored after the zero was seen stays, although a file is behind, for which the call needs longer. */
static void check_given_up_once(void)
{
    const unsigned rounds = 300;
    uintptr_t lost = 0;
    int behind = memfd_create("behind", 0);
    unsigned char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    must(behind < 0 || pages == MAP_FAILED || ftruncate(behind, PAGE) ? errno : 0, "mmap");
    must(mmap(pages + PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, behind, 0) == MAP_FAILED ? errno : 0, "mmap");
    shown = pages;
    pthread_barrier_init(&both, NULL, 2);
    pthread_t thread = start(stores_after_zero, (void *)(uintptr_t)rounds);

    for (unsigned i = 0; i < rounds; i++) {
        *shown = 1;
        pthread_barrier_wait(&both);
        must(madvise(pages, 2 * PAGE, MADV_DONTNEED) ? errno : 0, "madvise");
        pthread_barrier_wait(&both);
        lost += *shown != 7;
    }
    finish(thread);
    SHOW(lost);
    pthread_barrier_destroy(&both);
    munmap(pages, 2 * PAGE);
    close(behind);
}

void check_mapped_files(void)
{
    puts("-- mapped files");
    check_written();
    check_cut();
    check_given_up_once();
}
