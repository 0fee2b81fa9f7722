#include "harness.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS_MAX 180

uint64_t harness_seed(void)
{
    static uint64_t seed;
    const char *given = getenv("QUIRE_SEED");
    struct timespec now;

    if (seed != 0)
        return seed;
    clock_gettime(CLOCK_REALTIME, &now);
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * 1000003 ^ (uint64_t)now.tv_nsec;
    if (seed == 0)
        seed = 1;
    return seed;
}

size_t harness_number(const char *variable, size_t otherwise)
{
    const char *given = getenv(variable);

    return given ? strtoull(given, NULL, 0) : otherwise;
}

uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    return random_next(random) % bound;
}

/* In the child: what the test prints goes to the file. */
static _Noreturn void run_alone(const struct CMUnitTest *test, FILE *output)
{
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    alarm(TEST_SECONDS_MAX);
    exit(_cmocka_run_group_tests("test", test, 1, NULL, NULL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* As comments of TAP: the child printed results of its own. */
static void show(FILE *output)
{
    char line[4096];

    rewind(output);
    while (fgets(line, sizeof(line), output))
        printf("# %s%s", line, strchr(line, '\n') ? "" : "\n");
}

static bool run(const struct CMUnitTest *test)
{
    FILE *output = tmpfile();
    int status;
    pid_t child;

    if (output == NULL) {
        perror("tmpfile");
        exit(EXIT_FAILURE);
    }
    fflush(NULL);
    child = fork();
    if (child == 0)
        run_alone(test, output);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (status != 0)
        show(output);
    fclose(output);
    return status == 0;
}

static bool chosen(const struct CMUnitTest *test, int argc, char **argv)
{
    return argc < 2 || strstr(test->name, argv[1]) != NULL;
}

/* Prints TAP (testanything.org). */
int harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    size_t planned = 0, number = 0, passed = 0;

    for (size_t i = 0; i < count; i++)
        planned += chosen(&tests[i], argc, argv);
    printf("# QUIRE_SEED=%#lx\n1..%zu\n", (unsigned long)harness_seed(), planned);
    for (size_t i = 0; i < count; i++) {
        if (!chosen(&tests[i], argc, argv))
            continue;
        bool good = run(&tests[i]);

        printf("%s %zu - %s\n", good ? "ok" : "not ok", ++number, tests[i].name);
        passed += good;
    }
    return planned > 0 && passed == planned ? EXIT_SUCCESS : EXIT_FAILURE;
}
