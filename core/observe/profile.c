/*
 * The profile (--profile): where the program is at each tick. Stacks are counted in a table and written at the end, or
 * when the table is full; nothing is dropped. What is no address is a number below the program's first page: a name.
 *
 * The weight of a stack is the number of periods that it stands for. A tick that is late for a system call or a page
 * fault is that call's, or a fault's, with all the periods that it took; any other one is the place's where it came.
 */
#include "core/base/print.h"
#include "core/observe.h"
#include "core/observe/json.h"
#include "core/observe/stacks.h"
#include "core/observe/ticker.h"
#include "core/program.h"
#include "core/record.h"

#define SECOND 1000000000u
#define DEPTH (STACK_WORDS_MAX - 2) /* addresses; a name before them, and one behind */

enum { NAME_IDLE = 1, NAME_FAULT, NAME_DEEPER, NAME_CALL = 0x1000, NAMES_END = 0x10000 };

static struct stacks stacks;
static struct ticker ticker;
static uint64_t samples, idle, flushes;

/* ---- writing ---- */

static void write_word(struct json *line, uintptr_t word)
{
    char name[32];

    if (word >= NAMES_END) {
        json_address(line, word);
        return;
    }
    text_format(name, sizeof(name), "[system call %lu]", (unsigned long)word - NAME_CALL);
    json_text(line, word == NAME_IDLE     ? "[idle]"
                    : word == NAME_FAULT  ? "[page fault]"
                    : word == NAME_DEEPER ? "[deeper]"
                                          : name);
}

static void write_stacks(void)
{
    struct json line;

    for (size_t i = 0; i < stacks.count; i++) {
        const struct stack *stack = &stacks.stacks[i];

        json_begin(&line);
        json_member_text(&line, "kind", "stack");
        json_member_number(&line, "weight", stack->weight);
        json_name(&line, "stack");
        json_open(&line, '[');
        for (size_t j = 0; j < stack->length; j++)
            write_word(&line, stacks.words[stack->first + j]);
        json_close(&line, ']');
        json_end(&line);
    }
    stacks_clear(&stacks);
}

/* ---- ticks ---- */

/* The name on top of the stack; 0: none. */
static uintptr_t name_of(enum frame_place place, unsigned long call)
{
    switch (place) {
    case FRAME_IN_CALL:
        return NAME_CALL + (call < NAMES_END - NAME_CALL ? call : NAMES_END - NAME_CALL - 1);
    case FRAME_IN_FAULT:
        return NAME_FAULT;
    case FRAME_IN_SLEEP:
        return NAME_IDLE;
    default:
        return 0;
    }
}

static bool tick(struct trap_frame *program, uint64_t periods)
{
    uintptr_t words[STACK_WORDS_MAX];
    unsigned long call = 0;
    enum frame_place place = frame_interrupted(&call);
    size_t length = 0, depth;

    (void)program;
    if (place == FRAME_IN_START) {
        ticker.skipped += periods;
        return true;
    }
    words[0] = name_of(place, call);
    length += words[0] != 0;
    depth = frame_interrupted_stack(words + length, DEPTH);
    length += depth;
    if (depth == DEPTH)
        words[length++] = NAME_DEEPER;
    samples += periods;
    idle += place == FRAME_IN_SLEEP ? periods : 0;
    if (!stacks_add(&stacks, words, length, periods)) {
        write_stacks();
        flushes++;
        stacks_add(&stacks, words, length, periods);
    }
    return true;
}

/* ---- the observer ---- */

static void start(const struct observation *observe)
{
    if (record_is_open())
        ticker_start(&ticker, SECOND / observe->profile, true, tick);
}

static void end(const struct observation *observe, int status)
{
    struct json line;

    (void)status;
    ticker_stop(&ticker);
    write_stacks();
    json_begin(&line);
    json_member_text(&line, "kind", "profile");
    json_member_number(&line, "rate", observe->profile);
    json_member_number(&line, "samples", samples);
    json_member_number(&line, "idle", idle);
    json_member_number(&line, "skipped", ticker.skipped);
    json_member_number(&line, "flushes", flushes);
    json_name(&line, "entry"); /* of the program: tells where it was loaded */
    json_address(&line, program_running()->entry);
    json_end(&line);
}

const struct observer quire_observer_profile = {.name = "profile", .start = start, .end = end};
