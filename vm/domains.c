/* Domains (vm/space.h): making them, and holding more than one. */
#include "core/base/string.h"
#include "vm/frames.h"
#include "vm/visitors.h"

#if QUIRE_THREADS

struct address_space *space_after(struct address_space *domain)
{
    struct address_space *whole = domain->whole, *next = NULL;

    for (unsigned number = domain->number + 1; number < DOMAINS && !next; number++)
        next = __atomic_load_n(&whole->domains[number], __ATOMIC_ACQUIRE);
    return next;
}

static inline void close(struct address_space *domain)
{
    if (UNLIKELY(domain->open))
        visitors_leave(domain);
}

static void take(struct address_space *domain)
{
    space_lock(&domain->lock);
    close(domain);
}

/* Of a tied one domain 0 first. */
COLD void space_hold_special(struct space_hold *hold)
{
    close(hold->domain);
    if (!hold->domain->tied)
        return;
    space_unlock(&hold->domain->lock);
    take(hold->domain->whole);
    take(hold->domain);
    hold->tied = true;
}

COLD struct space_hold space_hold_all(struct address_space *space)
{
    struct address_space *whole = space ? space->whole : NULL;

    if (!whole)
        return (struct space_hold){.domain = NULL};
    take(whole);
    if (whole->all_depth++ == 0) {
        whole->all_held = 0;
        for (struct address_space *domain = space_after(whole); domain; domain = space_after(domain)) {
            take(domain);
            whole->all_held |= (uint64_t)1 << domain->number;
        }
    }
    return (struct space_hold){.domain = whole, .all = true};
}

COLD void space_release_all(struct address_space *whole)
{
    if (--whole->all_depth == 0) {
        for (uint64_t held = whole->all_held; held != 0; held &= held - 1)
            space_unlock(&whole->domains[__builtin_ctzll(held)]->lock);
    }
    space_unlock(&whole->lock);
}

static bool try_to_take(struct address_space *domain)
{
    if (!space_lock_try(&domain->lock))
        return false;
    close(domain);
    return true;
}

COLD bool space_try(struct space_hold *hold, struct address_space *domain)
{
    *hold = (struct space_hold){.domain = NULL};
    if (!try_to_take(domain))
        return false;
    if (domain->tied && !try_to_take(domain->whole)) {
        space_unlock(&domain->lock);
        return false;
    }
    *hold = (struct space_hold){.domain = domain, .tied = domain->tied};
    return true;
}

COLD void space_seize(struct address_space *space)
{
    for (struct address_space *domain = space->whole; domain; domain = space_after(domain))
        __atomic_store_n(&domain->lock.spin.taken, 1 + cpu_number(), __ATOMIC_RELAXED);
}

/* With domain 0 held. */
COLD static struct address_space *domain_make(struct address_space *whole, unsigned number)
{
    struct address_space *domain = __atomic_load_n(&whole->domains[number], __ATOMIC_RELAXED);

    if (domain)
        return domain;
    paddr_t frames = frame_get_run(DOMAIN_FRAMES_ORDER);

    if (frames == FRAME_NONE)
        return whole;
    domain = phys_to_virt(frames);
    space_init_domain(domain, whole, number);
    __atomic_store_n(&whole->domains[number], domain, __ATOMIC_RELEASE);
    return domain;
}

COLD static struct address_space *domain_get(struct address_space *whole, unsigned number)
{
    SPACE_HOLD(whole);
    mmu_begin_sharing(&whole->mmu);
    return domain_make(whole, number);
}

struct address_space *space_own(struct address_space *space)
{
    unsigned number = cpu_number();
    struct address_space *domain = __atomic_load_n(&space->whole->domains[number], __ATOMIC_ACQUIRE);

    return LIKELY(domain != NULL) ? domain : domain_get(space->whole, number);
}

/* With domain 0 held nobody waits for another who does not hold it. */
COLD static void tie(struct address_space *domain)
{
    take(domain->whole);
    take(domain);
    domain->tied = domain != domain->whole;
    space_unlock(&domain->lock);
    space_unlock(&domain->whole->lock);
}

COLD struct address_space *space_at_named(struct address_space *space, vaddr_t va, bool tied)
{
    struct address_space *domain = space_at(space, va);

    if (domain == space->whole && domain_of(va) != 0)
        domain = domain_get(space->whole, domain_of(va));
    if (tied && !domain->tied && domain != space->whole)
        tie(domain);
    return domain;
}

COLD void domains_destroy(struct address_space *whole)
{
    for (unsigned number = 1; number < DOMAINS; number++) {
        struct address_space *domain = whole->domains[number];

        if (!domain)
            continue;
        space_empty(domain);
        mmu_trim(&domain->mmu);
        whole->domains[number] = NULL;
        frame_put_run(virt_to_phys(domain), DOMAIN_FRAMES_ORDER);
    }
}
#else
void space_seize(struct address_space *space)
{
    (void)space;
}
#endif
