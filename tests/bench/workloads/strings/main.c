/*
 * A hash table of strings with chains, which doubles as it fills: keys are inserted, found, looked for in vain, and
 * then replaced by others for a while. An entry and its string are a block each, as in a program that got its string
 * from elsewhere.
 *
 * Checked: at the end the table holds the keys that an array of bits says, and no others, each with its value.
 */
#include "tests/bench/bench.h"

#define KEYS 100000u       /* times the scale */
#define MISSED 0x80000000u /* added to a number: a key that never gets in */
#define TEXT_MOST 64u
#define FIRST_BUCKETS 64u
#define SEED 0xda942042e4dd58b5

struct entry {
    struct entry *next;
    char *text;
    uint64_t hash;
    uint32_t value;
};

static struct table {
    struct entry **buckets;
    uint32_t count, entries; /* count is a power of two */
} table;

/* The key of a number: its digits in base 26 and a tail that depends on it, 9 to 63 characters. The length. */
static uint32_t make_text(char *text, uint32_t number)
{
    uint32_t length = 8, tail = number % 7 * number % 56, rest = number;

    for (uint32_t i = 0; i < 8; i++, rest /= 26)
        text[i] = (char)('a' + rest % 26);
    while (length < 8 + tail) {
        text[length] = (char)('0' + length % 10);
        length++;
    }
    text[length] = '\0';
    return length;
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash ^ hash >> 32;
}

/* Where the pointer to the entry of the text is, or the end of its chain. */
static struct entry **find(const char *text, uint64_t hash)
{
    struct entry **place = &table.buckets[hash & (table.count - 1)];

    while (*place && ((*place)->hash != hash || strcmp((*place)->text, text) != 0))
        place = &(*place)->next;
    return place;
}

static void double_table(void)
{
    uint32_t count = 2 * table.count;
    struct entry **buckets = bench_calloc(count, sizeof(*buckets));

    for (uint32_t i = 0; i < table.count; i++) {
        for (struct entry *entry = table.buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    free(table.buckets);
    table.buckets = buckets;
    table.count = count;
}

/* False if it is there already. */
static bool insert(uint32_t number)
{
    char text[TEXT_MOST];
    uint32_t length = make_text(text, number);
    uint64_t hash = hash_of(text);

    if (*find(text, hash))
        return false;
    struct entry *entry = bench_malloc(sizeof(*entry));

    *entry = (struct entry){NULL, bench_malloc(length + 1), hash, number};
    memcpy(entry->text, text, length + 1);
    if (table.entries == table.count)
        double_table();
    entry->next = table.buckets[hash & (table.count - 1)];
    table.buckets[hash & (table.count - 1)] = entry;
    table.entries++;
    return true;
}

/* False if it is not there. */
static bool delete (uint32_t number)
{
    char text[TEXT_MOST];

    make_text(text, number);
    struct entry **place = find(text, hash_of(text)), *entry = *place;

    if (!entry)
        return false;
    *place = entry->next;
    free(entry->text);
    free(entry);
    table.entries--;
    return true;
}

static bool contains(uint32_t number)
{
    char text[TEXT_MOST];

    make_text(text, number);
    const struct entry *entry = *find(text, hash_of(text));

    return entry && entry->value == number;
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < table.count; i++) {
        for (struct entry *entry = table.buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free(entry->text);
            free(entry);
        }
    }
    free(table.buckets);
}

/* Numbers below twice `keys`: half of them are in. How often the table and the array of what is in did not agree. */
static uint64_t churn(uint32_t keys, unsigned char *in)
{
    uint64_t random = SEED, wrong = 0;

    for (uint32_t i = 0; i < keys; i++) {
        uint32_t number = bench_random_below(&random, 2 * keys);

        wrong += (in[number] ? delete (number) : insert(number)) != true;
        in[number] ^= 1;
    }
    return wrong;
}

static uint64_t found(uint32_t first, uint32_t count)
{
    uint64_t result = 0;

    for (uint32_t i = 0; i < count; i++)
        result += contains(first + i);
    return result;
}

static void check(uint32_t keys, const unsigned char *in)
{
    uint32_t wanted = 0;

    for (uint32_t number = 0; number < 2 * keys; number++) {
        wanted += in[number];
        bench_check_number("whether a string is in the table", contains(number), in[number]);
    }
    bench_check_number("the number of strings in the table", table.entries, wanted);
}

int main(int argc, char **argv)
{
    uint32_t keys = KEYS * bench_scale(argc, argv);
    struct bench_span span = {0};

    bench_open();
    unsigned char *in = bench_calloc(2 * (size_t)keys, 1);

    bench_begin(&span);
    table = (struct table){bench_calloc(FIRST_BUCKETS, sizeof(*table.buckets)), FIRST_BUCKETS, 0};
    for (uint32_t number = 0; number < keys; number++)
        in[number] = insert(number);
    uint64_t hits = found(0, keys), misses = found(MISSED, keys / 2), wrong = churn(keys, in);

    bench_end(&span);
    bench_check_number("the number of strings that were found", hits, keys);
    bench_check_number("the number of strings that nobody put in", misses, 0);
    bench_check_number("the number of changes that the table refused", wrong, 0);
    check(keys, in);
    bench_begin(&span);
    tear_down();
    bench_end(&span);
    free(in);
    bench_print("total", "hash table of strings: insert, find, churn", 1, &span, 0);
    return bench_close();
}
