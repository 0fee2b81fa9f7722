/*
 * futex(2). A thread that waits is in the bucket of its address, in the order in which threads came; each bucket has a
 * lock, which is held where the word is compared and the thread put in, and where threads are taken out: so no wake-up
 * is lost between the two. A thread that was taken out takes the lock of its bucket once more before it goes on:
 * whoever took it out is then done with it. So that it finds the lock free, those that sleep are woken when the lock
 * has been given back (threads_go).
 *
 * Keys are addresses; of a word in memory that may be mapped twice (files, shared memory), which is not said to be
 * private, that in RAM.
 *
 * Locks with inheritance of priorities (FUTEX_LOCK_PI) are handed over by the core: the word holds the number of the
 * owner, which who unlocks sets to that of the thread that waited longest. There are no priorities to be inherited. Who
 * waits is known with the owner, so that the end of a thread hands over what it owned, whatever became of the word.
 */
#include "core/linux/futex.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/lock.h"
#include "core/linux/thread.h"
#include "core/linux/wait.h"
#include "vm/object.h"
#include "vm/space.h"

enum {
    FUTEX_WAIT,
    FUTEX_WAKE,
    FUTEX_REQUEUE = 3,
    FUTEX_CMP_REQUEUE,
    FUTEX_WAKE_OP,
    FUTEX_LOCK_PI,
    FUTEX_UNLOCK_PI,
    FUTEX_TRYLOCK_PI,
    FUTEX_WAIT_BITSET,
    FUTEX_WAKE_BITSET,
    FUTEX_LOCK_PI2 = 13,
};
#define FUTEX_PRIVATE 0x80
#define FUTEX_CLOCK_REALTIME 0x100
#define FUTEX_COMMAND 0x7f
#define FUTEX_ANY 0xffffffffu
#define WAITERS 0x80000000u
#define OWNER_DIED 0x40000000u
#define OWNER 0x3fffffffu

#define BUCKETS 256u

struct waiter {
    struct waiter *next, *previous;
    struct bucket *bucket; /* where it is, or was last; both are changed with the lock of that */
    bool queued;
    struct thread *thread;
    uintptr_t key;
    uint32_t bitset;
    /* Of FUTEX_LOCK_PI, else 0 and NULL: the number of the thread that waits, the word, and whose the lock is. */
    uint32_t self, owner;
    uint32_t *word;
};

struct bucket {
    _Alignas(64) struct spinlock_futex lock;
    struct waiter *first, *last;
};

static struct bucket buckets[BUCKETS];

static _Alignas(64) unsigned owned_waiters; /* for locks with an owner; atomic */

static struct bucket *bucket_of(uintptr_t key)
{
    return &buckets[(key >> 2) * 0x9e3779b97f4a7c15u >> 56];
}

_Static_assert(BUCKETS == 1 << 8, "bucket_of");

/* In memory that may be mapped twice; where a file is mapped privately a write would give the word another frame.
 * Others change mappings and page tables: what is looked at is held. */
static bool may_be_shared(const uint32_t *word)
{
    if (LIKELY(!__atomic_load_n(&vm_object_was_shared, __ATOMIC_RELAXED)))
        return false;

    struct address_space *space = vm_space();
    SPACE_HOLD_AT(space, (vaddr_t)word);
    const struct vm_segment *segment = vm_find(space, (vaddr_t)word);

    return segment != NULL && (vm_driver_of(segment)->properties & VM_DRIVER_OBJECTS) && vm_object_view(segment).shared;
}

static bool find_page(const uint32_t *word, struct mmu_entry *entry)
{
    struct address_space *space = vm_space();
    SPACE_HOLD_AT(space, (vaddr_t)word);
    return mmu_query(&space->mmu, (vaddr_t)word, entry);
}

/* Keys of RAM are odd. */
static uintptr_t key_of(const uint32_t *word, bool private)
{
    struct mmu_entry entry;
    uint32_t value;

    if (private || !may_be_shared(word) || user_read(&value, word, sizeof(value)) != E_SUCCESS ||
        !find_page(word, &entry))
        return (uintptr_t)word;
    return (entry.frame + ((uintptr_t)word & (page_bytes(entry.size) - 1))) | 1;
}

static void put(struct bucket *bucket, struct waiter *waiter)
{
    waiter->next = NULL;
    waiter->previous = bucket->last;
    if (bucket->last != NULL)
        bucket->last->next = waiter;
    else
        bucket->first = waiter;
    bucket->last = waiter;
    waiter->queued = true;
    __atomic_store_n(&waiter->bucket, bucket, __ATOMIC_RELAXED);
}

static void take(struct waiter *waiter)
{
    struct bucket *bucket = waiter->bucket;

    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        bucket->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        bucket->last = waiter->previous;
    waiter->queued = false;
}

static void wake(struct waiter *waiter, struct thread_list *woken)
{
    struct thread *thread = waiter->thread;

    take(waiter);
    thread_unpark_later(thread, woken);
}

/* The bucket that the waiter is in, or was last, locked. */
static struct bucket *lock_of(struct waiter *waiter)
{
    for (;;) {
        struct bucket *bucket = __atomic_load_n(&waiter->bucket, __ATOMIC_RELAXED);

        spin_lock(&bucket->lock);
        if (waiter->bucket == bucket)
            return bucket;
        spin_unlock(&bucket->lock);
    }
}

/* Takes the waiter out, if it still is in a bucket; true: it was. Whoever took it out is done with it. */
static bool withdraw(struct waiter *waiter)
{
    struct bucket *bucket = lock_of(waiter);
    bool queued = waiter->queued;

    if (queued)
        take(waiter);
    spin_unlock(&bucket->lock);
    return queued;
}

static bool is_queued(struct waiter *waiter)
{
    struct bucket *bucket = lock_of(waiter);
    bool queued = waiter->queued;

    spin_unlock(&bucket->lock);
    return queued;
}

/* Two buckets, in the order of their addresses. */
static void lock_both(struct bucket *a, struct bucket *b)
{
    spin_lock(a < b ? &a->lock : &b->lock);
    if (a != b)
        spin_lock(a < b ? &b->lock : &a->lock);
}

static void unlock_both(struct bucket *a, struct bucket *b)
{
    spin_unlock(&a->lock);
    if (a != b)
        spin_unlock(&b->lock);
}

/* ---- waiting ---- */

/*
 * Until the waiter is taken out: E_SUCCESS; E_TIMEDOUT; E_INTR: a signal. In the two latter cases it is no longer in a
 * bucket.
 */
static error_t wait_in(struct waiter *waiter, uint64_t deadline)
{
    do {
        error_t error = linux_signal_waits(deadline) ? E_INTR : clock_monotonic() >= deadline ? E_TIMEDOUT : E_SUCCESS;

        if (error != E_SUCCESS)
            return withdraw(waiter) ? error : E_SUCCESS;
        thread_park(deadline);
    } while (is_queued(waiter));
    return E_SUCCESS;
}

/* The deadline in monotonic ns of a time-out, a span or a moment of a clock. */
static error_t read_deadline(const struct linux_timespec *timeout, bool is_span, bool realtime, uint64_t *deadline)
{
    uint64_t time, now;
    error_t error;

    *deadline = WAIT_FOR_EVER;
    if (timeout == NULL)
        return E_SUCCESS;
    error = linux_read_span(timeout, &time);
    if (error != E_SUCCESS)
        return error;
    now = is_span ? 0 : realtime ? clock_realtime() : clock_monotonic();
    *deadline = linux_deadline(time > now ? time - now : 0);
    return E_SUCCESS;
}

static long futex_wait(const uint32_t *word, uintptr_t key, uint32_t value, uint64_t deadline, uint32_t bitset)
{
    struct waiter waiter = {.thread = thread_current(), .key = key, .bitset = bitset};
    struct bucket *bucket = bucket_of(waiter.key);
    uint32_t now;
    error_t error;

    if (bitset == 0)
        return -E_INVAL;
    spin_lock(&bucket->lock);
    error = user_read(&now, word, sizeof(now));
    if (error == E_SUCCESS && now != value)
        error = E_AGAIN;
    if (error == E_SUCCESS)
        put(bucket, &waiter);
    spin_unlock(&bucket->lock);
    if (error != E_SUCCESS)
        return -error;
    if (deadline == WAIT_FOR_EVER && linux_thread_is_alone() && is_queued(&waiter))
        futex_check_alone(word);
    error = wait_in(&waiter, deadline);
    return error == E_INTR && deadline == WAIT_FOR_EVER ? -E_RESTART : -error;
}

/* ---- waking ---- */

/* With the lock of the bucket. */
static unsigned wake_in(struct bucket *bucket, uintptr_t key, unsigned most, uint32_t bitset, struct thread_list *woken)
{
    unsigned count = 0;

    for (struct waiter *waiter = bucket->first, *next; waiter != NULL && count < most; waiter = next) {
        next = waiter->next;
        if (waiter->key != key || !(waiter->bitset & bitset) || waiter->self != 0)
            continue;
        wake(waiter, woken);
        count++;
    }
    return count;
}

static unsigned wake_some(uintptr_t key, unsigned most, uint32_t bitset)
{
    struct bucket *bucket = bucket_of(key);
    struct thread_list woken = {NULL, NULL};
    unsigned count;

    spin_lock(&bucket->lock);
    count = wake_in(bucket, key, most, bitset, &woken);
    spin_unlock(&bucket->lock);
    threads_go(&woken);
    return count;
}

unsigned futex_wake(const uint32_t *word, unsigned count)
{
    return wake_some(key_of(word, false), count, FUTEX_ANY);
}

/* Those behind the first `wakes` that are woken go to the other address, at most `moves`. expected: NULL, or what the
 * word has to be. */
static long futex_requeue(const uint32_t *word, uintptr_t key, unsigned wakes, unsigned moves, uintptr_t second,
                          const uint32_t *expected)
{
    struct bucket *from = bucket_of(key), *to = bucket_of(second);
    struct thread_list woken = {NULL, NULL};
    error_t error = E_SUCCESS;
    unsigned count = 0, moved = 0;
    uint32_t now;

    lock_both(from, to);
    if (expected != NULL)
        error = user_read(&now, word, sizeof(now));
    if (expected != NULL && error == E_SUCCESS && now != *expected)
        error = E_AGAIN;
    if (error == E_SUCCESS)
        count = wake_in(from, key, wakes, FUTEX_ANY, &woken);
    for (struct waiter *waiter = from->first, *next; error == E_SUCCESS && waiter != NULL && moved < moves;
         waiter = next) {
        next = waiter->next;
        if (waiter->key != key || waiter->self != 0 || key == second)
            continue;
        take(waiter);
        waiter->key = second;
        put(to, waiter);
        moved++;
    }
    unlock_both(from, to);
    threads_go(&woken);
    return error != E_SUCCESS ? -error : (long)(count + (expected != NULL ? moved : 0));
}

/* ---- FUTEX_WAKE_OP ---- */

enum { OP_SET, OP_ADD, OP_OR, OP_ANDN, OP_XOR, OPS };
enum { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMPS };
#define OP_SHIFT 8u /* the operand is the number of a bit */

static int32_t sign_extended(uint32_t value)
{
    return (int32_t)(value << 20) >> 20;
}

static uint32_t operate(unsigned operation, uint32_t old, uint32_t operand)
{
    return operation == OP_SET    ? operand
           : operation == OP_ADD  ? old + operand
           : operation == OP_OR   ? old | operand
           : operation == OP_ANDN ? old & ~operand
                                  : old ^ operand;
}

static bool compare(unsigned comparison, int32_t old, int32_t operand)
{
    return comparison == CMP_EQ   ? old == operand
           : comparison == CMP_NE ? old != operand
           : comparison == CMP_LT ? old < operand
           : comparison == CMP_LE ? old <= operand
           : comparison == CMP_GT ? old > operand
                                  : old >= operand;
}

static long futex_wake_op(uintptr_t key, unsigned most, unsigned most_second, uint32_t *second, uintptr_t second_key,
                          uint32_t code)
{
    unsigned operation = code >> 28 & 7, comparison = code >> 24 & 0xf;
    bool shift = code >> 28 & OP_SHIFT;
    uint32_t operand = (uint32_t)sign_extended(code >> 12 & 0xfff), old;
    struct bucket *first = bucket_of(key), *other = bucket_of(second_key);
    struct thread_list woken = {NULL, NULL};
    unsigned count = 0;
    error_t error;

    if (operation >= OPS || comparison >= CMPS)
        return -E_NOSYS;
    operand = shift ? 1u << (operand & 31) : operand;
    lock_both(first, other);
    error = user_read(&old, second, sizeof(old));
    for (uint32_t seen = old; error == E_SUCCESS; seen = old) {
        error = user_compare_exchange(second, &old, operate(operation, seen, operand));
        if (error != E_SUCCESS || old == seen)
            break;
    }
    if (error == E_SUCCESS) {
        count = wake_in(first, key, most, FUTEX_ANY, &woken);
        if (compare(comparison, (int32_t)old, sign_extended(code & 0xfff)))
            count += wake_in(other, second_key, most_second, FUTEX_ANY, &woken);
    }
    unlock_both(first, other);
    threads_go(&woken);
    return error != E_SUCCESS ? -error : (long)count;
}

/* ---- locks with an owner ---- */

/* The first that waits for the lock, and whether there are others. */
static struct waiter *first_owner(struct bucket *bucket, uintptr_t key, bool *more)
{
    struct waiter *first = NULL;

    *more = false;
    for (struct waiter *waiter = bucket->first; waiter != NULL && !*more; waiter = waiter->next) {
        if (waiter->key != key || waiter->self == 0)
            continue;
        *more = first != NULL;
        first = first != NULL ? first : waiter;
    }
    return first;
}

/* False before its futex_thread_ends looks for those that wait. */
static bool is_alive(uint32_t owner)
{
    LINUX_HOLD();
    const struct linux_thread *thread = linux_thread_find((int)owner);

    return thread != NULL && !thread->exiting;
}

/* One attempt, with the lock of the bucket: E_SUCCESS: it is ours; E_BUSY: *value is marked to be waited for; E_AGAIN:
 * the word has changed. */
static error_t try_lock(struct bucket *bucket, uint32_t *word, uintptr_t key, uint32_t self, uint32_t *value)
{
    bool more;
    uint32_t seen = *value, wanted = seen | WAITERS;
    error_t error;

    if ((seen & OWNER) == self)
        return E_DEADLK;
    if ((seen & OWNER) == 0)
        wanted = self | (seen & OWNER_DIED) | (first_owner(bucket, key, &more) != NULL ? WAITERS : 0);
    if (wanted == seen)
        return E_BUSY;
    error = user_compare_exchange(word, value, wanted);
    if (error != E_SUCCESS)
        return error;
    return *value != seen ? E_AGAIN : (seen & OWNER) == 0 ? E_SUCCESS : E_BUSY;
}

/* Who waits for the lock knows whose it is. With the lock of the bucket. */
static void note_owner(struct bucket *bucket, uintptr_t key, uint32_t owner)
{
    for (struct waiter *waiter = bucket->first; waiter != NULL; waiter = waiter->next)
        if (waiter->key == key && waiter->self != 0)
            waiter->owner = owner;
}

/* The waiter is in its bucket, as the word says that the lock has this owner: it may have another one since. */
static long wait_for_owner(struct waiter *waiter, uint32_t owner, uint64_t deadline)
{
    error_t error = E_SRCH;

    if (is_alive(owner))
        error = wait_in(waiter, deadline);
    else if (!withdraw(waiter))
        error = E_SUCCESS;
    waiter->owner = owner; /* who was asked for */
    return error == E_INTR ? -E_RESTART : -error;
}

static long lock_or_wait(struct waiter *waiter, uint64_t deadline, bool wait)
{
    struct bucket *bucket = bucket_of(waiter->key);
    uint32_t value, owner;
    error_t error;

    spin_lock(&bucket->lock);
    error = user_read(&value, waiter->word, sizeof(value));
    if (error == E_SUCCESS)
        do
            error = try_lock(bucket, waiter->word, waiter->key, waiter->self, &value);
        while (error == E_AGAIN);
    waiter->owner = owner = value & OWNER;
    if (error == E_SUCCESS) /* one that died may have left it to those that wait */
        note_owner(bucket, waiter->key, waiter->self);
    if (error == E_BUSY && wait)
        put(bucket, waiter);
    spin_unlock(&bucket->lock);
    return error != E_BUSY ? -error : wait ? wait_for_owner(waiter, owner, deadline) : -E_AGAIN;
}

static bool has_owner(const uint32_t *word, uint32_t owner)
{
    uint32_t value;

    return user_read(&value, word, sizeof(value)) != E_SUCCESS || (value & OWNER) == owner;
}

/* An owner that has ended may have said so in the word meanwhile: then the lock is to be had. */
static long futex_lock_pi(uint32_t *word, uintptr_t key, uint64_t deadline, bool wait)
{
    struct waiter waiter = {.thread = thread_current(),
                            .key = key,
                            .bitset = FUTEX_ANY,
                            .self = (uint32_t)linux_thread()->id,
                            .word = word};
    long result;

    __atomic_fetch_add(&owned_waiters, 1, __ATOMIC_SEQ_CST);
    do
        result = lock_or_wait(&waiter, deadline, wait);
    while (result == -E_SRCH && !has_owner(word, waiter.owner));
    __atomic_fetch_sub(&owned_waiters, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* The lock goes to the one who waited longest, or is free. owner: who has to have it by the word, or 0: that does not
 * matter. mark: OWNER_DIED or 0. With the lock of the bucket. */
static error_t hand_over(struct bucket *bucket, uint32_t *word, uintptr_t key, uint32_t owner, uint32_t mark,
                         struct thread_list *woken)
{
    bool more;
    struct waiter *next = first_owner(bucket, key, &more);
    uint32_t wanted = (next != NULL ? next->self : 0) | (more ? WAITERS : 0) | mark, value, seen;
    error_t error = user_read(&value, word, sizeof(value));

    do {
        seen = value;
        if (error == E_SUCCESS && owner != 0 && (seen & OWNER) != owner)
            error = E_PERM;
        if (error == E_SUCCESS)
            error = user_compare_exchange(word, &value, wanted);
    } while (error == E_SUCCESS && value != seen);
    if (error != E_SUCCESS || next == NULL)
        return error;
    note_owner(bucket, key, next->self);
    wake(next, woken);
    return E_SUCCESS;
}

static long futex_unlock_pi(uint32_t *word, uintptr_t key)
{
    struct bucket *bucket = bucket_of(key);
    struct thread_list woken = {NULL, NULL};
    error_t error;

    spin_lock(&bucket->lock);
    error = hand_over(bucket, word, key, (uint32_t)linux_thread()->id, 0, &woken);
    spin_unlock(&bucket->lock);
    threads_go(&woken);
    return -error;
}

/* ---- the end of a thread ---- */

void futex_owner_died(uint32_t *word, uint32_t owner, bool pi, bool pending)
{
    uint32_t value = 0, seen;
    error_t error = is_aligned((uintptr_t)word, sizeof(*word)) ? user_read(&value, word, sizeof(value)) : E_FAULT;

    if (error == E_SUCCESS && pending && !pi && (value & OWNER) == 0)
        futex_wake(word, 1);
    do {
        seen = value;
        if (error != E_SUCCESS || (seen & OWNER) != owner)
            return;
        error = user_compare_exchange(word, &value, (seen & WAITERS) | OWNER_DIED);
    } while (error != E_SUCCESS || value != seen);
    if ((seen & WAITERS) && !pi)
        futex_wake(word, 1);
}

/* In a bucket; true if there may be more. */
static bool hand_over_of(struct bucket *bucket, uint32_t owner)
{
    struct thread_list woken = {NULL, NULL};
    bool found = false;

    spin_lock(&bucket->lock);
    for (struct waiter *waiter = bucket->first; waiter != NULL && !found; waiter = waiter->next) {
        if (waiter->self == 0 || waiter->owner != owner)
            continue;
        found = hand_over(bucket, waiter->word, waiter->key, 0, OWNER_DIED, &woken) == E_SUCCESS;
    }
    spin_unlock(&bucket->lock);
    threads_go(&woken);
    return found;
}

void futex_thread_ends(uint32_t owner)
{
    if (__atomic_load_n(&owned_waiters, __ATOMIC_SEQ_CST) == 0)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        while (hand_over_of(&buckets[i], owner))
            ;
}

/* ---- the call ---- */

static bool is_word(const void *word)
{
    return is_aligned((uintptr_t)word, sizeof(uint32_t));
}

/* The fourth argument is a time-out, or a number. */
long linux_futex(const uint32_t *word, int operation, uint32_t value, const struct linux_timespec *timeout,
                 const uint32_t *second, uint32_t third)
{
    int command = operation & FUTEX_COMMAND;
    bool realtime = operation & FUTEX_CLOCK_REALTIME, private = operation & FUTEX_PRIVATE;
    unsigned number = (unsigned)(uintptr_t)timeout;
    uint64_t deadline = WAIT_FOR_EVER;
    error_t error = E_SUCCESS;
    uintptr_t key;

    if (!is_word(word))
        return -E_INVAL;
    key = key_of(word, private);
    if (realtime && command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI2)
        return -E_NOSYS;
    if (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET)
        error = read_deadline(timeout, command == FUTEX_WAIT, realtime, &deadline);
    else if (command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2)
        error = read_deadline(timeout, false, command == FUTEX_LOCK_PI || realtime, &deadline);
    if (error != E_SUCCESS)
        return -error;
    switch (command) {
    case FUTEX_WAIT:
        return futex_wait(word, key, value, deadline, FUTEX_ANY);
    case FUTEX_WAIT_BITSET:
        return futex_wait(word, key, value, deadline, third);
    case FUTEX_WAKE:
        return wake_some(key, value, FUTEX_ANY);
    case FUTEX_WAKE_BITSET:
        return third == 0 ? -E_INVAL : (long)wake_some(key, value, third);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if (!is_word(second) || (int32_t)value < 0 || (int32_t)number < 0)
            return -E_INVAL;
        return futex_requeue(word, key, value, number, key_of(second, private),
                             command == FUTEX_CMP_REQUEUE ? &third : NULL);
    case FUTEX_WAKE_OP:
        return is_word(second) ? futex_wake_op(key, value, number, (uint32_t *)second, key_of(second, private), third)
                               : -E_INVAL;
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi((uint32_t *)word, key, deadline, true);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi((uint32_t *)word, key, 0, false);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi((uint32_t *)word, key);
    default:
        return -E_NOSYS;
    }
}
