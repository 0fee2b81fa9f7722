/*
 * The page-table contract: what vm/ asks of the machine. Implemented by arch/x86_64/mmu.c, which also runs on the
 * host over simulated RAM (tests/unit/fake gives it its machine.h).
 *
 * Nobody else changes the tables meanwhile (vm/lock.h), but other CPUs may use them. Whatever is said here of stale
 * translations holds for all CPUs, by asking those that may know some (mmu_users, cpu_call): only entries that have
 * become more permissive may still be known as they were, for a CPU that faults on one forgets it.
 *
 * Every range is page aligned and inside one half of the canonical address space. No operation blocks.
 * Operations that need table frames return E_NOMEM when there are none and have then changed nothing; the others
 * cannot fail. Stale translations of the running CPU are flushed before an operation returns, mmu_unmap_lazily
 * excepted; adding an entry needs no flush (Intel SDM vol. 3, 4.10.2.3: absent entries are not cached).
 *
 * What mmu_unmap_lazily leaves to the next epoch, a flush of everything: the CPU may go on to translate the addresses
 * to frames that are somebody else's by now. So the addresses may not be given out before (vm/segments.c keeps them),
 * and what relies on their being absent asks mmu_settle() first: the core where it touches memory that the program
 * named (E_FAULT). A program that itself touches what it has unmapped may read and destroy other data, where it would
 * get a fault in strict mode. Everything else is exact: unmapping up to MMU_FLUSH_SINGLES pages, protecting, moving,
 * emptying, and whatever leaves the addresses with their owner or gives them to somebody at once.
 */
#ifndef VM_MMU_H
#define VM_MMU_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/cpu.h"

#define MMU_TABLE_CACHE 16
#define MMU_TABLES_WAITING 32 /* _ROOM: where several CPUs run */
#define MMU_TABLES_ROOM (QUIRE_THREADS ? 128 : MMU_TABLES_WAITING)
#define MMU_TABLES_EMPTY 8

/* Up to so many pages are flushed one by one. From here on one reload of the root is cheaper than INVLPG for each. */
#define MMU_FLUSH_SINGLES 16u

/* A flag of mmu_map beside VM_* of vm/vm.h: the frame belongs to somebody else (a memory object). Unmapping never gives
 * it back, and mmu_protect never makes it writable: who lends it decides at each write fault. */
#define VM_BORROWED (1u << 31)

/* True if other CPUs may know translations. */
static inline bool other_cpus_run(void)
{
    return QUIRE_THREADS && cpu_count() > 1;
}

/* What a CPU has asked the others to flush. */
struct mmu_shootdowns {
    uint64_t calls, pages, cpus; /* pages: one by one; cpus: how many were asked, over all calls */
};
extern struct mmu_shootdowns mmu_shootdowns; /* PERCPU */

/* One set of page tables. Owned by its address space; no field is for others but the counts, which may be read. */
struct mmu {
    paddr_t root;                 /* the top-level table */
    vaddr_t directory_number;     /* the GiB of addresses whose table of level 1 was used last (arch/x86_64/leaf.h) */
    uint64_t *directory;          /* that table, */
    uint64_t *directory_parent;   /* and the entry that points to it */
    size_t bytes;                 /* of the pages that were made through this structure and are there now, */
    size_t large[PAGE_SIZES - 1]; /* and how many of them are larger than 4 KiB, by page size (mmu_pages) */
    uint64_t flushed_pages, flushed_all; /* translations flushed one by one, and all of them at once: an epoch */
    unsigned cached; /* zeroed table frames kept ready, so that a touch after a free zeroes no table again */
    paddr_t cache[MMU_TABLE_CACHE];
    unsigned waiting; /* zeroed table frames that will be ready after the next flush */
    paddr_t wait[MMU_TABLES_ROOM];
#if QUIRE_THREADS
    bool shared; /* others have tables below the same root: its entries stay as they are once made */
#endif
    unsigned emptied;                /* tables were left in place when they became empty */
    vaddr_t empty[MMU_TABLES_EMPTY]; /* where that was lately, with the level of the entry that points to the table */
};

/* The pages of that size that were made through the structure and are there now. */
static inline size_t mmu_pages(const struct mmu *mmu, enum page_size size)
{
    if (size > PAGE_4K)
        return mmu->large[size - 1];
    return (mmu->bytes - (mmu->large[PAGE_2M - 1] << page_shift(PAGE_2M)) -
            (mmu->large[PAGE_1G - 1] << page_shift(PAGE_1G))) >>
           VM_PAGE_SHIFT;
}

/* Number of leaf entries by page size. What follows them only mmu_count tells. */
struct mmu_count {
    size_t pages[PAGE_SIZES];
    size_t borrowed;    /* of the small ones: VM_BORROWED */
    size_t clean_bytes; /* of the others, all sizes: not dirty, as mmu_clean leaves them until they are written to */
};

/* Frames of 4 KiB that follow each other. */
struct frame_run {
    paddr_t first;
    unsigned count;
};

struct mmu_entry {
    paddr_t frame; /* physical address of the page's first byte */
    enum page_size size;
    vm_flags_t flags; /* VM_READ, VM_WRITE, VM_EXEC, cache flags, VM_BORROWED; no VM_READ: kept but inaccessible */
    bool accessed, dirty;
};

/* A fresh, empty set of tables. E_NOMEM. */
error_t mmu_init(struct mmu *mmu);

/*
 * Several structures for different addresses of the same tables, no table of which but the root holds addresses of two
 * of them: operations on one and on another need not exclude each other. mmu_begin_sharing: from now on there may be
 * others. mmu_share: makes another. mmu_hand_over: what was moved by `from` to the range is of the other from now on,
 * which may be nothing; nobody uses either meanwhile.
 */
void mmu_begin_sharing(struct mmu *mmu);
void mmu_share(const struct mmu *mmu, struct mmu *other);
void mmu_hand_over(struct mmu *from, struct mmu *to, vaddr_t va, size_t size);

/* Gives back every table frame, cache included. No leaf may be left. */
void mmu_destroy(struct mmu *mmu);

/* Gives the table frames back that are cached, waiting, or empty and left in place, so that free frames can be
 * compared. */
void mmu_trim(struct mmu *mmu);

/*
 * Maps one page of the given size at va to the frame at pa, both aligned to it, with accessed and dirty preset.
 * flags: VM_READ (without it the entry is kept but inaccessible), VM_WRITE, VM_EXEC, one VM_CACHE_*, VM_BORROWED.
 * E_EXIST if a page, or a table of smaller pages, is there; E_NOMEM if a table frame is missing.
 */
error_t mmu_map(struct mmu *mmu, vaddr_t va, paddr_t pa, enum page_size size, vm_flags_t flags);

/*
 * For many pages of ordinary memory, and for one in the path of a fault (leaf.h: mmu_directory_entry, mmu_enter_small,
 * through machine.h). mmu_find_directory: the entry for the 2 MiB around va, remembered for the next time; NULL: no
 * table holds it. mmu_make_table: the same, with a table made if there is none; NULL: no frame for it, or a large page
 * is there. Of the table that the entry points to, which holds all of the pages: mmu_free_small: how many from va on
 * are not there, at most `most`; mmu_map_runs: maps frames from va on, where none is: the number of pages. Of the
 * directory itself: mmu_free_large: how many entries from this one on are free, at most `most`; mmu_map_large: maps 2
 * MiB at it; mmu_map_many_large: and more that follow each other.
 */
uint64_t *mmu_find_directory(struct mmu *mmu, vaddr_t va);
uint64_t *mmu_make_table(struct mmu *mmu, vaddr_t va);
unsigned mmu_free_small(uint64_t directory_entry, vaddr_t va, unsigned most);
unsigned mmu_map_runs(struct mmu *mmu, uint64_t *directory_entry, vaddr_t va, const struct frame_run *runs,
                      unsigned count, vm_flags_t flags);
unsigned mmu_free_large(const struct mmu *mmu, const uint64_t *directory_entry, size_t most);
void mmu_map_large(struct mmu *mmu, uint64_t *directory_entry, paddr_t frame, vm_flags_t flags);
void mmu_map_many_large(struct mmu *mmu, uint64_t *directory_entry, paddr_t first, unsigned count, vm_flags_t flags);

/* What leaf.h needs where the last page has gone from a table of small ones: its place is remembered. 0, for who calls
 * it as the last thing. */
long mmu_note_empty(struct mmu *mmu, uint64_t *directory_entry, vaddr_t va);

/* Gives the page of 4 KiB that is mapped at va another frame and other flags. The old frame stays with its owner. */
void mmu_replace(struct mmu *mmu, vaddr_t va, paddr_t pa, vm_flags_t flags);

/* Maps [va, va + size) to [pa, pa + size) in the largest pages that fit, at most `largest`. The range is unmapped. */
error_t mmu_map_range(struct mmu *mmu, vaddr_t va, paddr_t pa, size_t size, enum page_size largest, vm_flags_t flags);

/* Makes va a page boundary: a larger page across it is split into pages of the next size down, as often as needed. */
error_t mmu_split(struct mmu *mmu, vaddr_t va);

/*
 * Removes every entry of the range and the tables left empty. Pages may not reach out of the range (mmu_split).
 * With release, the frames of the pages that are not borrowed go back by mmu_release_frame().
 */
void mmu_unmap(struct mmu *mmu, vaddr_t va, size_t size, bool release);

/*
 * The same, with release, of addresses that nobody will use before the next epoch: when flushed_all has changed. True:
 * it is left to that. False: everything is flushed, which is so for few pages, and always in strict mode. room: so many
 * bytes from va on, a power of two to which va is aligned, hold nothing else, and will not before that either.
 */
bool mmu_unmap_lazily(struct mmu *mmu, vaddr_t va, size_t size, size_t room);

/* From now on, whether mmu_unmap_lazily flushes at once: for debugging programs. Debug builds begin so. */
void mmu_set_strict(bool strict);
extern bool mmu_strict;

#if QUIRE_THREADS
/*
 * From now on each of the CPUs has tables of its own (arch/x86_64/cpu_tables.c) beside those of the structure, whose
 * root is for ever: so that mmu_users can tell who may translate an address. The caller sees to it that each loads its
 * mmu_own_root (PERCPU; 0: there is none) before it runs anything else. False: there is no memory for that, and nothing
 * has changed. mmu_free_own_tables: the other way, when nobody uses them any more.
 */
bool mmu_make_own_tables(struct mmu *mmu, unsigned cpus);
void mmu_free_own_tables(void);
extern paddr_t mmu_own_root;
/* The root that they are taken from; 0: CPUs have none. */
paddr_t mmu_common_root(void);

/* For a fault, before anything else: true: it was only that the CPU's own tables lacked what the others have there, and
 * it is to try again. Takes no lock. */
bool mmu_learn(vaddr_t va);

/* The CPUs, a bit for each, that may know translations for addresses of the range, after whatever the caller has
 * changed there: those that come later will see the change. */
uint64_t mmu_users(vaddr_t va, size_t size);

/* Has other CPUs that may know pages of 4 KiB in the range forget them: of what was taken out with mmu_take_small, at
 * most MMU_FLUSH_SINGLES pages, before its frames are given away. */
void mmu_flush_elsewhere(vaddr_t va, size_t size);

/* True if another CPU than this one may. */
bool mmu_others_know(vaddr_t va, size_t size);
static inline bool mmu_is_known_elsewhere(vaddr_t va, size_t size)
{
    return other_cpus_run() && mmu_others_know(va, size);
}
#else
static inline paddr_t mmu_common_root(void)
{
    return 0;
}

static inline void mmu_flush_elsewhere(vaddr_t va, size_t size)
{
    (void)va, (void)size;
}

static inline bool mmu_is_known_elsewhere(vaddr_t va, size_t size)
{
    (void)va, (void)size;
    return false;
}
#endif

/* PERCPU: whose translations the running CPU may still know although they are unmapped; NULL: nobody's. */
extern struct mmu *mmu_behind;

/* Flushes what mmu_unmap_lazily left on the running CPU, if it did. */
void mmu_settle(void);

/* Flushes everything on all CPUs: an epoch. */
void mmu_flush(struct mmu *mmu);

/* The frame of 2 MiB with whose first frames, `count` of them, the table at va begins, all with the same flags, if no
 * other page is in it; else FRAME_NONE. mmu_complete_large: then makes one page of 2 MiB of them; the frame's others
 * are the caller's to get before. */
paddr_t mmu_begun_large(const struct mmu *mmu, vaddr_t va, unsigned *count);
void mmu_complete_large(struct mmu *mmu, vaddr_t va);

/* Makes one page of 2 MiB of the table of smaller ones that is at va, if they are all there, lie next to each other in
 * one frame of 2 MiB, and have the same flags. False: nothing was changed. */
bool mmu_promote(struct mmu *mmu, vaddr_t va);

/* Puts one page of 2 MiB in the place of the table of smaller ones that is at va; their frames that are not borrowed go
 * back. */
void mmu_collapse(struct mmu *mmu, vaddr_t va, paddr_t pa, vm_flags_t flags);

/* Removes the borrowed pages of the range and no others. */
void mmu_unmap_borrowed(struct mmu *mmu, vaddr_t va, size_t size);

/* Gives every page of the range the protection of flags, borrowed ones without VM_WRITE; the other flags stay. Pages
 * may not reach out of the range. */
void mmu_protect(struct mmu *mmu, vaddr_t va, size_t size, vm_flags_t flags);

/* Takes the contents of the pages of the range for lost (MADV_FREE): they are not dirty until they are written to
 * again. Pages may not reach out of the range. Borrowed ones stay as they are. */
void mmu_clean(struct mmu *mmu, vaddr_t va, size_t size);

/* Unmaps and releases the pages of the range that are not dirty: the bytes of them. */
size_t mmu_unmap_clean(struct mmu *mmu, vaddr_t va, size_t size);

/*
 * Moves every entry of [from, from + size) to the same offset of to, which is unmapped; the ranges do not overlap.
 * Large pages stay large where both ends are aligned alike and are split before otherwise. E_NOMEM.
 */
error_t mmu_move(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size);

/* The entry that maps va; false if there is none. */
bool mmu_query(const struct mmu *mmu, vaddr_t va, struct mmu_entry *entry);

#if QUIRE_THREADS
/*
 * For several CPUs at once, while nobody changes the tables otherwise (vm/visitors.c, arch/x86_64/mmu_shared.c). Pages
 * of ordinary memory only; the caller has them counted later (mmu_count_added), and what it adds to the directories,
 * whose counts lie beside each other (mmu_count_entries).
 *
 * mmu_find_place: where the 2 MiB around va are entered: in the directory, with what is there; false: there is none.
 * mmu_add_table: makes a table for small pages where nothing was, unless another CPU makes it; false: no frame.
 * mmu_add_small: of the run, all of which is for that table, as many frames as there are free entries from va on: their
 * number, 0 if another CPU has backed va. mmu_add_large: false: something is there by now.
 * mmu_forget_allowed: true if what is there allows the access: what this CPU knew of it is forgotten.
 */
struct mmu_place {
    uint64_t *above, *directory;
    uint64_t entry; /* of the directory, as it was */
};
/* Entries of one directory, of which the entry above does not count so many yet. */
struct mmu_uncounted {
    uint64_t *above;
    unsigned entries;
};
bool mmu_find_place(const struct mmu *mmu, vaddr_t va, struct mmu_place *place);
bool mmu_add_table(struct mmu_place *place, struct mmu_uncounted *uncounted);
unsigned mmu_add_small(const struct mmu_place *place, vaddr_t va, struct frame_run run, vm_flags_t flags);
bool mmu_add_large(const struct mmu_place *place, paddr_t frame, vm_flags_t flags, struct mmu_uncounted *uncounted);
void mmu_count_entries(struct mmu_uncounted *uncounted);
bool mmu_forget_allowed(const struct mmu_place *place, vaddr_t va, vm_flags_t access);
#endif

/* True if neither a page nor a table for one is in the range, as far as one look at the directory used last, or a table
 * of it, tells. */
bool mmu_is_unused(const struct mmu *mmu, vaddr_t va, size_t size);

/* True if a page of that size could be mapped at va: no entry is there, nor a table of smaller pages. */
bool mmu_is_free(const struct mmu *mmu, vaddr_t va, enum page_size size);

/* The pages of the range, by size. Those that were mapped at boot, the image's, count when they have been touched. */
struct mmu_count mmu_count(const struct mmu *mmu, vaddr_t va, size_t size);

/* Table frames in use for the lower half, root and cached ones not counted (statistics, tests). */
size_t mmu_tables(const struct mmu *mmu);

/* The largest page the machine has (CPUID), and the number of physical address bits. */
enum page_size mmu_largest_page(void);
unsigned mmu_physical_bits(void);

/* Upcalls, implemented by vm/frames/magazines.c. */
paddr_t mmu_get_table_frame(void);       /* a 4 KiB frame of zeros, or FRAME_NONE */
void mmu_put_table_frame(paddr_t table); /* of zeros again */
void mmu_release_frame(paddr_t frame, enum page_size size);
void mmu_release_frames(const paddr_t *frames, unsigned count);                /* of 4 KiB */
void mmu_release_neighbours(paddr_t first, enum page_size size, size_t count); /* frames that follow each other */

#endif
