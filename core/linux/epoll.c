/*
 * epoll(7). An instance has an item for each descriptor that it watches, and a list of the items that may be ready.
 * Kinds of files that say when they change (file_wake) put their items on that list, so that a wait costs what is
 * ready, not what is watched. The few kinds that do not (the console, signalfd, other epoll instances) are asked in
 * each wait.
 *
 * Being on the list is a hint: what is reported is the answer of poll at that moment. A level-triggered item that was
 * reported goes back to the end of the list, an edge-triggered one comes back with the next wake. An asked kind has an
 * edge where an event comes up that was not there when it was asked before, or before it was read.
 */
#include "core/allocate.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/signals.h"
#include "core/linux/timers.h"
#include "core/linux/wait.h"

enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL, EPOLL_CTL_MOD };
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP (1u << 29)
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)
#define EPOLL_BEHAVIOUR (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define EPOLL_EXCLUSIVE_ALLOWED (POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define NESTING_MAX 4u /* links between instances on the longest way through them */
#define EVENTS_MAX (INT32_MAX / (int)sizeof(struct linux_epoll_event))

/* A member of one of an instance's lists; the lists are rings through their heads. */
struct link {
    struct link *next, *previous;
};

struct epoll {
    struct file *file;
    struct link items, ready, asked; /* all; perhaps ready; those that have to be asked */
};

struct item {
    struct watch watch; /* on the file's list */
    struct link member, ready, asked;
    struct epoll *epoll;
    struct file *file;
    int fd;
    uint32_t events; /* POLL* and EPOLL*; POLL* are 0 after a EPOLLONESHOT until it is set again */
    uint32_t seen;   /* of an asked kind: what it answered last */
    uint64_t data;
};

/* ---- lists ---- */

static void link_init(struct link *link)
{
    link->next = link->previous = link;
}

static bool link_is_alone(const struct link *link)
{
    return link->next == link;
}

static void link_append(struct link *head, struct link *link)
{
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

static void link_remove(struct link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link_init(link);
}

/* ---- what is ready ---- */

static uint32_t wanted(const struct item *item)
{
    return item->events & ~EPOLL_BEHAVIOUR;
}

static uint32_t happened(const struct item *item)
{
    return file_poll(item->file) & wanted(item);
}

static void make_ready(struct item *item)
{
    if (link_is_alone(&item->ready))
        link_append(&item->epoll->ready, &item->ready);
}

/* Something new: who watches the instance has to hear of it even if the item was ready before. */
static void make_ready_anew(struct item *item)
{
    make_ready(item);
    file_wake(item->epoll->file, POLLIN | POLLRDNORM);
}

static void item_wake(struct watch *watch, unsigned events)
{
    struct item *item = CONTAINER_OF(watch, struct item, watch);

    if (events == 0)
        item->seen = 0; /* it was read: whatever is there now is news */
    else if (events & wanted(item))
        make_ready_anew(item);
}

static void ask(struct epoll *epoll)
{
    for (struct link *link = epoll->asked.next; link != &epoll->asked; link = link->next) {
        struct item *item = CONTAINER_OF(link, struct item, asked);
        uint32_t now = happened(item), before = item->seen;

        item->seen = now;
        if (now & ~before)
            make_ready_anew(item);
        else if (now && !(item->events & EPOLLET))
            make_ready(item);
    }
}

/* True if something is; takes items off the list that are not. */
static bool is_ready(struct epoll *epoll)
{
    ask(epoll);
    while (!link_is_alone(&epoll->ready)) {
        struct item *item = CONTAINER_OF(epoll->ready.next, struct item, ready);

        if (happened(item) != 0)
            return true;
        link_remove(&item->ready);
    }
    return false;
}

/* ---- items ---- */

static void remove_item(struct item *item)
{
    struct watch **link = &item->file->watches;

    while (*link != &item->watch)
        link = &(*link)->next;
    *link = item->watch.next;
    link_remove(&item->member);
    link_remove(&item->ready);
    link_remove(&item->asked);
    core_release(item, sizeof(*item));
}

static void item_close(struct watch *watch)
{
    remove_item(CONTAINER_OF(watch, struct item, watch));
}

static struct item *find_item(const struct epoll *epoll, const struct file *file, int fd)
{
    for (struct watch *watch = file->watches; watch != NULL; watch = watch->next) {
        struct item *item = CONTAINER_OF(watch, struct item, watch);

        if (watch->wake == item_wake && item->epoll == epoll && item->fd == fd)
            return item;
    }
    return NULL;
}

static void set_item(struct item *item, const struct linux_epoll_event *event)
{
    item->events = event->events | POLLERR | POLLHUP;
    item->data = event->data;
    item->seen = happened(item);
    if (item->seen != 0)
        make_ready_anew(item);
}

static error_t add_item(struct epoll *epoll, struct file *file, int fd, const struct linux_epoll_event *event)
{
    struct item *item = core_allocate(sizeof(*item));

    if (item == NULL)
        return E_NOMEM;
    *item = (struct item){.epoll = epoll, .file = file, .fd = fd};
    item->watch = (struct watch){.next = file->watches, .wake = item_wake, .close = item_close};
    file->watches = &item->watch;
    link_append(&epoll->items, &item->member);
    link_init(&item->ready);
    link_init(&item->asked);
    if (!file->operations->wakes)
        link_append(&epoll->asked, &item->asked);
    set_item(item, event);
    return E_SUCCESS;
}

/* ---- the instance as a file ---- */

static unsigned epoll_poll(struct file *file)
{
    return is_ready(file->own) ? POLLIN | POLLRDNORM : 0;
}

static long epoll_seek(struct file *file, int64_t offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return 0; /* Linux's noop_llseek */
}

static void epoll_release(struct file *file)
{
    struct epoll *epoll = file->own;

    while (!link_is_alone(&epoll->items))
        remove_item(CONTAINER_OF(epoll->items.next, struct item, member));
    core_release(epoll, sizeof(*epoll));
}

/* An instance also wakes those who watch it, but what it asks for itself has to be asked for through it. */
static const struct file_operations epoll_operations = {
    .name = "anon_inode:[eventpoll]",
    .poll = epoll_poll,
    .seek = epoll_seek,
    .release = epoll_release,
};

static bool is_epoll(const struct file *file)
{
    return file->operations == &epoll_operations;
}

long linux_epoll_create1(int flags)
{
    struct epoll *epoll;
    long fd;

    if (flags & ~O_CLOEXEC)
        return -E_INVAL;
    epoll = core_allocate(sizeof(*epoll));
    if (epoll == NULL)
        return -E_NOMEM;
    link_init(&epoll->items);
    link_init(&epoll->ready);
    link_init(&epoll->asked);
    fd = file_open(&epoll_operations, O_RDWR | (unsigned)flags, epoll);
    if (fd < 0)
        core_release(epoll, sizeof(*epoll));
    else
        epoll->file = linux_file((int)fd);
    return fd;
}

long linux_epoll_create(int size)
{
    return size <= 0 ? -E_INVAL : linux_epoll_create1(0);
}

/* ---- epoll_ctl ---- */

/* Links of the longest way from the instance to one that it watches; more than NESTING_MAX if it reaches `from`. */
static unsigned links_below(const struct epoll *epoll, const struct epoll *from)
{
    unsigned longest = 0;

    if (epoll == from)
        return NESTING_MAX + 1;
    for (struct link *link = epoll->items.next; link != &epoll->items; link = link->next) {
        struct item *item = CONTAINER_OF(link, struct item, member);
        unsigned below = is_epoll(item->file) ? 1 + links_below(item->file->own, from) : 0;

        if (below > longest)
            longest = below;
    }
    return longest;
}

static unsigned links_above(const struct epoll *epoll)
{
    unsigned longest = 0;

    for (struct watch *watch = epoll->file->watches; watch != NULL; watch = watch->next) {
        unsigned above = 1 + links_above(CONTAINER_OF(watch, struct item, watch)->epoll);

        if (above > longest)
            longest = above;
    }
    return longest;
}

static error_t check_nesting(const struct epoll *epoll, const struct file *target)
{
    if (!is_epoll(target))
        return E_SUCCESS;
    return links_above(epoll) + 1 + links_below(target->own, epoll) > NESTING_MAX ? E_LOOP : E_SUCCESS;
}

/* In Linux's order (fs/eventpoll.c, do_epoll_ctl). */
static error_t check_control(const struct file *file, const struct file *target, int operation, uint32_t events)
{
    if (target->operations->poll == NULL)
        return E_PERM;
    if (file == target || !is_epoll(file))
        return E_INVAL;
    if (operation == EPOLL_CTL_DEL || !(events & EPOLLEXCLUSIVE))
        return E_SUCCESS;
    if (operation == EPOLL_CTL_MOD)
        return E_INVAL;
    return operation == EPOLL_CTL_ADD && (is_epoll(target) || (events & ~EPOLL_EXCLUSIVE_ALLOWED)) ? E_INVAL
                                                                                                   : E_SUCCESS;
}

static error_t control(struct epoll *epoll, struct file *target, int operation, int fd,
                       const struct linux_epoll_event *event)
{
    struct item *item = find_item(epoll, target, fd);

    switch (operation) {
    case EPOLL_CTL_ADD:
        return item != NULL ? E_EXIST : add_item(epoll, target, fd, event);
    case EPOLL_CTL_DEL:
        if (item == NULL)
            return E_NOENT;
        remove_item(item);
        return E_SUCCESS;
    case EPOLL_CTL_MOD:
        if (item == NULL)
            return E_NOENT;
        if (item->events & EPOLLEXCLUSIVE)
            return E_INVAL;
        set_item(item, event);
        return E_SUCCESS;
    default:
        return E_INVAL;
    }
}

long linux_epoll_ctl(int epoll, int operation, int fd, struct linux_epoll_event *user)
{
    struct linux_epoll_event event = {0};
    struct file *file = linux_file_usable(epoll), *target = linux_file_usable(fd);
    error_t error;

    if (operation != EPOLL_CTL_DEL && user_read(&event, user, sizeof(event)) != E_SUCCESS)
        return -E_FAULT;
    if (file == NULL || target == NULL)
        return -E_BADF;
    error = check_control(file, target, operation, event.events);
    if (error == E_SUCCESS && operation == EPOLL_CTL_ADD)
        error = check_nesting(file->own, target);
    return error != E_SUCCESS ? -error : -control(file->own, target, operation, fd, &event);
}

/* ---- epoll_wait ---- */

/*
 * Hands out events of ready items, at most max: their number, or -E_FAULT. The list is gone through once, up to the
 * item that was last when it began: level-triggered ones go back behind it.
 */
static long send_events(struct epoll *epoll, struct linux_epoll_event *user, int max)
{
    struct link *last = epoll->ready.previous;
    bool at_end = link_is_alone(&epoll->ready);
    long sent = 0;

    while (!at_end && sent < max) {
        struct item *item = CONTAINER_OF(epoll->ready.next, struct item, ready);
        struct linux_epoll_event event = {.events = happened(item), .data = item->data};

        at_end = &item->ready == last;
        if (event.events != 0 && user_write(&user[sent], &event, sizeof(event)) != E_SUCCESS)
            return sent > 0 ? sent : -E_FAULT;
        link_remove(&item->ready);
        if (event.events == 0)
            continue;
        sent++;
        if (item->events & EPOLLONESHOT)
            item->events &= EPOLL_BEHAVIOUR;
        else if (!(item->events & EPOLLET))
            link_append(&epoll->ready, &item->ready);
    }
    return sent;
}

static long wait_for_events(struct epoll *epoll, struct linux_epoll_event *user, int max, uint64_t deadline)
{
    for (;;) {
        long sent;
        error_t error;

        if (linux_timers != NULL)
            linux_timers->run();
        ask(epoll);
        sent = send_events(epoll, user, max);
        if (sent != 0 || deadline == 0)
            return sent;
        error = linux_wait(deadline);
        if (error == E_TIMEDOUT)
            deadline = 0; /* a last look */
        else if (error != E_SUCCESS)
            return -error;
    }
}

static long check_and_wait(int fd, struct linux_epoll_event *user, int max, uint64_t deadline)
{
    struct file *file = linux_file_usable(fd);

    if (max <= 0 || max > EVENTS_MAX)
        return -E_INVAL;
    if ((intptr_t)user < 0 || (intptr_t)(user + max) < 0)
        return -E_FAULT;
    if (file == NULL)
        return -E_BADF;
    return is_epoll(file) ? wait_for_events(file->own, user, max, deadline) : -E_INVAL;
}

/* 0: do not wait. */
static uint64_t deadline_of(int timeout)
{
    if (timeout <= 0)
        return timeout == 0 ? 0 : WAIT_FOR_EVER;
    return linux_deadline((uint64_t)timeout * 1000000);
}

long linux_epoll_wait(int epoll, struct linux_epoll_event *user, int max, int timeout)
{
    return check_and_wait(epoll, user, max, deadline_of(timeout));
}

long linux_epoll_pwait(int epoll, struct linux_epoll_event *user, int max, int timeout, const uint64_t *mask,
                       size_t size)
{
    error_t error = linux_temporary_mask(mask, size);

    return error != E_SUCCESS ? -error : linux_epoll_wait(epoll, user, max, timeout);
}

long linux_epoll_pwait2(int epoll, struct linux_epoll_event *user, int max, const struct linux_timespec *timeout,
                        const uint64_t *mask, size_t size)
{
    uint64_t span, deadline = WAIT_FOR_EVER;
    error_t error;

    if (timeout != NULL) {
        error = linux_read_span(timeout, &span);
        if (error != E_SUCCESS)
            return -error;
        deadline = span == 0 ? 0 : linux_deadline(span);
    }
    error = linux_temporary_mask(mask, size);
    return error != E_SUCCESS ? -error : check_and_wait(epoll, user, max, deadline);
}
