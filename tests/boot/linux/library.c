/*
 * What the C library makes of the calls: constructors, environment, exit handlers, streams, temporary files, locales,
 * time zones, sorting, numbers, directories; and what is not there (new processes, shared libraries) fails as it
 * should. Left out: what reads files that this host has and the image has not (/etc/passwd, zoneinfo, locales besides
 * C).
 */
#include "tests/boot/linux/linux.h"

#include <ctype.h>
#include <dirent.h>
#include <fenv.h>
#include <float.h>
#include <fnmatch.h>
#include <glob.h>
#include <libgen.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>
#include <search.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <wchar.h>

static int order[8], steps;
static __thread int per_thread = 42;
static __thread char zeroed[100];

__attribute__((constructor(101))) static void first(void)
{
    order[steps++] = 101;
}

__attribute__((constructor)) static void second(void)
{
    order[steps++] = 65535;
}

__attribute__((destructor)) static void last(void)
{
    puts("destructor");
}

static void handler_one(void)
{
    puts("exit handler one");
}

static void handler_two(void)
{
    puts("exit handler two");
}

static void beginnings(char **arguments)
{
    printf("constructors %d %d\n", order[0], order[1]);
    printf("thread local %d, %d\n", per_thread, zeroed[99]);
    value(arguments[0] != NULL && arguments[0][0] != '\0');
    value(setenv("QUIRE_TEST", "a value", 1));
    text(getenv("QUIRE_TEST"));
    value(setenv("QUIRE_TEST", "another", 0));
    text(getenv("QUIRE_TEST"));
    value(unsetenv("QUIRE_TEST"));
    value(getenv("QUIRE_TEST") == NULL);
    value(setenv("A=B", "x", 1));
    value(putenv("QUIRE_PUT=1"));
    text(getenv("QUIRE_PUT"));
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void streams(void)
{
    char line[100] = "", *grown = NULL;
    size_t size = 0;
    FILE *file = fopen("stream", "w+");

    fprintf(file, "%d %5.2f %s %c %#x %-5d|%+d %e\n", 42, 3.14159, "text", 'c', 255, 7, 7, 12345.678);
    rewind(file);
    fgets(line, sizeof line, file);
    printf("%s", line);
    value(ftell(file));
    value(fseek(file, 3, SEEK_SET));
    value(fgetc(file));
    value(ungetc('X', file));
    value(fgetc(file));
    value(fseek(file, -5, SEEK_END));
    value(feof(file));
    while (fgetc(file) != EOF)
        ;
    value(feof(file));
    fputs("line one\nline two\nand a last one", file);
    rewind(file);
    for (ssize_t length; (length = getline(&grown, &size, file)) > 0;)
        printf("%ld ", (long)length);
    puts("");
    fclose(file);
    value(fopen("missing", "r") == NULL && errno == ENOENT);
    file = fopen("stream", "a");
    fputs("appended", file);
    value(ftell(file) > 50);
    fclose(file);
    file = tmpfile();
    value(file != NULL);
    fputs("temporary", file);
    value(ftell(file));
    fclose(file);
    char name[] = "tempXXXXXX";
    int fd = mkstemp(name);

    value(fd >= 0);
    close(fd), unlink(name);
    file = fmemopen(line, sizeof line, "w");
    fprintf(file, "in memory %d", 5);
    fclose(file);
    text(line);
    file = open_memstream(&grown, &size);
    fprintf(file, "%0*d", 30, 7);
    fclose(file);
    text(grown);
    free(grown);
    int a = 0, b = 0;

    value(sscanf("12 0x1f", "%d %i", &a, &b));
    printf("%d %d\n", a, b);
    value(remove("stream"));
    setvbuf(stderr, line, _IOFBF, sizeof line);
    setvbuf(stderr, NULL, _IONBF, 0);
}

static void not_there(void)
{
    errno = 0;
    FILE *file = popen("true", "r");
    int end = file ? pclose(file) : 0;

    /* A shell or none: a pipe to it ends, or is not made. */
    value(file == NULL || end != -2);
    value(system(NULL) == 0 || system(NULL) == 1);
    char *arguments[] = {"x", NULL};

    errno = 0;
    value(execv("missing", arguments));
    value(errno == ENOENT || errno == ENOSYS);
    value(kill(0x7fffffff, 0));
    text(strerror(errno));
}

static void numbers(void)
{
    volatile double x = 2;

    printf("%.13g %.13g %.13g %.13g\n", sqrt(x), exp(x), log(x), pow(x, 0.3));
    printf("%.13g %.13g %.13g %.13g\n", sin(x), cos(x), tan(x), atan2(x, 3));
    printf("%.13g %.13g %.13g\n", tgamma(x + 0.5), erf(x / 3), cbrt(x));
    printf("%a %a %g %g\n", x / 3, (double)FLT_MIN, x / 0.0, -x / 0.0);
    printf("%Lg\n", powl(2.0L, 200));
    value(fesetround(FE_UPWARD));
    printf("%.13g\n", x / 3);
    value(fesetround(FE_TONEAREST));
    value(feclearexcept(FE_ALL_EXCEPT));
    x = 1 / (x - 2);
    value(fetestexcept(FE_DIVBYZERO) != 0);
    printf("%.13g %.13g\n", strtod("0.1e-5", NULL), strtod("0x1.8p3", NULL));
    errno = 0;
    value(strtol("99999999999999999999", NULL, 10) == 0x7fffffffffffffff && errno == ERANGE);
    value(strtoul("-1", NULL, 0) == -1ul);
}

static void searching(void)
{
    int data[1000], key = 500, found = 0;
    regex_t regex;
    regmatch_t match[2];
    glob_t paths;

    for (int i = 0; i < 1000; i++)
        data[i] = i * 7919 % 1000;
    qsort(data, 1000, sizeof *data, compare);
    value(data[0] == 0 && data[999] == 999);
    value(bsearch(&key, data, 1000, sizeof *data, compare) == &data[500]);
    value(regcomp(&regex, "([a-z]+)[0-9]", REG_EXTENDED));
    value(regexec(&regex, "  abc7", 2, match, 0));
    printf("%d-%d\n", (int)match[1].rm_so, (int)match[1].rm_eo);
    regfree(&regex);
    value(fnmatch("*.c", "main.c", 0));
    close(make_file("one.txt", 1)), close(make_file("two.txt", 1));
    value(glob("*.txt", 0, NULL, &paths));
    value(paths.gl_pathc);
    text(paths.gl_pathv[1]);
    globfree(&paths);
    unlink("one.txt"), unlink("two.txt");
    value(hcreate(100));
    value(hsearch((ENTRY){"key", "data"}, ENTER) != NULL);
    value(hsearch((ENTRY){"other", NULL}, FIND) == NULL);
    hdestroy();
    char path[] = "/usr/lib/x.so";

    text(basename(path));
    text(realpath(".", NULL) ? "found" : "not found");
    value(realpath("missing/x", NULL) == NULL && errno == ENOENT);
    DIR *directory = opendir(".");
    long at = telldir(directory);

    while (readdir(directory))
        found++;
    seekdir(directory, at);
    while (readdir(directory))
        found--;
    value(found);
    closedir(directory);
}

static void languages(void)
{
    struct tm time;
    char text_of[100];
    wchar_t wide[20];
    time_t moment = 1000000000;

    text(setlocale(LC_ALL, "C"));
    value(setlocale(LC_ALL, "xx_YY.missing") == NULL);
    value(localeconv()->decimal_point[0]);
    setenv("TZ", "UTC0", 1);
    tzset();
    localtime_r(&moment, &time);
    strftime(text_of, sizeof text_of, "%Y-%m-%d %H:%M:%S %a %j", &time);
    text(text_of);
    value(mktime(&time) == moment);
    setenv("TZ", "XST-3XDT,M3.2.0,M11.1.0", 1);
    tzset();
    localtime_r(&moment, &time);
    strftime(text_of, sizeof text_of, "%H:%M %Z %z", &time);
    text(text_of);
    value(strptime("2020-02-29 12:34", "%Y-%m-%d %H:%M", &time) != NULL);
    value(time.tm_wday >= 0 && time.tm_mon == 1);
    value((long)mbstowcs(wide, "plain", 20));
    value(wcslen(wide));
    value(iswalpha(L'x') != 0);
    value(isalpha(0xe4) != 0);
    value(strcoll("a", "b") < 0);
}

static ucontext_t main_context, other_context;
static char other_stack[64 << 10];

static void coroutine(int a, int b)
{
    printf("coroutine %d\n", a + b);
    swapcontext(&other_context, &main_context);
    puts("coroutine again");
}

static void control(void)
{
    static jmp_buf jump;
    static volatile int times;

    getcontext(&other_context);
    other_context.uc_stack.ss_sp = other_stack;
    other_context.uc_stack.ss_size = sizeof other_stack;
    other_context.uc_link = &main_context;
    makecontext(&other_context, (void (*)(void))coroutine, 2, 40, 2);
    value(swapcontext(&main_context, &other_context));
    value(swapcontext(&main_context, &other_context));
    int got = setjmp(jump);

    if (times++ < 3)
        longjmp(jump, times);
    value(got);
}

static void locks(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutexattr_t attribute;
    pthread_key_t key;
    sem_t semaphore;
    pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
    struct timespec soon;

    value(pthread_mutex_lock(&mutex));
    text(pthread_mutex_trylock(&mutex) == EBUSY ? "busy" : "free");
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 10000000) % 1000000000;
    value(pthread_mutex_unlock(&mutex));
    pthread_mutexattr_init(&attribute);
    pthread_mutexattr_settype(&attribute, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attribute);
    value(pthread_mutex_lock(&mutex) + pthread_mutex_lock(&mutex));
    value(pthread_rwlock_rdlock(&rwlock));
    text(pthread_rwlock_trywrlock(&rwlock) == EBUSY ? "busy" : "free");
    value(sem_init(&semaphore, 0, 1));
    value(sem_wait(&semaphore));
    value(sem_trywait(&semaphore) == -1 && errno == EAGAIN);
    value(pthread_key_create(&key, NULL));
    value(pthread_setspecific(key, &key));
    value(pthread_getspecific(key) == &key);
    value(pthread_self() != 0);
}

static void memory(void)
{
    size_t wrong = 0;
    void *volatile none;
    void *aligned = NULL, *blocks[500];
    volatile size_t large = 1ul << 62;

    none = malloc(large);
    value(none == NULL && errno == ENOMEM);
    none = calloc(large >> 20, large >> 20);
    value(none == NULL);
    value(posix_memalign(&aligned, 4096, 100));
    value((unsigned long)aligned % 4096);
    free(aligned);
    value(posix_memalign(&aligned, 3, 100) == EINVAL);
    for (size_t i = 0; i < 500; i++) {
        blocks[i] = malloc(i * i % 70000 + 1);
        memset(blocks[i], (int)i, i * i % 70000 + 1);
    }
    for (size_t i = 0; i < 500; i += 2)
        blocks[i] = realloc(blocks[i], 100000 + i);
    for (size_t i = 0; i < 500; i++)
        wrong += *(unsigned char *)blocks[i] != (unsigned char)i;
    value(wrong);
    for (size_t i = 0; i < 500; i++)
        free(blocks[i]);
}

int main(int count, char **arguments)
{
    (void)count;
    fresh_folder();
    beginnings(arguments);
    streams();
    not_there();
    numbers();
    searching();
    languages();
    control();
    locks();
    memory();
    remove_folder();
    atexit(handler_one);
    atexit(handler_two);
    return 7;
}
