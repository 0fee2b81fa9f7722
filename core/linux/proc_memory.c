/* The map of the address space as /proc/self/maps and its relatives show it (fs/proc/task_mmu.c). */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/config.h"
#include "core/linux/memory.h"
#include "core/linux/proc.h"
#include "core/program.h"
#include "vm/object.h"
#include "vm/segments.h"

#define NAME_COLUMN 73 /* of the path in a line of maps */
#define NAME_SIZE 4200

/* Where the segment begins as Linux counts: the guard below a stack is in no mapping. */
static vaddr_t start_of(const struct vm_segment *segment)
{
    return segment->start + (segment->driver == &vm_stack ? VM_STACK_GUARD : 0);
}

static size_t size_of(const struct vm_segment *segment)
{
    return segment_end(segment) - start_of(segment);
}

static bool is_initial_stack(const struct vm_segment *segment)
{
    return program_running()->stack - segment->start < segment->size;
}

static bool is_data_segment(const struct vm_segment *segment)
{
    uintptr_t start, end;

    linux_data_segment(&start, &end);
    return start != 0 && segment->start < end && segment_end(segment) > start && segment->driver == &vm_anon;
}

static bool is_shared(const struct vm_segment *segment)
{
    return vm_object_view(segment).shared || (segment->flags & MARK_SHARED);
}

/* ---- how much of a segment is in memory ---- */

static void add_resident(struct memory_use *use, const struct mmu_count *count, uint64_t *kind)
{
    for (unsigned size = 0; size < PAGE_SIZES; size++) {
        uint64_t bytes = (uint64_t)count->pages[size] << page_shift(size);

        use->by_page[size] += bytes;
        use->resident += bytes;
        *kind += bytes;
    }
}

/* Linux keeps these in its file system for shared memory. */
static bool is_shared_memory(struct vm_object *object)
{
    static const char *const prefixes[] = {"/memfd:", "/dev/zero", "/dev/shm/"};
    char name[16];

    object->operations->describe(object, name, sizeof(name));
    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* Pages that the object lends are the file's, the others are copies. */
static void add_pages_of_file(struct memory_use *use, const struct vm_segment *segment)
{
    bool shared_memory = is_shared_memory(vm_object_view(segment).object);
    struct mmu_count copies = segment_resident(vm_space(), segment), lent = {.pages = {[PAGE_4K] = copies.borrowed}};

    copies.pages[PAGE_4K] -= copies.borrowed;
    add_resident(use, &copies, &use->anonymous);
    add_resident(use, &lent, shared_memory ? &use->shared_memory : &use->file);
}

static void add_use(struct memory_use *use, const struct vm_segment *segment)
{
    struct mmu_count count;

    if (segment->driver == &vm_file) {
        add_pages_of_file(use, segment);
        return;
    }
    if (segment->driver == &vm_phys) /* a window is no memory of the program */
        return;
    count = segment_resident(vm_space(), segment);
    add_resident(use, &count,
                 segment->driver == &vm_image && !(segment->flags & VM_WRITE) ? &use->file : &use->anonymous);
    if (segment->driver != &vm_image)
        use->lazily_freed = count.clean_bytes;
}

/* Tables of the heap for all addresses there are: only what is used of them counts. */
static bool is_heap_table(const struct vm_segment *segment)
{
    return segment->start >= HEAP_SPAN_TABLE - HEAP_SPAN_TABLE_SIZE / 2 && segment_end(segment) <= HEAP_CLASS_TABLE;
}

static struct memory_use use_of(const struct vm_segment *segment)
{
    struct memory_use use = {.size = size_of(segment)};

    if (segment->flags & VM_EXEC)
        use.text = use.size;
    else if (segment->flags & VM_WRITE && segment->driver != &vm_phys && !is_shared(segment))
        use.data = use.size;
    if (is_initial_stack(segment))
        use.stack = use.size;
    add_use(&use, segment);
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        use.faults[i] = segment->faults[i];
    use.faults_refused = segment->faults_refused;
    use.fallbacks = segment->fallbacks;
    if (is_shared(segment) && segment->flags & VM_WRITE)
        use.shared_writable = use.file + use.shared_memory;
    if (segment->flags & MARK_LOCKED)
        use.locked = use.resident;
    return use;
}

static void add_up(struct memory_use *sum, const struct memory_use *use)
{
    sum->size += use->size;
    sum->text += use->text;
    sum->data += use->data;
    sum->stack += use->stack;
    sum->resident += use->resident;
    sum->anonymous += use->anonymous;
    sum->file += use->file;
    sum->shared_memory += use->shared_memory;
    sum->shared_writable += use->shared_writable;
    sum->locked += use->locked;
    sum->lazily_freed += use->lazily_freed;
    for (unsigned i = 0; i < PAGE_SIZES; i++) {
        sum->by_page[i] += use->by_page[i];
        sum->faults[i] += use->faults[i];
    }
    sum->faults_refused += use->faults_refused;
    sum->fallbacks += use->fallbacks;
}

struct memory_use memory_use(void)
{
    SPACE_HOLD_ALL(current_space);
    struct address_space *space = vm_space();
    struct memory_use sum = {0};

    for (struct vm_segment *segment = vm_next(space, 0); segment; segment = vm_next(space, segment_end(segment))) {
        struct memory_use use = use_of(segment);

        if (is_heap_table(segment))
            use.size = use.data = use.resident;
        add_up(&sum, &use);
    }
    return sum;
}

uint64_t memory_page_tables(void)
{
    SPACE_HOLD_ALL(current_space);
    return mmu_tables(&vm_space()->mmu) * VM_PAGE_SIZE;
}

/* ---- maps ---- */

/* What the image was linked from: the program's own file, or the core where the program was loaded. */
static void image_name(const struct vm_segment *segment, char *name, size_t size)
{
    static const char *const program[] = {"rodata", "text", "data", "symbols"};
    char section[32] = "";

    segment->driver->describe(segment, section, sizeof(section));
    for (size_t i = 0; i < ARRAY_LENGTH(program) && quire_config.load == NULL; i++)
        if (strcmp(section, program[i]) == 0) {
            text_format(name, size, "/%s", program_running()->path);
            return;
        }
    text_format(name, size, "[quire:%s]", section);
}

/* The last column; empty for what has no name. */
static void name_of(const struct vm_segment *segment, char *name, size_t size)
{
    struct vm_object *object = vm_object_view(segment).object;

    *name = '\0';
    if (object != NULL)
        object->operations->describe(object, name, size);
    else if (is_initial_stack(segment))
        text_format(name, size, "[stack]");
    else if (is_data_segment(segment))
        text_format(name, size, "[heap]");
    else if (segment->driver == &vm_image)
        image_name(segment, name, size);
    else if (segment->driver == &vm_phys)
        text_format(name, size, "/dev/mem");
    else if (segment->driver != &vm_anon && segment->driver != &vm_stack)
        text_format(name, size, "[anon:%s]", segment->driver->name);
}

/* Offset in the file, in bytes, and its number. */
static uint64_t offset_of(const struct vm_segment *segment, uint64_t *inode)
{
    struct vm_object_view view = vm_object_view(segment);

    *inode = 0;
    if (view.object == NULL)
        return segment->driver == &vm_phys ? segment->physical : 0;
    *inode = view.object->operations->inode(view.object);
    return view.first_page * VM_PAGE_SIZE;
}

static char letter(const struct vm_segment *segment, vm_flags_t flag, char yes)
{
    return segment->flags & flag ? yes : '-';
}

static void add_line(struct text *text, const struct vm_segment *segment)
{
    char line[128], name[NAME_SIZE];
    uint64_t inode, offset = offset_of(segment, &inode);
    int length =
        text_format(line, sizeof(line), "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)start_of(segment),
                    (unsigned long)segment_end(segment), letter(segment, VM_READ, 'r'), letter(segment, VM_WRITE, 'w'),
                    letter(segment, VM_EXEC, 'x'), is_shared(segment) ? 's' : 'p', (unsigned long)offset, 0, inode != 0,
                    (unsigned long)inode);

    name_of(segment, name, sizeof(name));
    text_add(text, "%-*s", *name != '\0' && length < NAME_COLUMN ? NAME_COLUMN : 0, line);
    for (const char *c = name; *c != '\0'; c++)
        text_add(text, *c == '\n' ? "\\%03o" : "%c", *c);
    text_add(text, "\n");
}

void proc_maps(struct text *text)
{
    SPACE_HOLD_ALL(current_space);
    struct address_space *space = vm_space();

    for (struct vm_segment *segment = vm_next(space, 0); segment; segment = vm_next(space, segment_end(segment)))
        add_line(text, segment);
}

/* ---- smaps ---- */

static void add_kib(struct text *text, const char *name, uint64_t bytes)
{
    text_add(text, "%-16s%8lu kB\n", name, (unsigned long)(bytes >> 10));
}

static void add_number(struct text *text, const char *name, uint64_t number)
{
    text_add(text, "%-16s%8lu\n", name, (unsigned long)number);
}

/* What both smaps and its sum show. Nothing is shared: there is one process. Pages of files are clean unless a shared
 * mapping may have written to them; nothing is ever written back. */
static void add_counts(struct text *text, const struct memory_use *use, bool rollup)
{
    static const char *const none[] = {
        "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:", "Swap:", "SwapPss:"};
    uint64_t dirty = use->anonymous + use->shared_writable - use->lazily_freed;

    add_kib(text, "Rss:", use->resident);
    add_kib(text, "Pss:", use->resident);
    add_kib(text, "Pss_Dirty:", dirty);
    if (rollup) {
        add_kib(text, "Pss_Anon:", use->anonymous);
        add_kib(text, "Pss_File:", use->file);
        add_kib(text, "Pss_Shmem:", use->shared_memory);
    }
    add_kib(text, "Shared_Clean:", 0);
    add_kib(text, "Shared_Dirty:", 0);
    add_kib(text, "Private_Clean:", use->resident - dirty);
    add_kib(text, "Private_Dirty:", dirty);
    add_kib(text, "Referenced:", use->resident);
    add_kib(text, "Anonymous:", use->anonymous);
    add_kib(text, "LazyFree:", use->lazily_freed);
    add_kib(text, "AnonHugePages:", use->by_page[PAGE_2M] + use->by_page[PAGE_1G]);
    for (size_t i = 0; i < ARRAY_LENGTH(none); i++)
        add_kib(text, none[i], 0);
    add_kib(text, "Locked:", use->locked);
    /* Quire's own: resident bytes by the size of the pages, then numbers: of faults that were served with such a page,
     * that were refused, and that found no frame of the size they could have had. */
    add_kib(text, "Rss_4K:", use->by_page[PAGE_4K]);
    add_kib(text, "Rss_2M:", use->by_page[PAGE_2M]);
    add_kib(text, "Rss_1G:", use->by_page[PAGE_1G]);
    add_number(text, "Faults_4K:", use->faults[PAGE_4K]);
    add_number(text, "Faults_2M:", use->faults[PAGE_2M]);
    add_number(text, "Faults_1G:", use->faults[PAGE_1G]);
    add_number(text, "Faults_Refused:", use->faults_refused);
    add_number(text, "Fallbacks:", use->fallbacks);
}

/* Linux's two letters for each flag: what is, what may be (mprotect), how it is used. */
static void add_flags(struct text *text, const struct vm_segment *segment)
{
    struct vm_object_view view = vm_object_view(segment);
    const struct {
        bool is;
        const char *letters;
    } flags[] = {
        {segment->flags & VM_READ, "rd"},
        {segment->flags & VM_WRITE, "wr"},
        {segment->flags & VM_EXEC, "ex"},
        {is_shared(segment), "sh"},
        {true, "mr"},
        {!view.shared || view.may_write, "mw"},
        {true, "me"},
        {is_shared(segment), "ms"},
        {segment->driver == &vm_stack || segment->flags & MARK_GROWS_DOWN, "gd"},
        {segment->driver == &vm_phys, "io"},
        {segment->flags & MARK_LOCKED, "lo"},
        {segment->flags & MARK_HUGE, "ht"},
        {segment->driver == &vm_anon, "ac"},
    };

    text_add(text, "VmFlags:");
    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
        if (flags[i].is)
            text_add(text, " %s", flags[i].letters);
    text_add(text, " \n");
}

void proc_smaps(struct text *text)
{
    SPACE_HOLD_ALL(current_space);
    struct address_space *space = vm_space();

    for (struct vm_segment *segment = vm_next(space, 0); segment; segment = vm_next(space, segment_end(segment))) {
        struct memory_use use = use_of(segment);

        add_line(text, segment);
        add_kib(text, "Size:", use.size);
        add_kib(text, "KernelPageSize:", linux_page_bytes(segment));
        add_kib(text, "MMUPageSize:", linux_page_bytes(segment));
        add_counts(text, &use, false);
        text_add(text, "THPeligible:    %d\n", segment->driver == &vm_anon && segment->largest > PAGE_4K);
        add_flags(text, segment);
    }
}

void proc_smaps_rollup(struct text *text)
{
    SPACE_HOLD_ALL(current_space);
    struct address_space *space = vm_space();
    struct vm_segment *first = vm_next(space, 0), *last = first;
    struct memory_use use = memory_use();
    char line[128];

    for (struct vm_segment *next = first; next; next = vm_next(space, segment_end(next)))
        last = next;
    text_format(line, sizeof(line), "%08lx-%08lx ---p 00000000 00:00 0", (unsigned long)start_of(first),
                (unsigned long)segment_end(last));
    text_add(text, "%-*s[rollup]\n", NAME_COLUMN, line);
    add_counts(text, &use, true);
}

void proc_statm(struct text *text)
{
    struct memory_use use = memory_use();

    text_add(text, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)(use.size / VM_PAGE_SIZE),
             (unsigned long)(use.resident / VM_PAGE_SIZE),
             (unsigned long)((use.file + use.shared_memory) / VM_PAGE_SIZE), (unsigned long)(use.text / VM_PAGE_SIZE),
             (unsigned long)((use.data + use.stack) / VM_PAGE_SIZE));
}
