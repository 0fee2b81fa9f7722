/*
 * Masks of signals that threads change without the lock while others send, with interleavings of the CPUs that do
 * (explore.h): the calls are the core's, each CPU runs a thread. In the end whoever may take what is pending has been
 * told, and nothing is pending that is ignored and not blocked.
 */
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "tests/unit/explore_atomics.h"

#include "core/cpu.h"
#include "core/linux/thread.h"

static bool fence_is_forgotten; /* to see that found */

#define cpu_relax explore_yield
#undef __atomic_thread_fence
#define __atomic_thread_fence(order) (fence_is_forgotten ? explore_step() : explore_fence())
#include "core/linux/signals.c"
#include "core/spinlock.c"

#define PLAYERS 3u

struct linux_thread linux_first_thread;
struct spinlock_calls linux_lock;
struct thread_list linux_woken;
static struct linux_thread others[PLAYERS - 1];
static bool told[PLAYERS];
static unsigned actors;
static void (*const *acts)(void);
static int sent;               /* the signal */
static uint64_t first_blocked; /* players that have it blocked at first, a bit for each */
static bool second_keeps;      /* what is sent to it */

static struct linux_thread *player(unsigned number)
{
    return number == 0 ? &linux_first_thread : &others[number - 1];
}

/* Nobody is woken with that lock here. */
void linux_leave_to_woken(void)
{
    fail_msg("a thread was woken with linux_lock");
}

/* ---- what is asked of others ---- */

const struct quire_config quire_config = {.name = "signals"};
const struct timer_hooks *linux_timers;

struct thread *thread_current(void)
{
    return &player(explore_actor())->thread;
}

void thread_interrupt(struct thread *thread)
{
    explore_fence();
    for (unsigned i = 0; i < PLAYERS; i++)
        told[i] |= &player(i)->thread == thread;
}

void thread_unpark(struct thread *thread)
{
    (void)thread;
}

void linux_wake_waiting(void)
{
}

struct linux_thread *linux_thread_find(int id)
{
    (void)id;
    return NULL;
}

error_t user_read(void *to, const void *user, size_t length)
{
    memcpy(to, user, length);
    return E_SUCCESS;
}

error_t user_write(void *user, const void *from, size_t length)
{
    memcpy(user, from, length);
    return E_SUCCESS;
}

void *core_allocate(size_t size)
{
    (void)size;
    return NULL;
}

void core_release(void *memory, size_t size)
{
    (void)memory, (void)size;
}

uint64_t linux_signal_limit(void)
{
    return 0;
}

void file_release_deferred(void)
{
}

void thread_begin_attending(struct trap_frame *call)
{
    (void)call;
}

void thread_end_attending(void)
{
}

void power_off(int status)
{
    (void)status;
    explore_wrong("the end");
    __builtin_unreachable();
}

static long call_result;
static unsigned calls_begun_again, handlers_run;

long frame_result(const struct trap_frame *frame)
{
    (void)frame;
    return call_result;
}

void frame_set_result(struct trap_frame *frame, long result)
{
    (void)frame, (void)result;
}

void frame_restart_call(struct trap_frame *frame)
{
    (void)frame;
    calls_begun_again++;
}

static void run_handler(struct trap_frame *frame, int signal, const struct signal_info *info)
{
    (void)frame, (void)signal, (void)info;
    handlers_run++;
}

void frame_enable_interrupts(struct trap_frame *frame)
{
    (void)frame;
}

bool frame_in_driver(void)
{
    return false;
}

/* ---- what they do ---- */

static void change(int how)
{
    uint64_t set = signal_bit(sent);

    EXPLORE_CHECK(linux_rt_sigprocmask(how, &set, NULL, sizeof(set)) == 0);
}

static void unblock(void)
{
    change(SIG_UNBLOCK);
}

static void block(void)
{
    change(SIG_BLOCK);
}

static void block_and_unblock(void)
{
    block();
    unblock();
}

static void send(struct pending_signals *to)
{
    linux_enter();
    EXPLORE_CHECK(signal_send(to, &(struct signal_info){.signal = sent, .code = SI_USER}) == E_SUCCESS);
    linux_leave();
}

static void send_to_first(void)
{
    send(&linux_first_thread.signals.pending);
}

static void send_to_process(void)
{
    send(&process_signals.pending);
}

static void send_to_second(void)
{
    send(&others[0].signals.pending);
}

static void keep_and_unblock(void)
{
    block();
    send_to_process();
    unblock();
}

/* A wait of a thread until 5000 ends for a signal of the process: another one has taken it; then it is its own. */
static void wait_and_lose(void)
{
    static const struct signal_handlers handlers = {.deliver = run_handler};
    const struct linux_thread *self = player(0);
    struct signal_info info;

    signal_handlers = &handlers;
    process_signals.actions[sent].handler = (uintptr_t)run_handler;
    call_result = -E_INTR;
    calls_begun_again = handlers_run = 0;
    send_to_process();
    EXPLORE_CHECK(linux_signal_waits(5000) && signal_take(signal_bit(sent), &info) == sent);
    signals_deliver(NULL, true);
    EXPLORE_CHECK(calls_begun_again == 1 && self->begun_again_until == 5000);
    send_to_process();
    EXPLORE_CHECK(linux_signal_waits(5000));
    signals_deliver(NULL, true);
    EXPLORE_CHECK(calls_begun_again == 1 && handlers_run == 1 && self->begun_again_until == 0);
    call_result = 0;
}

/* ---- runs ---- */

static void begin(void)
{
    memset(&process_signals, 0, sizeof(process_signals));
    memset(told, 0, sizeof(told));
    linux_lock = (struct spinlock_calls){0};
    for (unsigned i = 0; i < PLAYERS; i++) {
        memset(player(i), 0, sizeof(*player(i)));
        player(i)->signals.blocked = i >= actors || first_blocked >> i & 1 ? signal_bit(sent) : 0;
        player(i)->next = i + 1 < PLAYERS ? player(i + 1) : NULL;
        cpu_variable(i, linux_attention) = 0;
    }
    linux_signals_init();
}

static void act(unsigned actor)
{
    acts[actor]();
}

static bool is_told(unsigned number)
{
    return told[number] || (cpu_variable(number, linux_attention) & ATTEND_SIGNALS);
}

static const char *end(void)
{
    uint64_t bit = signal_bit(sent), of_process = process_signals.pending.set & bit;
    bool may_take = false, knows = false;

    for (unsigned i = 0; i < actors; i++) {
        uint64_t own = player(i)->signals.pending.set & bit, taken = bit & ~player(i)->signals.blocked;

        if ((own & taken & process_signals.ignored) || (i == 0 && (of_process & taken & process_signals.ignored)))
            return "what is ignored is kept";
        if ((own & taken) && !is_told(i))
            return "a thread was not told of a signal";
        may_take |= (of_process & taken) != 0;
        knows |= (of_process & taken) != 0 && is_told(i);
    }
    if (second_keeps && !(player(1)->signals.pending.set & bit))
        return "what a thread has blocked is gone";
    return may_take && !knows ? "nobody was told of a signal of the process" : NULL;
}

static const char *run(unsigned count, void (*const *functions)(void), bool delays)
{
    struct exploration all = {.actors = count,
                              .bound = 4 - delays,
                              .delays = delays,
                              .begin = begin,
                              .act = act,
                              .resume = fake_cpu_be,
                              .end = end};
    size_t runs;
    const char *wrong;

    fake_cpus(EXPLORE_ACTORS);
    actors = count;
    acts = functions;
    wrong = explore(&all, &runs);
    print_message("%zu interleavings\n", runs);
    return wrong;
}

/* Each with one who sends; and without the fence a store that is late is found. */
#define MUST_HOLD(...)                                                                                                 \
    do {                                                                                                               \
        static void (*const functions[])(void) = {__VA_ARGS__};                                                        \
        for (unsigned delays = 0; delays < 2; delays++) {                                                              \
            const char *wrong = run(ARRAY_LENGTH(functions), functions, delays);                                       \
            if (wrong != NULL)                                                                                         \
                fail_msg("%s", wrong);                                                                                 \
        }                                                                                                              \
    } while (0)
#define MUST_BE_FOUND(...)                                                                                             \
    do {                                                                                                               \
        static void (*const functions[])(void) = {__VA_ARGS__};                                                        \
        fence_is_forgotten = true;                                                                                     \
        assert_non_null(run(ARRAY_LENGTH(functions), functions, true));                                                \
        fence_is_forgotten = false;                                                                                    \
    } while (0)

static void test_a_thread_is_told(void **state)
{
    (void)state;
    sent = SIGUSR1;
    first_blocked = 1;
    MUST_HOLD(unblock, send_to_first); /* it is interrupted whatever its mask is */
    first_blocked = 0;
    MUST_HOLD(block_and_unblock, send_to_first);
}

static void test_the_process_is_told(void **state)
{
    (void)state;
    sent = SIGUSR1;
    first_blocked = 3;
    MUST_HOLD(unblock, send_to_process);
    MUST_BE_FOUND(unblock, send_to_process);
    first_blocked = 2;
    MUST_HOLD(block, send_to_process);
    first_blocked = 6;
    MUST_HOLD(block_and_unblock, unblock, send_to_process);
}

static void test_what_is_ignored_goes(void **state)
{
    (void)state;
    sent = SIGURG;
    first_blocked = 1;
    MUST_HOLD(unblock, send_to_first);
    MUST_HOLD(unblock, send_to_process);
    MUST_BE_FOUND(unblock, send_to_first);
    first_blocked = 0;
    MUST_HOLD(block_and_unblock, send_to_first);
    first_blocked = 2;
    second_keeps = true;
    MUST_HOLD(keep_and_unblock, send_to_second);
    second_keeps = false;
}

static void test_a_call_begun_again_keeps_its_deadline(void **state)
{
    (void)state;
    sent = SIGUSR1;
    first_blocked = 0;
    MUST_HOLD(wait_and_lose);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_is_told),
        cmocka_unit_test(test_the_process_is_told),
        cmocka_unit_test(test_what_is_ignored_goes),
        cmocka_unit_test(test_a_call_begun_again_keeps_its_deadline),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
