/*
 * A plugin of QEMU that counts what CPUs cost each other by cache lines, as caches would that are kept coherent by
 * invalidation and have room for everything (MSI: Censier and Feautrier, "A New Solution to Coherence Problems in
 * Multicache Systems", 1978): all loads and stores of all CPUs, by lines of 64 bytes of physical memory.
 *
 *   write   to a line that another CPU has, from which it is taken: a shared-line write
 *   read    of a line that another CPU wrote last, and that this one has not had since
 *
 * They count in a region: while all of so many threads are at work, from where the last of them passes `begin` until
 * the first one passes `end`, functions of the program; so threads that come and go are not in it. The first region is
 * 0. How a CPU finds a line for the first time in a region tells of what was before, for instance of who cleared it:
 * what has to move then counts apart, as inherited, and is forgotten.
 *
 * QEMU executes the CPUs in turn (-icount, one thread of the host), so that counts are the same in each run. By itself
 * it lets a CPU go on until a timer is due, for up to 100 ms or as many million instructions, in which two CPUs hardly
 * meet. So a turn is ended after some hundred instructions, by what QEMU does to end one.
 *
 * Not seen: the processor's own accesses (walks of page tables, descriptors, what an interrupt pushes), fetches,
 * devices.
 *
 * Arguments: begin=ADDRESS, end=ADDRESS, threads=N, turn=INSTRUCTIONS, output=FILE. The file gets, separated by spaces,
 *
 *     region NUMBER ACCESSES WRITES READS INHERITED
 *     site INSTRUCTION LINE WRITES READS INHERITED
 *     end
 *
 * where sites are those of the region above them, and LINE is the virtual address. The last line says that it is
 * complete.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "images/plugin/qemu_plugin.h"

#define LINE_SHIFT 6u
#define LINES_MOST ((uint64_t)1 << 30) /* 64 GiB of physical addresses */
#define CPUS_MOST 16u
#define SITES_FIRST 4096u /* a power of two */

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* What the caches know of a line. */
struct line {
    uint16_t has;   /* CPUs, as bits */
    uint8_t writer; /* the last one's number + 1; 0: nobody since the region began */
    uint32_t epoch; /* when it was last used */
};

enum event { WRITE, READ, INHERITED, EVENTS };

/* Of an instruction and a line; instruction 0: free. */
struct site {
    uint64_t instruction, line;
    uint64_t events[EVENTS];
};

static struct options {
    uint64_t begin, end, threads, turn;
    const char *output;
} options;

static struct line *lines; /* by physical address; the host backs what is used */
static struct site *sites; /* of the region, hashed, at most half full */
static size_t sites_size, sites_used;
static FILE *output;

/* Odd inside of a region: (epoch - 1) / 2 is its number. */
static uint32_t epoch;
static uint64_t begun, ended; /* threads */
static uint64_t accesses, totals[EVENTS];
static uint64_t left = 1; /* instructions, of this turn */
static uint64_t random_state = 1;

/* QEMU's own, which it exports for its modules. */
static void *(*get_cpu)(int index);
static void (*exit_cpu)(void *cpu);

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "lines: %s\n", what);
    exit(1);
}

static bool inside(void)
{
    return epoch % 2;
}

/* ---- who shares what ---- */

static struct site *find_site(uint64_t instruction, uint64_t line)
{
    size_t place = (size_t)((instruction * 0x9e3779b97f4a7c15u ^ line * 0xc2b2ae3d27d4eb4fu) >> 20);

    for (;; place++) {
        struct site *site = &sites[place & (sites_size - 1)];

        if (site->instruction == 0 || (site->instruction == instruction && site->line == line))
            return site;
    }
}

static void make_sites(size_t size)
{
    sites = calloc(size, sizeof(*sites));
    if (sites == NULL)
        fail("no memory for the places where lines are shared");
    sites_size = size;
    sites_used = 0;
}

static void grow_sites(void)
{
    struct site *old = sites;
    size_t size = sites_size, used = sites_used;

    make_sites(2 * size);
    for (size_t i = 0; i < size; i++)
        if (old[i].instruction)
            *find_site(old[i].instruction, old[i].line) = old[i];
    sites_used = used;
    free(old);
}

static void count(enum event event, uint64_t instruction, uint64_t vaddr)
{
    uint64_t address = vaddr >> LINE_SHIFT << LINE_SHIFT;
    struct site *site = find_site(instruction, address);

    totals[event]++;
    site->events[event]++;
    if (site->instruction)
        return;
    site->instruction = instruction;
    site->line = address;
    if (2 * ++sites_used > sites_size)
        grow_sites();
}

static bool moves(const struct line *line, unsigned cpu, bool store)
{
    if (store)
        return line->has & ~(1u << cpu);
    return line->writer && !(line->has & 1u << cpu);
}

static void use(struct line *line, unsigned cpu, bool store, uint64_t instruction, uint64_t vaddr)
{
    bool fresh = line->epoch != epoch;

    if (inside()) {
        accesses++;
        if (moves(line, cpu, store))
            count(fresh ? INHERITED : store ? WRITE : READ, instruction, vaddr);
        if (fresh)
            *line = (struct line){0};
    }
    line->epoch = epoch;
    if (store)
        line->writer = (uint8_t)(cpu + 1);
    line->has = (uint16_t)((store ? 0 : line->has) | 1u << cpu);
}

static struct line *find_line(qemu_plugin_meminfo_t info, uint64_t vaddr)
{
    struct qemu_plugin_hwaddr *address = qemu_plugin_get_hwaddr(info, vaddr);

    if (address == NULL || qemu_plugin_hwaddr_is_io(address))
        return NULL;
    uint64_t number = qemu_plugin_hwaddr_phys_addr(address) >> LINE_SHIFT;
    if (number >= LINES_MOST)
        fail("a physical address is too large");
    return &lines[number];
}

/* An access may lie across two lines, and pages. */
static void access_memory(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *instruction)
{
    uint64_t last = vaddr + ((uint64_t)1 << qemu_plugin_mem_size_shift(info)) - 1;
    struct line *line = find_line(info, vaddr);
    bool store = qemu_plugin_mem_is_store(info);

    if (line)
        use(line, cpu, store, (uint64_t)instruction, vaddr);
    if (last >> LINE_SHIFT == vaddr >> LINE_SHIFT)
        return;
    line = find_line(info, last);
    if (line)
        use(line, cpu, store, (uint64_t)instruction, last);
}

/* ---- turns ---- */

/* Of all lengths around what is asked for, so that no two loops are in step for ever: from 1, by xorshift (Marsaglia,
 * 2003), the same in each run. */
static uint64_t turn_length(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return 1 + random_state % (2 * options.turn);
}

/* ---- regions ---- */

static void print_region(void)
{
    fprintf(output, "region %u %llu %llu %llu %llu\n", (epoch - 1) / 2, (unsigned long long)accesses,
            (unsigned long long)totals[WRITE], (unsigned long long)totals[READ], (unsigned long long)totals[INHERITED]);
    for (size_t i = 0; i < sites_size; i++)
        if (sites[i].instruction)
            fprintf(output, "site %#llx %#llx %llu %llu %llu\n", (unsigned long long)sites[i].instruction,
                    (unsigned long long)sites[i].line, (unsigned long long)sites[i].events[WRITE],
                    (unsigned long long)sites[i].events[READ], (unsigned long long)sites[i].events[INHERITED]);
}

static void pass_begin(unsigned cpu, void *data)
{
    (void)cpu;
    (void)data;
    if (++begun == options.threads)
        epoch++;
}

static void forget_region(void)
{
    epoch++;
    accesses = 0;
    memset(totals, 0, sizeof(totals));
    memset(sites, 0, sites_size * sizeof(*sites));
    sites_used = 0;
}

static void pass_end(unsigned cpu, void *data)
{
    (void)cpu;
    (void)data;
    if (begun != options.threads)
        fail("a thread has ended before all have begun: there is too little to do");
    if (++ended == 1) {
        print_region();
        forget_region();
    }
    if (ended == options.threads)
        begun = ended = 0;
}

/* ---- what is executed ---- */

static void execute_block(unsigned cpu, void *instructions)
{
    uint64_t number = (uint64_t)instructions;

    left -= number < left ? number : left;
    if (left)
        return;
    left = turn_length();
    exit_cpu(get_cpu((int)cpu));
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t number = qemu_plugin_tb_n_insns(tb);

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, execute_block, QEMU_PLUGIN_CB_NO_REGS, (void *)number);
    for (size_t i = 0; i < number; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);

        if (address == options.begin || address == options.end)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, address == options.begin ? pass_begin : pass_end,
                                                   QEMU_PLUGIN_CB_NO_REGS, NULL);
        qemu_plugin_register_vcpu_mem_cb(insn, access_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                         (void *)address);
    }
}

/* ---- start and end ---- */

static void finish(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    fprintf(output, "end\n");
    if (fclose(output))
        fail("the counts could not be written");
}

static bool take_number(const char *argument, const char *name, uint64_t *value)
{
    size_t length = strlen(name);
    char *last;

    if (strncmp(argument, name, length) || argument[length] != '=')
        return false;
    *value = strtoull(argument + length + 1, &last, 0);
    return *last == '\0' && *value != 0;
}

static bool take_argument(const char *argument)
{
    if (strncmp(argument, "output=", strlen("output=")) == 0) {
        options.output = argument + strlen("output=");
        return true;
    }
    return take_number(argument, "begin", &options.begin) || take_number(argument, "end", &options.end) ||
           take_number(argument, "threads", &options.threads) || take_number(argument, "turn", &options.turn);
}

static void take_arguments(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!take_argument(argv[i])) {
            fprintf(stderr, "lines: %s: no such argument, or no number above 0\n", argv[i]);
            exit(1);
        }
    if (!options.begin || !options.end || !options.threads || !options.turn || !options.output)
        fail("the arguments are begin=ADDRESS, end=ADDRESS, threads=N, turn=INSTRUCTIONS, output=FILE");
}

/* As objects of the dynamic linker, whose pointers to functions are no others (POSIX, dlsym). */
static void find_turns(void)
{
    *(void **)&get_cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    *(void **)&exit_cpu = dlsym(RTLD_DEFAULT, "cpu_exit");
    if (get_cpu == NULL || exit_cpu == NULL)
        fail("this QEMU exports no cpu_exit, so that turns cannot be made short: it was built without modules");
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    take_arguments(argc, argv);
    find_turns();
    if (!info->system_emulation || info->system.max_vcpus > (int)CPUS_MOST)
        fail("it is for machines of up to 16 CPUs");
    lines = mmap(NULL, LINES_MOST * sizeof(*lines), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    output = fopen(options.output, "w");
    if (lines == MAP_FAILED || output == NULL)
        fail("no memory for lines, or no file for the counts");
    make_sites(SITES_FIRST);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
