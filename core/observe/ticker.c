#include "core/observe/ticker.h"

#include "core/base/print.h"
#include "core/clock.h"

/* The linear congruential generator of Knuth's MMIX (TAOCP vol. 2, 3.3.4). */
static uint64_t random_below(uint64_t limit)
{
    static uint64_t state;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 32) * limit >> 32;
}

/* Goes to the first tick behind the time; the number of those that it leaves behind. */
static uint64_t pass(struct ticker *ticker, uint64_t time)
{
    uint64_t passed = 0;

    while (ticker->next <= time) {
        uint64_t whole = (time - ticker->slot) / ticker->period, periods = whole > 0 ? whole : 1;

        passed += periods;
        ticker->slot += periods * ticker->period;
        ticker->next = ticker->slot + (ticker->spread ? random_below(ticker->period) : 0);
    }
    return passed;
}

static void due(struct alarm *alarm, struct trap_frame *program)
{
    struct ticker *ticker = (struct ticker *)alarm;
    uint64_t start = clock_monotonic(), end;

    ticker->owed += pass(ticker, start);
    if (!ticker->tick(program, ticker->owed)) {
        alarm_set(alarm, start + ALARM_AGAIN_NS);
        return;
    }
    ticker->owed = 0;
    end = clock_monotonic();
    ticker->skipped += pass(ticker, end + (end - start));
    alarm_set(alarm, ticker->next);
}

void ticker_start(struct ticker *ticker, uint64_t period, bool spread, ticker_tick tick)
{
    static bool said;
    uint64_t now = clock_monotonic();

    *ticker = (struct ticker){.alarm = {.due = due}, .tick = tick, .spread = spread, .period = period};
    ticker->slot = spread ? now : now + period;
    ticker->next = ticker->slot + (spread ? random_below(period) : 0);
    if (!alarm_set(&ticker->alarm, ticker->next) && !said) {
        kprintf("quire: this machine has no timer that interrupts the program: nothing is sampled while it runs\n");
        said = true;
    }
}

void ticker_stop(struct ticker *ticker)
{
    uint64_t now = clock_monotonic();

    if (!ticker->alarm.known) /* never started */
        return;
    alarm_set(&ticker->alarm, UINT64_MAX);
    if (ticker->slot > now)
        ticker->skipped -= (ticker->slot - now) / ticker->period;
}
