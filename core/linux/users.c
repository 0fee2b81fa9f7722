/*
 * Users, groups and capabilities: kept by Linux's rules (credentials(7), capabilities(7)) and returned. They decide
 * what these calls allow, and nothing else: files are opened as by root. Process groups and sessions: there is one of
 * each.
 */
#include "core/cpu.h"
#include "core/linux/process.h"

#define NO_ID UINT32_MAX /* -1: as it is */
#define GROUPS_MAX 64    /* of Linux's 65536; more are E_NOMEM */
#define GROUPS_LIMIT 65536
#define ALL_CAPABILITIES (((uint64_t)2 << CAPABILITY_LAST) - 1)

struct ids {
    uint32_t real, effective, saved, file_system;
};

static struct ids user, group;
static uint32_t groups[GROUPS_MAX];
static int group_count;
static uint64_t given_up[2]; /* capabilities that are not in the effective and the permitted set any more */
static uint64_t inheritable;
enum { EFFECTIVE, PERMITTED };
bool process_keeps_capabilities;

bool process_has_capability(unsigned number)
{
    return (given_up[EFFECTIVE] >> number & 1) == 0;
}

uint32_t process_user(void)
{
    return user.real;
}

long linux_getuid(void)
{
    return user.real;
}

long linux_geteuid(void)
{
    return user.effective;
}

long linux_getgid(void)
{
    return group.real;
}

long linux_getegid(void)
{
    return group.effective;
}

static bool is_root(const struct ids *ids)
{
    return ids->real == 0 || ids->effective == 0 || ids->saved == 0;
}

/* Capabilities follow the user (capabilities(7), "Effect of user ID changes on capabilities"). */
static void change_user(struct ids new)
{
    if (is_root(&user) && !is_root(&new) && !process_keeps_capabilities)
        given_up[PERMITTED] = given_up[EFFECTIVE] = ALL_CAPABILITIES;
    if (user.effective == 0 && new.effective != 0)
        given_up[EFFECTIVE] = ALL_CAPABILITIES;
    if (user.effective != 0 && new.effective == 0)
        given_up[EFFECTIVE] = given_up[PERMITTED];
    user = new;
}

static void change(struct ids *ids, struct ids new)
{
    new.file_system = new.effective;
    if (ids == &user)
        change_user(new);
    else
        group = new;
}

static bool may_set(const struct ids *ids)
{
    return process_has_capability(ids == &user ? CAPABILITY_SETUID : CAPABILITY_SETGID);
}

static long set_id(struct ids *ids, uint32_t id)
{
    struct ids new = *ids;

    if (id == NO_ID)
        return -E_INVAL;
    if (may_set(ids))
        new.real = new.saved = id;
    else if (id != ids->real && id != ids->saved)
        return -E_PERM;
    new.effective = id;
    change(ids, new);
    return 0;
}

static long set_real_effective(struct ids *ids, uint32_t real, uint32_t effective)
{
    struct ids new = *ids;

    if (real != NO_ID) {
        if (real != ids->real && real != ids->effective && !may_set(ids))
            return -E_PERM;
        new.real = real;
    }
    if (effective != NO_ID) {
        if (effective != ids->real && effective != ids->effective && effective != ids->saved && !may_set(ids))
            return -E_PERM;
        new.effective = effective;
    }
    if (real != NO_ID || (effective != NO_ID && effective != ids->real))
        new.saved = new.effective;
    change(ids, new);
    return 0;
}

static bool is_one_of(const struct ids *ids, uint32_t id)
{
    return id == NO_ID || id == ids->real || id == ids->effective || id == ids->saved;
}

static long set_three(struct ids *ids, uint32_t real, uint32_t effective, uint32_t saved)
{
    struct ids new = *ids;

    if (!may_set(ids) && (!is_one_of(ids, real) || !is_one_of(ids, effective) || !is_one_of(ids, saved)))
        return -E_PERM;
    if (real != NO_ID)
        new.real = real;
    if (effective != NO_ID)
        new.effective = effective;
    if (saved != NO_ID)
        new.saved = saved;
    change(ids, new);
    return 0;
}

static long get_three(const struct ids *ids, uint32_t *real, uint32_t *effective, uint32_t *saved)
{
    error_t error = user_write(real, &ids->real, sizeof(*real));

    if (error == E_SUCCESS)
        error = user_write(effective, &ids->effective, sizeof(*effective));
    if (error == E_SUCCESS)
        error = user_write(saved, &ids->saved, sizeof(*saved));
    return -error;
}

/* Returns the one before, whether or not it could be changed: man 2 setfsuid. */
static long set_file_system_id(struct ids *ids, uint32_t id)
{
    uint32_t before = ids->file_system;

    if (id != NO_ID && (is_one_of(ids, id) || id == before || may_set(ids)))
        ids->file_system = id;
    return before;
}

long linux_setuid(uint32_t id)
{
    return set_id(&user, id);
}

long linux_setgid(uint32_t id)
{
    return set_id(&group, id);
}

long linux_setreuid(uint32_t real, uint32_t effective)
{
    return set_real_effective(&user, real, effective);
}

long linux_setregid(uint32_t real, uint32_t effective)
{
    return set_real_effective(&group, real, effective);
}

long linux_setresuid(uint32_t real, uint32_t effective, uint32_t saved)
{
    return set_three(&user, real, effective, saved);
}

long linux_setresgid(uint32_t real, uint32_t effective, uint32_t saved)
{
    return set_three(&group, real, effective, saved);
}

long linux_getresuid(uint32_t *real, uint32_t *effective, uint32_t *saved)
{
    return get_three(&user, real, effective, saved);
}

long linux_getresgid(uint32_t *real, uint32_t *effective, uint32_t *saved)
{
    return get_three(&group, real, effective, saved);
}

long linux_setfsuid(uint32_t id)
{
    return set_file_system_id(&user, id);
}

long linux_setfsgid(uint32_t id)
{
    return set_file_system_id(&group, id);
}

long linux_getgroups(int size, uint32_t *list)
{
    if (size < 0 || (size > 0 && size < group_count))
        return -E_INVAL;
    if (size > 0 && user_write(list, groups, (size_t)group_count * sizeof(*groups)) != E_SUCCESS)
        return -E_FAULT;
    return group_count;
}

long linux_setgroups(int size, const uint32_t *list)
{
    uint32_t new[GROUPS_MAX];

    if (!process_has_capability(CAPABILITY_SETGID))
        return -E_PERM;
    if (size < 0 || size > GROUPS_LIMIT)
        return -E_INVAL;
    if (size > GROUPS_MAX)
        return -E_NOMEM;
    if (user_read(new, list, (size_t)size * sizeof(*new)) != E_SUCCESS)
        return -E_FAULT;
    for (int i = 0; i < size; i++)
        if (new[i] == NO_ID)
            return -E_INVAL;
    /* Linux sorts them (groups_sort), and so returns them. */
    group_count = 0;
    for (int i = 0; i < size; i++) {
        int at = group_count++;

        for (; at > 0 && groups[at - 1] > new[i]; at--)
            groups[at] = groups[at - 1];
        groups[at] = new[i];
    }
    return 0;
}

/* ---- groups of processes ---- */

long linux_setpgid(int pid, int group_of_processes)
{
    if (group_of_processes < 0)
        return -E_INVAL;
    return process_is_own(pid) ? -E_PERM : -E_SRCH; /* it leads its session */
}

long linux_getpgid(int pid)
{
    return process_is_own(pid) ? PROCESS : -E_SRCH;
}

long linux_setsid(void)
{
    return -E_PERM; /* it leads its process group */
}

/* ---- capabilities (man 2 capget) ---- */

struct capability_data {
    uint32_t effective, permitted, inheritable;
};

/* Elements of the data for a version of the structure; for an unknown one 0, and the newest is written back. */
static error_t capability_elements(struct linux_capability_header *user_header, struct linux_capability_header *header,
                                   size_t *elements)
{
    const uint32_t first = 0x19980330, second = 0x20071026, third = 0x20080522;

    if (user_read(header, user_header, sizeof(*header)) != E_SUCCESS)
        return E_FAULT;
    *elements = header->version == first ? 1 : header->version == second || header->version == third ? 2 : 0;
    if (*elements > 0)
        return E_SUCCESS;
    return user_write(&user_header->version, &third, sizeof(third)) != E_SUCCESS ? E_FAULT : E_INVAL;
}

long linux_capget(struct linux_capability_header *user_header, void *data)
{
    struct linux_capability_header header;
    uint64_t effective = ALL_CAPABILITIES & ~given_up[EFFECTIVE], permitted = ALL_CAPABILITIES & ~given_up[PERMITTED];
    struct capability_data both[2];
    size_t elements;
    error_t error = capability_elements(user_header, &header, &elements);

    if (error != E_SUCCESS)
        return data == NULL && error == E_INVAL ? 0 : -error;
    if (header.pid < 0)
        return -E_INVAL;
    if (!process_is_own(header.pid))
        return -E_SRCH;
    for (unsigned i = 0; i < 2; i++)
        both[i] = (struct capability_data){(uint32_t)(effective >> 32 * i), (uint32_t)(permitted >> 32 * i),
                                           (uint32_t)(inheritable >> 32 * i)};
    return data == NULL ? 0 : -user_write(data, both, elements * sizeof(both[0]));
}

long linux_capset(struct linux_capability_header *user_header, const void *data)
{
    struct linux_capability_header header;
    struct capability_data both[2] = {{0}};
    uint64_t effective = 0, permitted = 0, inherited = 0;
    size_t elements;
    error_t error = capability_elements(user_header, &header, &elements);

    if (error != E_SUCCESS)
        return -error;
    if (!process_is_own(header.pid))
        return -E_PERM;
    if (user_read(both, data, elements * sizeof(both[0])) != E_SUCCESS)
        return -E_FAULT;
    for (unsigned i = 0; i < 2; i++) {
        effective |= (uint64_t)both[i].effective << 32 * i;
        permitted |= (uint64_t)both[i].permitted << 32 * i;
        inherited |= (uint64_t)both[i].inheritable << 32 * i;
    }
    effective &= ALL_CAPABILITIES;
    permitted &= ALL_CAPABILITIES;
    if ((permitted & given_up[PERMITTED]) || (effective & ~permitted))
        return -E_PERM;
    given_up[PERMITTED] = ALL_CAPABILITIES & ~permitted;
    given_up[EFFECTIVE] = ALL_CAPABILITIES & ~effective;
    inheritable = inherited & ALL_CAPABILITIES;
    return 0;
}
