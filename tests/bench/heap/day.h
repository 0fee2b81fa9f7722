/*
 * A day of a program in miniature, for tests/boot/images/heap-day and the native benchmark: what it keeps grows and
 * shrinks, and the mix of sizes shifts.
 *
 * The program works on tasks: requests, documents, sessions of 4 KiB to a MiB. A task is built of blocks of the
 * program's types, some of them of a few kinds of its own, and of strings, while others are built too. Then one of its
 * blocks is replaced from time to time, and each step needs some for a moment only; in the end all go at once. Of 60
 * tasks 40 are short, 18 last for a twentieth of the day, and two for a quarter of it: most of what is alive belongs to
 * the last two sorts. Load comes in waves between 32 and 96 MiB and the kinds of new tasks go with it; in the last
 * eighth of the day it is the usual one, 64 MiB.
 *
 * Blocks that live on at random after a fall of the load (each as likely as any other, whatever was allocated with it)
 * would leave nothing to find out: without moving them no heap holds much less than at its height.
 */
#ifndef DAY_H
#define DAY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_MIB ((size_t)1 << 20)
#define DAY_TASKS 4096u
#define DAY_KINDS 4u
#define DAY_AT_ONCE 8u /* tasks that are being built */
#define DAY_WAVES 4u
#define DAY_EVENING 8u /* the part of the day that is left after the waves */
#define DAY_TYPES 40u

struct day_block {
    struct day_block *next; /* of the task, in a circle */
    uint32_t size, check;
};

struct day_task {
    struct day_block *cursor;
    size_t size, wanted; /* bytes */
    uint32_t kinds[DAY_KINDS];
    uint64_t ends;
};

static struct {
    struct day_task tasks[DAY_TASKS];
    uint32_t types[DAY_TYPES]; /* sizes of the program's types */
    unsigned settled, built;   /* how many: those that are whole, and behind them those that are being built */
    uint64_t operations, length, state;
    size_t live, promised; /* bytes in blocks; that all tasks will have */
} day;

static uint32_t day_below(uint32_t limit)
{
    day.state ^= day.state << 13;
    day.state ^= day.state >> 7;
    day.state ^= day.state << 17;
    return (uint32_t)((day.state >> 32) * limit >> 32);
}

static uint32_t day_around(uint32_t size)
{
    return size / 2 + day_below(size);
}

/* The load of the hour, between 0 and `full`: waves, and in the end the usual one, half of it. */
static uint64_t day_load(uint64_t full)
{
    uint64_t waves = day.length - day.length / DAY_EVENING, wave = waves / DAY_WAVES, at = day.operations % wave;

    if (day.operations >= waves)
        return full / 2;
    return full * 2 * (at < wave / 2 ? at : wave - at) / wave;
}

/* Half of a task's kinds are among the eight types that go with the load. */
static uint32_t day_kind(void)
{
    uint32_t first = (uint32_t)day_load(DAY_TYPES - 8);

    return day.types[day_below(2) ? first + day_below(8) : day_below(DAY_TYPES)];
}

/* Half of a task's blocks are of any type, a quarter of its kinds, the rest strings. */
static uint32_t day_size(const struct day_task *task)
{
    uint32_t sort = day_below(4);

    if (day_below(1000) == 0)
        return 30000 + day_below(300000);
    if (sort == 0)
        return day_around(64);
    return sort == 1 ? task->kinds[day_below(DAY_KINDS)] : day.types[day_below(DAY_TYPES)];
}

static void day_fail(const char *text)
{
    fprintf(stderr, "day: %s with %zu MiB alive\n", text, day.live / DAY_MIB);
    exit(1);
}

static uint32_t *day_last(struct day_block *block)
{
    return (uint32_t *)((char *)block + block->size - sizeof(uint32_t));
}

static struct day_block *day_make(const struct day_task *task)
{
    uint32_t size = day_size(task);
    struct day_block *block = malloc(size < sizeof(*block) ? size = sizeof(*block) : size);

    if (!block)
        day_fail("no memory");
    block->size = size;
    for (size_t at = 4096; at < size; at += 4096)
        ((char *)block)[at] = 1;
    *day_last(block) = size ^ 0x5a5a5a5a;
    day.live += size;
    day.operations++;
    return block;
}

static void day_drop(struct day_block *block)
{
    if (*day_last(block) != (block->size ^ 0x5a5a5a5a))
        day_fail("a block does not hold what was written to it");
    day.live -= block->size;
    day.operations++;
    free(block);
}

static void day_add(struct day_task *task)
{
    struct day_block *block = day_make(task);

    block->next = task->cursor ? task->cursor->next : block;
    if (task->cursor)
        task->cursor->next = block;
    task->cursor = block;
    task->size += block->size;
}

static void day_remove(struct day_task *task)
{
    struct day_block *block = task->cursor->next;

    task->cursor->next = block->next;
    task->size -= block->size;
    if (task->size == 0)
        task->cursor = NULL;
    day_drop(block);
}

static void day_open(void)
{
    struct day_task *task = &day.tasks[day.settled + day.built++];
    uint32_t most = 4096u << day_below(8);

    *task = (struct day_task){0};
    task->wanted = most + day_below(most);
    day.promised += task->wanted;
    for (unsigned i = 0; i < DAY_KINDS; i++)
        task->kinds[i] = day_kind();
}

static uint64_t day_lasts(void)
{
    uint32_t kind = day_below(60);
    uint64_t mean = day.length / (kind < 40 ? 200 : kind < 58 ? 20 : 4);

    return mean / 2 + day_below((uint32_t)mean);
}

static void day_settle(unsigned index)
{
    struct day_task task = day.tasks[index];

    task.ends = day.operations + day_lasts();
    day.tasks[index] = day.tasks[day.settled];
    day.tasks[day.settled++] = task;
    day.built--;
}

static void day_close(unsigned index)
{
    struct day_task *task = &day.tasks[index];

    while (task->cursor)
        day_remove(task);
    day.promised -= task->wanted;
    *task = day.tasks[--day.settled];
    day.tasks[day.settled] = day.tasks[day.settled + day.built];
}

static void day_need(const struct day_task *task)
{
    struct day_block *moment[8];

    for (unsigned i = 0; i < 8; i++)
        moment[i] = day_make(task);
    for (unsigned i = 0; i < 8; i++)
        day_drop(moment[i]);
}

static void day_build(unsigned index)
{
    struct day_task *task = &day.tasks[index];

    for (unsigned i = 0; i < 16 && task->size < task->wanted; i++)
        day_add(task);
    day_need(task);
    if (task->size >= task->wanted)
        day_settle(index);
}

static void day_use(unsigned index)
{
    struct day_task *task = &day.tasks[index];

    if (task->ends < day.operations) {
        day_close(index);
        return;
    }
    day_remove(task);
    day_add(task);
    task->cursor = task->cursor->next;
    day_need(task);
}

/* Up to so many operations of a day of the length. */
static void day_until(uint64_t operations)
{
    while (day.operations < operations) {
        while (day.built < DAY_AT_ONCE && day.settled + day.built < DAY_TASKS &&
               day.promised < 32 * DAY_MIB + day_load(64 * DAY_MIB))
            day_open();
        if (day.built > 0)
            day_build(day.settled + day_below(day.built));
        if (day.settled > 0)
            day_use(day_below(day.settled));
    }
}

/* Another day for each seed. */
static void day_begin(uint64_t length, uint64_t seed)
{
    day.length = length;
    day.state = (seed + 1) * 0x9e3779b97f4a7c15;
    for (unsigned i = 0; i < DAY_TYPES; i++)
        day.types[i] = day_around(32u << i * 8 / DAY_TYPES);
}

#endif
