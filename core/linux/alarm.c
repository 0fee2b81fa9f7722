#include "core/linux/alarm.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/signals.h"
#include "core/percpu.h"

#if QUIRE_THREADS
#include "core/threads/scheduler.h"
#define set_timer scheduler_set_alarm
#else
#define set_timer cpu_set_alarm
#endif

static struct alarm *alarms; /* in the order in which they were first set; there are few */
static uint64_t armed = UINT64_MAX;

static bool arm_earliest(void)
{
    static bool works = true;
    uint64_t earliest = UINT64_MAX;

    for (const struct alarm *alarm = alarms; alarm != NULL; alarm = alarm->next)
        if (alarm->deadline < earliest)
            earliest = alarm->deadline;
    if (earliest != armed) {
        armed = earliest;
        works = set_timer(earliest);
    }
    return works;
}

bool alarm_is_due(void)
{
    return armed <= clock_monotonic();
}

/* The timer may be early. */
void alarm_interrupt(struct trap_frame *program)
{
    uint64_t now = clock_monotonic();

    /* The scheduler has the old deadline until it is told of another one, or of none. */
    armed = QUIRE_THREADS ? 0 : UINT64_MAX;
    for (struct alarm *alarm = alarms; alarm != NULL; alarm = alarm->next) {
        if (alarm->deadline <= now) {
            alarm->deadline = UINT64_MAX;
            alarm->due(alarm, program);
        }
    }
    arm_earliest();
}

static void add(struct alarm *alarm)
{
    struct alarm **end = &alarms;

    if (alarms == NULL) {
#if !QUIRE_THREADS
        frame_on_interrupt(alarm_interrupt);
        this_cpu(linux_attention) |= ATTEND_INTERRUPTS;
#endif
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = alarm;
    alarm->known = true;
}

bool alarm_set(struct alarm *alarm, uint64_t deadline)
{
    alarm->deadline = deadline;
    if (!alarm->known)
        add(alarm);
    return arm_earliest();
}
