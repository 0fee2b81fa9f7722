#include "core/random.h"

#include "core/cpu.h"

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
static uint64_t generate(void)
{
    static uint64_t state;
    uint64_t z = __atomic_add_fetch(&state, cpu_cycles() | 1, __ATOMIC_RELAXED); /* of no other CPU */

    z *= 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t random_word(void)
{
    uint64_t word;

    if (!cpu_random(&word))
        word = 0;
    return word ^ generate();
}
