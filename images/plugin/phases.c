/*
 * A plugin of QEMU for boot charts (images/boot_chart.py): when a machine comes to certain places for the first time,
 * in instructions of its first CPU since reset and in time since QEMU started. Nothing of this is in the image.
 *
 * A place is an address, or code that is found wherever it was loaded: the low bits of its address, which loading does
 * not change, and its first bytes. A translated block counts all of its instructions as it begins; of the block in
 * which a place lies, what is behind it is taken off again. An iteration of `rep` counts as one.
 *
 * Arguments: place=ADDRESS or place=LOW_BITS/ALIGNMENT/BYTES for each, output=FILE, and count=1: without it no
 * instructions are counted, which costs time. The file gets a line for each place as the machine comes there,
 *
 *     INDEX INSTRUCTIONS NANOSECONDS
 *
 * and at the last place QEMU ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "images/plugin/qemu_plugin.h"

#define PLACES_MAX 32u
#define BYTES_MAX 32u

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct place {
    uint64_t address, mask; /* of the address what is compared */
    unsigned char bytes[BYTES_MAX];
    size_t length;
    bool passed;
};

static struct place places[PLACES_MAX];
static size_t place_count;
static const char *output_name;
static FILE *output;
static bool counting;
static uint64_t instructions, start;

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "phases: %s\n", what);
    exit(1);
}

static uint64_t nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what is executed ---- */

static void count_block(unsigned cpu, void *number)
{
    if (cpu == 0)
        instructions += (uint64_t)number;
}

/* data: the place's number, and above it how many instructions of the block come from there on. */
static void pass(unsigned cpu, void *data)
{
    size_t index = (uint64_t)data % PLACES_MAX;
    uint64_t behind = (uint64_t)data / PLACES_MAX;

    if (cpu != 0 || places[index].passed)
        return;
    places[index].passed = true;
    fprintf(output, "%zu %llu %llu\n", index, (unsigned long long)(counting ? instructions - behind : 0),
            (unsigned long long)(nanoseconds() - start));
    if (index + 1 < place_count)
        return;
    if (fclose(output))
        fail("the times could not be written");
    _exit(0);
}

/* Whether the block has these bytes from one of its instructions on. */
static bool has_bytes(struct qemu_plugin_tb *tb, size_t from, const struct place *place)
{
    size_t found = 0;

    for (size_t i = from; found < place->length && i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t size = qemu_plugin_insn_size(insn), left = place->length - found;

        if (memcmp(qemu_plugin_insn_data(insn), place->bytes + found, size < left ? size : left))
            return false;
        found += size;
    }
    return found >= place->length;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t number = qemu_plugin_tb_n_insns(tb);

    (void)id;
    if (counting)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, count_block, QEMU_PLUGIN_CB_NO_REGS, (void *)number);
    for (size_t i = 0; i < number; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);

        for (size_t k = 0; k < place_count; k++)
            if ((address & places[k].mask) == places[k].address && !places[k].passed && has_bytes(tb, i, &places[k]))
                qemu_plugin_register_vcpu_insn_exec_cb(insn, pass, QEMU_PLUGIN_CB_NO_REGS,
                                                       (void *)((number - i) * PLACES_MAX + k));
    }
}

/* ---- start ---- */

static bool take_bytes(struct place *place, const char *text)
{
    unsigned byte;

    for (; *text; text += 2) {
        if (place->length == BYTES_MAX || sscanf(text, "%2x", &byte) != 1 || text[1] == '\0')
            return false;
        place->bytes[place->length++] = (unsigned char)byte;
    }
    return place->length != 0;
}

static bool take_place(const char *text)
{
    struct place *place = &places[place_count];
    char *next;

    if (place_count == PLACES_MAX)
        return false;
    place_count++;
    place->address = strtoull(text, &next, 0);
    place->mask = UINT64_MAX;
    if (*next == '\0')
        return true;
    if (*next != '/')
        return false;
    place->mask = strtoull(next + 1, &next, 0) - 1;
    return *next == '/' && take_bytes(place, next + 1);
}

static bool take_argument(const char *argument)
{
    if (strncmp(argument, "place=", strlen("place=")) == 0)
        return take_place(argument + strlen("place="));
    if (strncmp(argument, "output=", strlen("output=")) == 0) {
        output_name = argument + strlen("output=");
        return true;
    }
    counting = strcmp(argument, "count=1") == 0;
    return counting;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    start = nanoseconds();
    for (int i = 0; i < argc; i++)
        if (!take_argument(argv[i])) {
            fprintf(stderr, "phases: %s: no such argument\n", argv[i]);
            exit(1);
        }
    if (!info->system_emulation || place_count == 0 || output_name == NULL)
        fail("the arguments are place=..., output=FILE");
    output = fopen(output_name, "w");
    if (output == NULL)
        fail("no file for the times");
    setvbuf(output, NULL, _IOLBF, 0);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
