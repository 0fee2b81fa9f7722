/*
 * The file system from the inside: packed files that become the program's own page by page, what is mapped of them, and
 * every call with the first, second, ... frame missing: what failed has changed nothing. (test_tree_model.c compares
 * the calls with Linux.)
 */
#include <string.h>

#include "core/allocate.h"
#include "core/base/print.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/tree.h"
#include "fake_linux.h"
#include "fixture.h"
#include "harness.h"

#define PAGE VM_PAGE_SIZE
#define LARGE (3 * PAGE + 100) /* bytes of the packed file "large" */
#define ARCHIVE_SIZE (64 * 1024)

/* ---- packed files: an archive in the simulated RAM ---- */

static char *archive;
static size_t archive_size;
static struct archive_record archive_places[16];

static char large_byte(size_t at)
{
    return (char)('a' + at % 23);
}

static void pack_entry(const char *name, uint32_t mode, const char *bytes, size_t size)
{
    size_t name_size = strlen(name) + 1, padding = 0;
    uint32_t sum = 0;

    if (size >= PAGE)
        padding = -(archive_size + 110 + name_size) % PAGE;
    for (size_t i = 0; i < size; i++)
        sum += (uint8_t)bytes[i];
    text_format(archive + archive_size, ARCHIVE_SIZE - archive_size,
                "070702%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s", 1, mode, 0, 0, 1, 77, (unsigned)size, 0,
                0, 0, 0, (unsigned)(name_size + padding), sum, name);
    archive_size = align_up(archive_size + 110 + name_size + padding, 4);
    memcpy(archive + archive_size, bytes, size);
    archive_size = align_up(archive_size + size, 4);
}

static void pack_files(void)
{
    static char large[LARGE];
    char head[64];

    for (size_t i = 0; i < LARGE; i++)
        large[i] = large_byte(i);
    archive = core_allocate(ARCHIVE_SIZE);
    assert_non_null(archive);
    for (int pass = 0; pass < 2; pass++) {
        text_format(head, sizeof(head), "quire-files 3\nbytes %06u\nentries 5\n", (unsigned)archive_size);
        archive_size = 0;
        pack_entry(".quire", S_IFREG | 0600, head, strlen(head));
        pack_entry("deep", S_IFDIR | 0755, "", 0);
        pack_entry("deep/link", S_IFLNK | 0777, "../small", 8);
        pack_entry("deep/twin", S_IFREG | 0644, "twin", 4);
        pack_entry("large", S_IFREG | 0644, large, LARGE);
        pack_entry("small", S_IFREG | 0644, "small file", 10);
        pack_entry("TRAILER!!!", 0, "", 0);
    }
    if (archive_measure(&fake_files, archive, archive_size) != E_SUCCESS ||
        archive_index(&fake_files, archive_places) != E_SUCCESS)
        fail_msg("%s", fake_files.problem);
}

static void start(void)
{
    fixture_start(64 * MIB);
    pack_files();
}

static int must_open(const char *path, int flags)
{
    long fd = linux_open(path, flags, 0644);

    if (fd < 0)
        fail_msg("open %s: %ld", path, fd);
    return (int)fd;
}

static void check_bytes(int fd, size_t at, size_t length, char (*expected)(size_t))
{
    static char bytes[LARGE];

    assert_int_equal(linux_pread64(fd, bytes, length, (int64_t)at), length);
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != expected(at + i))
            fail_msg("byte %zu is %d, not %d", at + i, bytes[i], expected(at + i));
}

static struct contents *contents_of(int fd)
{
    return &linux_file(fd)->node->contents;
}

static paddr_t frame_of(int fd, uint64_t page, bool write)
{
    struct vm_object *object = &contents_of(fd)->object;
    paddr_t frame;

    assert_int_equal(object->operations->page(object, page, write, &frame), E_SUCCESS);
    return frame;
}

static void packed_names(void **state)
{
    char text[16] = "";
    int fd;

    (void)state;
    start();
    fd = must_open("/deep/link", O_RDONLY);
    assert_int_equal(linux_read(fd, text, sizeof(text)), 10);
    assert_memory_equal(text, "small file", 10);
    assert_int_equal(linux_readlink("/deep/link", text, sizeof(text)), 8);
    assert_int_equal(linux_access("/deep/../deep/twin", 0), 0);
    assert_int_equal(linux_unlink("/deep/twin"), 0);
    assert_int_equal(linux_access("/deep/twin", 0), -E_NOENT);
    assert_int_equal(linux_rename("/deep", "/shallow"), 0);
    assert_int_equal(linux_readlink("/shallow/link", text, sizeof(text)), 8);
    assert_int_equal(linux_rmdir("/shallow"), -E_NOTEMPTY);
    assert_int_equal(linux_unlink("/shallow/link"), 0);
    assert_int_equal(linux_rmdir("/shallow"), 0);
    assert_int_equal(linux_close(fd), 0);
}

static char changed_byte(size_t at)
{
    return at == PAGE + 5 ? '!' : large_byte(at);
}

static void packed_pages(void **state)
{
    const char *packed;
    paddr_t first;
    int fd, other;

    (void)state;
    start();
    fd = must_open("/large", O_RDWR);
    packed = (const char *)contents_of(fd)->packed;
    assert_true(is_aligned((uintptr_t)packed, PAGE));
    check_bytes(fd, 0, LARGE, large_byte);
    assert_int_equal(frame_of(fd, 0, false), virt_to_phys(packed));
    assert_int_equal(frame_of(fd, 1, false), virt_to_phys(packed + PAGE));
    assert_int_equal(contents_of(fd)->own, 0);
    /* The last page holds what follows in the archive, so it is copied. */
    assert_int_not_equal(frame_of(fd, 3, false), virt_to_phys(packed + 3 * PAGE));
    assert_int_equal(((char *)phys_to_virt(frame_of(fd, 3, false)))[100], 0);
    assert_int_equal(contents_of(fd)->own, 1);
    assert_int_equal(linux_pwrite64(fd, "!", 1, PAGE + 5), 1);
    check_bytes(fd, 0, LARGE, changed_byte);
    assert_int_equal(packed[PAGE + 5], large_byte(PAGE + 5));
    first = frame_of(fd, 1, false);
    assert_int_not_equal(first, virt_to_phys(packed + PAGE));
    assert_int_equal(frame_of(fd, 1, true), first);
    assert_int_equal(frame_of(fd, 0, false), virt_to_phys(packed));
    other = must_open("/large", O_RDONLY);
    check_bytes(other, 0, LARGE, changed_byte);
    assert_int_equal(linux_close(fd), 0);
    assert_int_equal(linux_close(other), 0);
}

static char cut_byte(size_t at)
{
    return at < PAGE + 10 ? large_byte(at) : 0;
}

static void packed_sizes(void **state)
{
    int fd;

    (void)state;
    start();
    fd = must_open("/large", O_RDWR);
    assert_int_equal(linux_lseek(fd, 0, SEEK_HOLE), LARGE);
    assert_int_equal(linux_ftruncate(fd, PAGE + 10), 0);
    assert_int_equal(linux_ftruncate(fd, LARGE), 0);
    assert_int_equal(contents_of(fd)->own, 0);
    check_bytes(fd, 0, LARGE, cut_byte);
    assert_int_equal(linux_lseek(fd, 0, SEEK_HOLE), 2 * PAGE);
    assert_int_equal(linux_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);
    assert_int_equal(linux_lseek(fd, 0, SEEK_DATA), PAGE);
    assert_int_equal(contents_blocks(contents_of(fd)), 8);
    assert_int_equal(linux_ftruncate(fd, 0), 0);
    assert_null(contents_of(fd)->root);
    assert_int_equal(contents_blocks(contents_of(fd)), 0);
    assert_int_equal(linux_close(fd), 0);
}

static uint8_t mapped_byte(vaddr_t address)
{
    uint8_t byte;

    assert_int_equal(fake_read(address, &byte, 1), E_SUCCESS);
    return byte;
}

/* What is mapped follows writes, and what is written to a shared mapping is in the file. */
static void mappings(void **state)
{
    struct vm_segment *shared, *private;
    vaddr_t at, copy;
    uint8_t byte = 'S';
    int fd;

    (void)state;
    start();
    fd = must_open("/large", O_RDWR);
    shared = vm_object_map(space, &contents_of(fd)->object, 0, VM_ANYWHERE, 4 * PAGE, VM_RW, true, true);
    private = vm_object_map(space, &contents_of(fd)->object, 0, VM_ANYWHERE, 4 * PAGE, VM_RW, false, false);
    assert_false(IS_ERR(shared) || IS_ERR(private));
    at = vm_start(shared), copy = vm_start(private);
    assert_int_equal(mapped_byte(at + PAGE), (uint8_t)large_byte(PAGE));
    assert_int_equal(mapped_byte(copy + PAGE), (uint8_t)large_byte(PAGE));
    assert_int_equal(linux_pwrite64(fd, "w", 1, PAGE), 1);
    assert_int_equal(mapped_byte(at + PAGE), 'w');
    assert_int_equal(mapped_byte(copy + PAGE), 'w');
    assert_int_equal(fake_write(at + 2 * PAGE, &byte, 1), E_SUCCESS);
    assert_int_equal(mapped_byte(copy + 2 * PAGE), 'S');
    assert_int_equal(linux_pread64(fd, &byte, 1, 2 * PAGE), 1);
    assert_int_equal(byte, 'S');
    byte = 'P';
    assert_int_equal(fake_write(copy + PAGE, &byte, 1), E_SUCCESS);
    assert_int_equal(linux_pread64(fd, &byte, 1, PAGE), 1);
    assert_int_equal(byte, 'w');
    assert_int_equal(linux_ftruncate(fd, PAGE), 0);
    assert_int_equal(fake_read(at + PAGE, &byte, 1), E_RANGE);
    assert_int_equal(fake_read(copy + PAGE, &byte, 1), E_RANGE);
    assert_int_equal(mapped_byte(at), (uint8_t)large_byte(0));
    /* A file without names or descriptors lives on in its mapping. */
    assert_int_equal(linux_unlink("/large"), 0);
    assert_int_equal(linux_close(fd), 0);
    assert_int_equal(mapped_byte(at), (uint8_t)large_byte(0));
    vm_free(space, shared);
    vm_free(space, private);
    fixture_check();
}

/* ---- missing frames ---- */

/* Everything that can be seen of the tree. */
static void describe(struct node *node, char *text, size_t size, size_t *used)
{
    uint64_t sum = 0;
    uint8_t bytes[64];
    long got;

    if (node_type(node) == S_IFREG && node->generated == NULL)
        for (uint64_t at = contents_next(&node->contents, 0, true); at < node->contents.size;
             at = contents_next(&node->contents, at + (uint64_t)got, true)) {
            got = contents_read(&node->contents, bytes, sizeof(bytes), at);
            for (long i = 0; i < got; i++)
                sum = sum * 31 + bytes[i] + at;
        }
    *used += (size_t)text_format(text + *used, size - *used, " %o %u %u %llx", node->mode, node->links,
                                 node->references, (unsigned long long)sum);
    if (!node_is_directory(node))
        return;
    for (struct entry *entry = node->directory.first; entry != NULL; entry = entry->next) {
        *used += (size_t)text_format(text + *used, size - *used, "\n%s", entry->name);
        describe(entry->node, text, size, used);
    }
}

static size_t free_frames(void)
{
    frames_drain();
    return frames_stats().free;
}

struct operation {
    const char *name;
    long (*run)(void);
    long result;        /* when no frame is missing */
    void (*undo)(void); /* NULL: nothing */
};

static int open_file, packed_file;
static char pattern[5 * PAGE];

static long run_create(void)
{
    return linux_open("/made", O_CREAT | O_EXCL | O_RDWR, 0644) >= 0 ? 0 : -1;
}

static void undo_create(void)
{
    linux_close(5);
    linux_unlink("/made");
}

static long run_long_name(void)
{
    char path[256];

    memset(path, 'n', sizeof(path));
    path[0] = '/';
    path[255] = '\0';
    return linux_mkdir(path, 0755);
}

static long run_symlink(void)
{
    return linux_symlink("/some/text", "/symbolic");
}

static long run_link(void)
{
    return linux_link("/small", "/second-name");
}

static long run_rename(void)
{
    return linux_rename("/small", "/a/new-name-that-is-longer");
}

static long run_rename_over(void)
{
    return linux_rename("/a/new-name-that-is-longer", "/second-name");
}

static long run_replace(void)
{
    return linux_rename("/deep/twin", "/second-name");
}

static long run_temporary(void)
{
    return linux_open("/a", O_TMPFILE | O_RDWR, 0600) >= 0 ? 0 : -1;
}

static void undo_temporary(void)
{
    linux_close(5);
}

static long run_write_packed(void)
{
    return linux_pwrite64(packed_file, "x", 1, 2 * PAGE);
}

static long run_write_far(void)
{
    return linux_pwrite64(open_file, pattern, 100, 5000000 * (int64_t)PAGE);
}

static long run_allocate(void)
{
    return linux_fallocate(open_file, 0, 0, 5 * PAGE);
}

static long run_punch(void)
{
    return linux_fallocate(packed_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, PAGE + 20);
}

static long run_many_descriptors(void)
{
    return linux_dup3(open_file, 900, 0);
}

static long run_lock(void)
{
    return linux_flock(open_file, 2);
}

static long run_send(void)
{
    return linux_sendfile(open_file, packed_file, NULL, 10);
}

static const struct operation operations[] = {
    {"create", run_create, 0, undo_create},
    {"long name", run_long_name, 0, NULL},
    {"symlink", run_symlink, 0, NULL},
    {"link", run_link, 0, NULL},
    {"rename", run_rename, 0, NULL},
    {"rename over", run_rename_over, 0, NULL},
    {"replace", run_replace, 0, NULL},
    {"temporary", run_temporary, 0, undo_temporary},
    {"write packed", run_write_packed, 1, NULL},
    {"write far", run_write_far, 100, NULL},
    {"allocate", run_allocate, 0, NULL},
    {"punch", run_punch, 0, NULL},
    {"many descriptors", run_many_descriptors, 900, NULL},
    {"lock", run_lock, 0, NULL},
    {"send", run_send, 10, NULL},
};

/* Takes what is left of the slabs, so that every allocation asks for a frame; gives it back. */
static void *taken[4096];
static size_t taken_sizes[4096], taken_count;

static void exhaust_slabs(void)
{
    static const size_t sizes[] = {16, 32, 48, 64, 96, 128, 192, 256, 336, 448, 576, 672, 1008, 1344, 2016};

    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
        for (;;) {
            size_t before = frames_free();
            void *object = core_allocate(sizes[i]);

            assert_non_null(object);
            if (frames_free() != before) {
                core_release(object, sizes[i]);
                break;
            }
            taken_sizes[taken_count] = sizes[i];
            taken[taken_count++] = object;
        }
}

static void give_slabs_back(void)
{
    while (taken_count > 0) {
        taken_count--;
        core_release(taken[taken_count], taken_sizes[taken_count]);
    }
}

static void try_operation(const struct operation *operation)
{
    static char before[16384], after[16384];
    long result;

    for (long nth = 0;; nth++) {
        size_t used = 0, frames;

        exhaust_slabs();
        describe(tree_root, before, sizeof(before), &used);
        assert_true(used < sizeof(before));
        frames = free_frames();
        fixture_inject(nth);
        result = operation->run();
        frames_fail_nth(-1);
        if (result == operation->result)
            break;
        if (result >= 0)
            fail_msg("%s: %ld without frame %ld", operation->name, result, nth);
        used = 0;
        describe(tree_root, after, sizeof(after), &used);
        if (strcmp(before, after) != 0)
            fail_msg("%s without frame %ld has left a trace:\n%s\n\n%s", operation->name, nth, before, after);
        if (free_frames() != frames)
            fail_msg("%s without frame %ld: %zu frames lost", operation->name, nth, frames - free_frames());
        give_slabs_back();
    }
    give_slabs_back();
    if (operation->undo != NULL)
        operation->undo();
}

static void missing_frames(void **state)
{
    (void)state;
    start();
    /* Whatever the start of the tree lacked, it is complete in the end. */
    for (long nth = 0;; nth++) {
        fixture_inject(nth);
        if (linux_mkdir("/a", 0755) == 0)
            break;
        frames_fail_nth(-1);
    }
    frames_fail_nth(-1);
    assert_int_equal(linux_access("/dev/urandom", 0), 0);
    assert_int_equal(linux_access("/dev/shm", 0), 0);
    assert_int_equal(linux_access("/deep/twin", 0), 0);
    linux_files_init();
    memset(pattern, 'p', sizeof(pattern));
    open_file = must_open("/file", O_CREAT | O_RDWR);
    packed_file = must_open("/large", O_RDWR);
    assert_int_equal(packed_file, 4);
    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++)
        try_operation(&operations[i]);
}

/* All that files took goes back with them. */
static void nothing_lost(void **state)
{
    size_t frames;

    (void)state;
    start();
    assert_int_equal(linux_mkdir("/d", 0755), 0);
    assert_int_equal(linux_access("/large", 0), 0);
    assert_int_equal(linux_access("/dev/null", 0), 0);
    assert_int_equal(linux_access("/d/x", 0), -E_NOENT);
    frames = free_frames();
    for (int i = 0; i < 300; i++) {
        char path[32];
        int fd;

        text_format(path, sizeof(path), "/d/file%d", i);
        fd = must_open(path, O_CREAT | O_RDWR);
        assert_int_equal(linux_pwrite64(fd, pattern, sizeof(pattern), i * 1000003l), sizeof(pattern));
        if (i % 2)
            assert_int_equal(linux_unlink(path), 0);
        assert_int_equal(linux_close(fd), 0);
    }
    for (int i = 0; i < 300; i += 2) {
        char path[32];

        text_format(path, sizeof(path), "/d/file%d", i);
        assert_int_equal(linux_unlink(path), 0);
    }
    /* The table of names has grown and stays. */
    assert_in_range(free_frames(), frames - 2, frames);
}

/* Random sizes, contents kept, all frames back. */
static void allocations(void **state)
{
    static struct {
        uint8_t *memory;
        size_t size;
        uint8_t byte;
    } slots[500];
    struct random random = {harness_seed()};
    size_t frames;

    (void)state;
    fixture_start(64 * MIB);
    frames = free_frames();
    for (size_t i = 0; i < 20000; i++) {
        size_t slot = random_below(&random, ARRAY_LENGTH(slots)), size = 1 + random_below(&random, 400);

        if (slots[slot].memory != NULL) {
            for (size_t at = 0; at < slots[slot].size; at++)
                assert_int_equal(slots[slot].memory[at], slots[slot].byte);
            core_release(slots[slot].memory, slots[slot].size);
        }
        if (random_below(&random, 10) == 0)
            size = 1 + random_below(&random, 40000);
        slots[slot].size = size;
        slots[slot].byte = (uint8_t)i;
        slots[slot].memory = core_allocate(size);
        assert_non_null(slots[slot].memory);
        assert_true(is_aligned((uintptr_t)slots[slot].memory, 16));
        for (size_t at = 0; at < size; at++)
            assert_int_equal(slots[slot].memory[at], 0);
        memset(slots[slot].memory, (int)i, size);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(slots); i++)
        core_release(slots[i].memory, slots[i].size);
    assert_int_equal(free_frames(), frames);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_names), cmocka_unit_test(packed_pages),   cmocka_unit_test(packed_sizes),
        cmocka_unit_test(mappings),     cmocka_unit_test(missing_frames), cmocka_unit_test(nothing_lost),
        cmocka_unit_test(allocations),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
