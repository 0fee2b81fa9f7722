/* Futexes from inside the core: what the end of a thread does to those that wait for it (man 2 futex). */
#ifndef CORE_LINUX_FUTEX_H
#define CORE_LINUX_FUTEX_H

#include "core/base/types.h"

/* Wakes at most `count` threads that wait at the address; the number of them. */
unsigned futex_wake(const uint32_t *word, unsigned count);
/* A thread ends that by its list owns the lock with this word: the word says so (FUTEX_OWNER_DIED), and the next one
 * that waits is woken. pi: it has inheritance of priorities; who waits then is told by futex_thread_ends. pending: it
 * was about to take the lock or had just freed it, and may owe others that they are woken. Memory that is not there is
 * left alone. */
void futex_owner_died(uint32_t *word, uint32_t owner, bool pi, bool pending);
/* After the thread has left the list of threads, or is exiting there: nobody begins to wait for it any more. */
void futex_thread_ends(uint32_t owner);

/* The only thread is about to wait for ever: unless a timer's signal may come, that ends the program with a line, as
 * the only useful thing to do. process.c */
void futex_check_alone(const uint32_t *word);

#endif
