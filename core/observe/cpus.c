#include "core/observe/cpus.h"

#include "core/base/print.h"
#include "core/cpu.h"
#include "core/threads/scheduler.h"
#include "vm/vm.h"

#if QUIRE_THREADS

enum {
    BUSY,
    SWITCHES,
    PREEMPTIONS,
    MIGRATIONS,
    WAKES,
    CONTENDED,
    SHOOTDOWNS,
    SHOT_PAGES,
    SHOT_CPUS,
    SENT,
    RECEIVED,
    SERVED,
    FREED_ELSEWHERE,
    COUNTS
};

static const char *const names[COUNTS] = {
    [BUSY] = "busy_ns",
    [SWITCHES] = "switches",
    [PREEMPTIONS] = "preemptions",
    [MIGRATIONS] = "migrations",
    [WAKES] = "wakes",
    [CONTENDED] = "contended",
    [SHOOTDOWNS] = "shootdowns",
    [SHOT_PAGES] = "shot_pages",
    [SHOT_CPUS] = "shot_cpus",
    [SENT] = "interrupts_sent",
    [RECEIVED] = "interrupts_received",
    [SERVED] = "served",
    [FREED_ELSEWHERE] = "freed_elsewhere",
};

static void count(unsigned cpu, uint64_t counts[COUNTS])
{
    struct scheduler_counts scheduler = scheduler_counts(cpu);
    struct cpu_messages messages = cpu_messages(cpu);
    struct vm_cpu_stats vm = vm_cpu_stats(cpu);

    counts[BUSY] = scheduler_busy_time(cpu);
    counts[SWITCHES] = scheduler.switches;
    counts[PREEMPTIONS] = scheduler.preemptions;
    counts[MIGRATIONS] = scheduler.migrations;
    counts[WAKES] = scheduler.wakes;
    counts[CONTENDED] = vm.contended;
    counts[SHOOTDOWNS] = vm.shootdowns;
    counts[SHOT_PAGES] = vm.shot_pages;
    counts[SHOT_CPUS] = vm.shot_cpus;
    counts[SENT] = messages.sent;
    counts[RECEIVED] = messages.received;
    counts[SERVED] = messages.served;
    counts[FREED_ELSEWHERE] = vm.freed_elsewhere;
}

void cpus_add(struct json *line)
{
    uint64_t counts[COUNTS];

    json_name(line, "cpus");
    json_open(line, '[');
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        count(cpu, counts);
        json_open(line, '{');
        for (unsigned i = 0; i < COUNTS; i++)
            json_member_number(line, names[i], counts[i]);
        json_close(line, '}');
    }
    json_close(line, ']');
}

void cpus_add_sample(struct json *line)
{
    uint64_t contended = 0, shootdowns = 0;

    json_name(line, "busy");
    json_open(line, '[');
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct vm_cpu_stats vm = vm_cpu_stats(cpu);

        json_number(line, scheduler_busy_time(cpu));
        contended += vm.contended;
        shootdowns += vm.shootdowns;
    }
    json_close(line, ']');
    json_member_number(line, "contended", contended);
    json_member_number(line, "shootdowns", shootdowns);
}

void cpus_print(void)
{
    static const char *const heads[] = {"switches",   "preempted", "migrated", "wakes",    "contended",
                                        "shootdowns", "pages",     "sent",     "received", "freed el."};
    static const unsigned char shown[ARRAY_LENGTH(heads)] = {
        SWITCHES, PREEMPTIONS, MIGRATIONS, WAKES, CONTENDED, SHOOTDOWNS, SHOT_PAGES, SENT, RECEIVED, FREED_ELSEWHERE};
    uint64_t counts[COUNTS];

    if (cpu_count() == 1)
        return;
    kprintf("\n%-5s %8s", "CPU", "busy");
    for (unsigned i = 0; i < ARRAY_LENGTH(heads); i++)
        kprintf(" %10s", heads[i]);
    kprintf("\n");
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        count(cpu, counts);
        kprintf("%-5u %4llu.%01llu s", cpu, (unsigned long long)(counts[BUSY] / 1000000000),
                (unsigned long long)(counts[BUSY] / 100000000 % 10));
        for (unsigned i = 0; i < ARRAY_LENGTH(heads); i++)
            kprintf(" %10llu", (unsigned long long)counts[shown[i]]);
        kprintf("\n");
    }
}

#else

void cpus_add(struct json *line)
{
    (void)line;
}

void cpus_add_sample(struct json *line)
{
    (void)line;
}

void cpus_print(void)
{
}

#endif
