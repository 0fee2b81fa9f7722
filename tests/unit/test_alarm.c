/* core/linux/alarm.c and core/observe/ticker.c on a machine whose clock stands still while nobody works. */
#include "core/base/print.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/alarm.h"
#include "core/linux/linux.h"
#include "core/linux/signals.h"
#include "core/observe/ticker.h"
#include "core/percpu.h"
#include "harness.h"

_Thread_local uintptr_t fake_percpu_offset; /* of the machine, which is not here */

static uint64_t now = 1000, armed = UINT64_MAX;
static bool has_timer = true;
static unsigned printed;

uint64_t clock_monotonic(void)
{
    return now;
}

bool scheduler_set_alarm(uint64_t deadline)
{
    armed = deadline;
    return has_timer;
}

void kprintf(const char *format, ...)
{
    assert_non_null(format);
    printed++;
}

static void interrupt(struct trap_frame *program)
{
    armed = UINT64_MAX;
    alarm_interrupt(program);
}

/* Lets time pass, with the interrupts that come on the way. */
static void run_until(uint64_t time)
{
    while (armed <= time) {
        if (now < armed)
            now = armed;
        interrupt(NULL);
    }
    if (now < time)
        now = time;
}

/* ---- alarms ---- */

static struct due {
    struct alarm alarm;
    unsigned count;
    uint64_t last, interval; /* 0: once */
} first, second, third;

static char order[16];
static size_t ordered;

static void due(struct alarm *alarm, struct trap_frame *program)
{
    struct due *own = (struct due *)alarm;

    (void)program;
    assert_int_equal(alarm->deadline, UINT64_MAX);
    own->count++;
    own->last = now;
    order[ordered++ % sizeof(order)] = own == &first ? '1' : own == &second ? '2' : '3';
    if (own->interval > 0)
        alarm_set(alarm, now + own->interval);
}

static void set(struct due *own, uint64_t deadline)
{
    own->alarm.due = due;
    assert_true(alarm_set(&own->alarm, deadline));
}

static void earliest_is_armed(void **state)
{
    (void)state;
    set(&first, 5000);
    assert_int_equal(armed, 5000);
    set(&second, 3000);
    set(&third, 4000);
    assert_int_equal(armed, 3000);
    set(&second, UINT64_MAX); /* off */
    assert_int_equal(armed, 4000);
    run_until(4500);
    assert_int_equal(third.last, 4000);
    assert_int_equal(armed, 5000);
    run_until(10000);
    assert_int_equal(first.last, 5000);
    assert_int_equal(armed, UINT64_MAX);
    assert_int_equal(first.count + second.count + third.count, 2);
}

static void together_and_early(void **state)
{
    (void)state;
    set(&first, 2000);
    set(&second, 2000);
    set(&third, 1999);
    now = 1500;
    interrupt(NULL); /* the timer may be early */
    assert_int_equal(ordered, 0);
    assert_int_equal(armed, 1999);
    now = 2500; /* interrupts were off */
    interrupt(NULL);
    assert_memory_equal(order, "123", 3);
    assert_int_equal(ordered, 3);
}

static void set_again_when_due(void **state)
{
    (void)state;
    first.interval = 100;
    second.interval = 1000;
    set(&first, 1100);
    set(&second, 2000);
    run_until(11000);
    assert_int_equal(first.count, 100);
    assert_int_equal(second.count, 10);
}

/* ---- tickers ---- */

static struct ticker ticker;
static uint64_t ticks, periods, last, cost;
static unsigned refusals;

static bool tick(struct trap_frame *program, uint64_t over)
{
    (void)program;
    assert_true(over > 0);
    if (refusals > 0) {
        refusals--;
        return false;
    }
    ticks++;
    periods += over;
    last = now;
    now += cost;
    return true;
}

static void regular(void **state)
{
    uint64_t start = now;

    (void)state;
    ticker_start(&ticker, 1000000, false, tick);
    run_until(start + 10500000);
    assert_int_equal(ticks, 10);
    assert_int_equal(periods, 10);
    assert_int_equal(last, start + 10000000);
    now = start + 15200000; /* the core ran */
    interrupt(NULL);
    assert_int_equal(ticks, 11);
    assert_int_equal(periods, 15);
    refusals = 3;
    run_until(start + 16500000);
    assert_int_equal(last, start + 16000000 + 3 * ALARM_AGAIN_NS);
    refusals = 50; /* for 2.5 ms: what is owed adds up */
    run_until(start + 20500000);
    assert_int_equal(periods, 20);
    assert_int_equal(ticker.skipped, 0);
}

static void program_goes_on(void **state)
{
    uint64_t start = now;

    (void)state;
    cost = 2500000;
    ticker_start(&ticker, 1000000, false, tick);
    run_until(start + 100000000);
    assert_in_range(ticks * cost, 0, 51000000); /* at most half of the time */
    assert_in_range(ticks, 15, 20);
    assert_in_range(periods + ticker.skipped, 99, 106);
    ticker_stop(&ticker);
    assert_in_range(periods + ticker.skipped, (now - start) / 1000000 - 1, (now - start) / 1000000 + 1);
    assert_int_equal(armed, UINT64_MAX);
}

/* One in each period, and not always at the same place of it. */
static void spread(void **state)
{
    uint64_t start = now, low = UINT64_MAX, high = 0;

    (void)state;
    ticker_start(&ticker, 1000000, true, tick);
    for (uint64_t i = 1; i <= 1000; i++) {
        run_until(start + i * 1000000 - 1);
        assert_int_equal(ticks, i);
        assert_int_equal(periods, i);
        low = (last - start) % 1000000 < low ? (last - start) % 1000000 : low;
        high = (last - start) % 1000000 > high ? (last - start) % 1000000 : high;
    }
    assert_in_range(low, 0, 20000);
    assert_in_range(high, 980000, 999999);
    now = start + 1234567890;
    interrupt(NULL);
    assert_in_range(periods, 1234, 1235);
}

static void no_timer(void **state)
{
    static struct ticker other;

    (void)state;
    ticker_stop(&ticker); /* never started */
    has_timer = false;
    ticker_start(&ticker, 1000000, false, tick);
    ticker_start(&other, 1000, true, tick);
    assert_int_equal(printed, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(earliest_is_armed), cmocka_unit_test(together_and_early), cmocka_unit_test(set_again_when_due),
        cmocka_unit_test(regular),           cmocka_unit_test(program_goes_on),    cmocka_unit_test(spread),
        cmocka_unit_test(no_timer),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
