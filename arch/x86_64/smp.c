/*
 * Further CPUs: starting them, and what CPUs ask of each other (core/cpu.h).
 *
 * Areas. A CPU's per-CPU block and stacks lie as those of the image do, a multiple of 4 GiB below (layout.h), so that
 * one distance leads to all of them, and the low half of an address is that of the image's. The block begins with
 * zeros.
 *
 * Starting. All CPUs are told to start at once, in ap_entry.S; each takes a place, which is an area, checks itself, and
 * waits. The boot CPU gives numbers to those that came in time, in the firmware's order, and lets them go on. Who comes
 * later stops. Before they go on it is seen of each whether its time-stamp counter agrees with the boot CPU's (tsc.h).
 * If not it is set, by IA32_TSC_ADJUST; where that is not there, or of no use, the clock takes another way
 * (clock_split).
 *
 * Calls. A CPU that wants something done has one request, in its own block, and sets its bit in the inbox of each CPU
 * that is to do it. Whoever finds the inbox empty before sends an interrupt; otherwise one is under way, or the CPU is
 * just looking. The CPU takes all bits at once, does what each says, and counts itself off. It looks when interrupted,
 * and in cpu_relax: so those that wait for each other serve each other.
 */
#include "arch/x86_64/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/madt.h"
#include "arch/x86_64/pte.h"
#include "arch/x86_64/tsc.h"
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/boot_info.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "machine.h"
#include "vm/frames.h"
#include "vm/space.h"

#define LINE 64

struct request {
    void (*function)(void *);
    void *argument;
    unsigned left; /* CPUs that have not done it */
} __attribute__((aligned(LINE)));

/* What other CPUs write to. */
struct inbox {
    uint64_t asked;   /* by which CPUs */
    uint32_t kicking; /* an interrupt is on its way */
} __attribute__((aligned(LINE)));

static PERCPU struct request request;
static PERCPU struct inbox inbox;
static PERCPU bool kicked; /* and nobody has taken it yet */
static PERCPU uint32_t apic_id;
static PERCPU struct cpu_messages messages;

static unsigned running = 1; /* CPUs */

unsigned cpu_count(void)
{
    return __atomic_load_n(&running, __ATOMIC_RELAXED);
}

struct cpu_messages cpu_messages(unsigned cpu)
{
    return cpu_variable(cpu, messages);
}

PERCPU bool inside_core; /* the call that is being served interrupted the core, which waited for nothing */

static inline uint64_t interrupts_off(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

static inline void interrupts_restore(uint64_t flags)
{
    if (flags & FLAG_INTERRUPT)
        __asm__ volatile("sti" : : : "memory");
}

/* ---- what CPUs ask of each other ---- */

/* To the CPU with this APIC id. */
static void send_to(uint32_t id, uint32_t what)
{
    this_cpu(messages).sent++;
    lapic_send(id, what);
}

static void send(unsigned cpu, uint32_t what)
{
    send_to(cpu_variable(cpu, apic_id), what);
}

static void serve(void)
{
    uint64_t asked = __atomic_exchange_n(&this_cpu(inbox).asked, 0, __ATOMIC_ACQUIRE);

    for (; asked != 0; asked &= asked - 1) {
        struct request *of = &cpu_variable((unsigned)__builtin_ctzll(asked), request);

        of->function(of->argument);
        this_cpu(messages).served++;
        __atomic_fetch_sub(&of->left, 1, __ATOMIC_RELEASE);
    }
}

void smp_serve(bool outside)
{
    this_cpu(messages).received++;
    this_cpu(inside_core) = !outside;
    serve();
    this_cpu(inside_core) = false;
}

bool cpu_is_inside_core(void)
{
    return this_cpu(inside_core);
}

uint64_t cpu_interrupts_off(void)
{
    return interrupts_off();
}

void cpu_interrupts_restore(uint64_t before)
{
    interrupts_restore(before);
}

#ifdef QUIRE_DEBUG
bool cpu_interrupts_were_on(uint64_t before)
{
    return before & FLAG_INTERRUPT;
}

/* By the stack, above which lies what was interrupted. */
bool cpu_is_handler_in_core(void)
{
    extern char interrupt_stack_guard[], interrupt_stack_top[];
    uintptr_t top = (uintptr_t)interrupt_stack_top + percpu_offset();
    const struct trap_frame *interrupted = (const struct trap_frame *)top - 1;

    return top - (uintptr_t)__builtin_frame_address(0) < (uintptr_t)(interrupt_stack_top - interrupt_stack_guard) &&
           trap_is_core(interrupted->rip) && !trap_is_asleep(interrupted);
}
#endif

void cpu_relax(void)
{
    cpu_pause();
    if (UNLIKELY(__atomic_load_n(&this_cpu(inbox).asked, __ATOMIC_RELAXED) != 0)) {
        uint64_t flags = interrupts_off();

        serve();
        interrupts_restore(flags);
    }
}

/* Those that run, without this one. */
static uint64_t others(uint64_t mask)
{
    return mask & (~0ull >> (64 - cpu_count())) & ~(1ull << cpu_number());
}

void cpu_call(uint64_t mask, void (*function)(void *), void *argument)
{
    uint64_t flags = interrupts_off();
    uint64_t own = 1ull << cpu_number(), left = others(mask);
    struct request *mine = &this_cpu(request);

    *mine = (struct request){function, argument, (unsigned)__builtin_popcountll(left)};
    for (; left != 0; left &= left - 1) {
        unsigned cpu = (unsigned)__builtin_ctzll(left);

        if (__atomic_fetch_or(&cpu_variable(cpu, inbox).asked, own, __ATOMIC_SEQ_CST) == 0)
            send(cpu, VECTOR_CALL);
    }
    while (__atomic_load_n(&mine->left, __ATOMIC_ACQUIRE) != 0 && !cpu_others_stopped())
        cpu_relax();
    interrupts_restore(flags);
}

void cpu_kick(unsigned cpu)
{
    uint64_t flags = interrupts_off();

    if (__atomic_exchange_n(&cpu_variable(cpu, inbox).kicking, 1, __ATOMIC_SEQ_CST) == 0)
        send(cpu, VECTOR_KICK);
    interrupts_restore(flags);
}

/* What was stored before a kick that found this one on its way is seen by whoever looks from here on. */
void smp_kicked(void)
{
    this_cpu(messages).received++;
    this_cpu(messages).kicked++;
    __atomic_exchange_n(&this_cpu(inbox).kicking, 0, __ATOMIC_SEQ_CST);
    this_cpu(kicked) = true;
}

bool smp_take_kick(void)
{
    bool was = this_cpu(kicked);

    if (UNLIKELY(was))
        this_cpu(kicked) = false;
    return was;
}

/* ---- the end ---- */

#define DELAY_PORT 0x80 /* a read takes about a microsecond, and has no effect */
#define STOP_READS 100000u

static unsigned stopper; /* 1 + the CPU that stops all others; 0: none does */
static unsigned stopped;
static PERCPU const struct trap_frame *stopped_at;

static _Noreturn void stop(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}

bool cpu_others_stopped(void)
{
    return __atomic_load_n(&stopper, __ATOMIC_RELAXED) != 0;
}

/* By NMI, as they may have interrupts off for as long as they like. */
void cpu_stop_others(void)
{
    unsigned own = 1 + cpu_number(), by = 0, count = cpu_count();

    interrupts_off();
    if (!__atomic_compare_exchange_n(&stopper, &by, own, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        if (by != own)
            stop();
        return;
    }
    for (unsigned cpu = 0; cpu < count; cpu++)
        if (cpu + 1 != own)
            send(cpu, LAPIC_NMI);
    for (unsigned i = 0; i < STOP_READS && __atomic_load_n(&stopped, __ATOMIC_RELAXED) + 1 < count; i++)
        (void)port_read8(DELAY_PORT);
}

const struct trap_frame *smp_stopped_at(unsigned cpu)
{
    return __atomic_load_n(&cpu_variable(cpu, stopped_at), __ATOMIC_ACQUIRE);
}

void smp_stop_if_told(const struct trap_frame *frame)
{
    unsigned by = __atomic_load_n(&stopper, __ATOMIC_RELAXED);

    if (by == 0 || by == 1 + cpu_number())
        return;
    __atomic_store_n(&this_cpu(stopped_at), frame, __ATOMIC_RELEASE);
    __atomic_fetch_add(&stopped, 1, __ATOMIC_RELAXED);
    stop();
}

/* ---- areas ---- */

#define NAME_SIZE 8

extern char __percpu_start[], __stacks[], __stacks_end[];

static char names[CPUS_MAX][NAME_SIZE]; /* of the segments, by place */

static uintptr_t area_offset(unsigned place)
{
    return -(uintptr_t)(1 + place) * CPU_AREA_STEP;
}

static vaddr_t area_start(unsigned place)
{
    return align_down((vaddr_t)__percpu_start, VM_PAGE_SIZE) + area_offset(place);
}

static size_t area_size(void)
{
    return (size_t)((vaddr_t)__stacks_end - align_down((vaddr_t)__percpu_start, VM_PAGE_SIZE));
}

static error_t area_back(struct vm_segment *segment, uintptr_t offset)
{
    for (vaddr_t page = vm_start(segment); page < vm_start(segment) + vm_size(segment); page += VM_PAGE_SIZE) {
        if (cpu_is_guard(page - offset))
            continue;
        paddr_t frame = frame_get_zeroed(PAGE_4K);
        error_t error = frame == FRAME_NONE ? E_NOMEM : vm_segment_map(vm_space(), segment, page, frame, PAGE_4K);

        if (error == E_SUCCESS)
            continue;
        if (frame != FRAME_NONE)
            frame_put(frame, PAGE_4K);
        return error;
    }
    return E_SUCCESS;
}

static void area_free(struct vm_segment *segment)
{
    vm_segment_unmap(vm_space(), segment, vm_start(segment), vm_size(segment), true);
    vm_segment_destroy(vm_space(), segment);
}

bool (*cpu_place_added)(unsigned place);

static error_t area_make(unsigned place)
{
    struct vm_segment *segment = vm_cpu_area_add(vm_space(), names[place], area_start(place), area_size());
    error_t error = IS_ERR(segment) ? ERR_OF(segment) : area_back(segment, area_offset(place));

    if (error == E_SUCCESS && cpu_place_added != NULL && !cpu_place_added(1 + place))
        error = E_NOMEM;
    if (error == E_SUCCESS)
        cpu_prepare(area_offset(place));
    else if (!IS_ERR(segment))
        area_free(segment);
    return error;
}

/* ---- the trampoline ---- */

#define TRAMPOLINE_PAGES 4 /* and three page tables: root, 512 GiB, 1 GiB */

extern char ap_trampoline[], ap_trampoline_end[], ap_gdt[], ap_gdt_base[], ap_protected[], ap_protected_pointer[],
    ap_long[], ap_long_pointer[], ap_root[];
extern uint64_t ap_image_root;
uint64_t ap_image_root;

static bool is_unused_ram(paddr_t start, paddr_t end)
{
    bool is_ram = false;

    for (size_t i = 0; i < boot_info.region_count; i++)
        is_ram = is_ram || (boot_info.regions[i].start <= start && end <= boot_info.regions[i].end);
    for (size_t i = 0; i < boot_info.module_count; i++)
        if (start < boot_info.modules[i].end && boot_info.modules[i].start < end)
            return false;
    return is_ram;
}

/* 0: there is none. The first page is the firmware's. */
static paddr_t trampoline_place(void)
{
    for (paddr_t page = VM_PAGE_SIZE; page + TRAMPOLINE_PAGES * VM_PAGE_SIZE <= LOW_MEMORY_END; page += VM_PAGE_SIZE)
        if (is_unused_ram(page, page + TRAMPOLINE_PAGES * VM_PAGE_SIZE))
            return page;
    return 0;
}

static void fill_in(paddr_t page, const char *where, paddr_t value)
{
    *(uint32_t *)((char *)phys_to_virt(page) + (where - ap_trampoline)) = (uint32_t)value;
}

/* Tables of its own for the switch, as the address space's lower half is the program's: they map the first 2 MiB where
 * they lie, and else what its tables do. */
static void make_tables(paddr_t root)
{
    uint64_t *tables = phys_to_virt(root);
    paddr_t top = root + VM_PAGE_SIZE, bottom = top + VM_PAGE_SIZE;

    memcpy(tables, phys_to_virt(ap_image_root), VM_PAGE_SIZE);
    memset(tables + PTE_TABLE_ENTRIES, 0, 2 * VM_PAGE_SIZE);
    tables[0] = top | PTE_TABLE;
    tables[PTE_TABLE_ENTRIES] = bottom | PTE_TABLE;
    tables[2 * PTE_TABLE_ENTRIES] = PTE_PRESENT | PTE_ACCESSED | PTE_LARGE;
}

static void put_trampoline(paddr_t page)
{
    paddr_t root = page + VM_PAGE_SIZE;

    ap_image_root = vm_space()->mmu.root;
    make_tables(root);
    memcpy(phys_to_virt(page), ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    fill_in(page, ap_gdt_base, page + (paddr_t)(ap_gdt - ap_trampoline));
    fill_in(page, ap_protected_pointer, page + (paddr_t)(ap_protected - ap_trampoline));
    fill_in(page, ap_long_pointer, page + (paddr_t)(ap_long - ap_trampoline));
    fill_in(page, ap_root, root);
}

/* ---- starting ---- */

#define INIT_NS 10000000ull   /* SDM vol. 3, 8.4.4.1; a hypervisor needs none of it */
#define AGAIN_NS 200000ull    /* until those that have not come are told a second time */
#define COME_NS 5000000000ull /* a hypervisor's host may be busy */

/* A place, by what the CPU there has come to. The boot CPU gives up those that are still EXPECTED, compares counters
 * with the ready ones, one after the other, and has them begin. */
enum { EXPECTED, READY, REFUSED, GIVEN_UP, COMPARING, BEGUN };

static struct place {
    uint32_t state;
    uint32_t id; /* of its APIC */
} __attribute__((aligned(LINE))) places[CPUS_MAX];

/* ap_entry.S */
uint32_t ap_places, ap_places_taken;
uintptr_t ap_offsets[CPUS_MAX];

static void (*run_here)(void);

_Noreturn void ap_main(unsigned number);

static uint32_t state_of(const struct place *place)
{
    return __atomic_load_n(&place->state, __ATOMIC_ACQUIRE);
}

static bool change_state(struct place *place, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&place->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Of a CPU whose APIC is not on. */
static uint32_t initial_id(void)
{
    struct cpuid wide = cpu_features.highest_leaf >= 0xb ? cpuid(0xb, 0) : (struct cpuid){0};

    return wide.b != 0 ? wide.d : cpuid(1, 0).b >> 24;
}

/* ---- counters ---- */

#define MSR_TSC_ADJUST 0x3bu
#define CPUID_TSC_ADJUST (1u << 1) /* EBX of leaf 7 */
#define ATTEMPTS 3u

static struct tsc_channel comparison;

static bool adjust_counter(int64_t offset)
{
    if (cpu_features.highest_leaf < 7 || !(cpuid(7, 0).b & CPUID_TSC_ADJUST))
        return false;
    msr_write(MSR_TSC_ADJUST, msr_read(MSR_TSC_ADJUST) + (uint64_t)offset);
    return true;
}

/* On the CPU that is compared. If the counter cannot be set, or not so that they agree, it has an offset. */
static void compare_counter(void)
{
    struct tsc_sample samples[TSC_ROUNDS];
    int64_t offset = 0, more;
    bool agree = false;

    for (unsigned i = 0; i < ATTEMPTS && !agree; i++) {
        agree = tsc_agree(samples, tsc_ask(&comparison, offset, samples), &more);
        if (!agree && (i > 0 || !adjust_counter(more)))
            offset += more;
    }
    if (!agree || offset != 0) {
        kprintf("quire: the time-stamp counter of CPU %u is %ld ticks from the first one's: reading the clock is a "
                "call\n",
                cpu_number(), (long)-offset);
        clock_split(offset);
    }
    tsc_done(&comparison);
}

/* The stack this runs on may be what the CPU has to learn of first. */
static void use_own_tables(void)
{
    if (this_cpu(mmu_own_root) != 0)
        __asm__ volatile("movq %0, %%cr3" : : "r"(this_cpu(mmu_own_root)) : "memory");
}

/* The first C function of a CPU, on its stack. Until it is let go on it sleeps: a host may have fewer CPUs. */
_Noreturn void ap_main(unsigned number)
{
    struct place *place = &places[number];
    bool compared = false;
    bool good = cpu_begin(area_offset(number)) && lapic_start();

    place->id = good ? lapic_id() : initial_id();
    if (!change_state(place, EXPECTED, good ? READY : REFUSED) || !good)
        stop();
    while (state_of(place) != BEGUN) {
        if (state_of(place) == COMPARING && !compared) {
            compare_counter();
            compared = true;
        }
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
    use_own_tables();
    run_here();
    stop();
}

static void wait_ns(uint64_t ns)
{
    uint64_t until = clock_monotonic() + ns;

    while (clock_monotonic() < until)
        cpu_pause();
}

static unsigned count_in(uint32_t state, unsigned of)
{
    unsigned count = 0;

    for (unsigned i = 0; i < of; i++)
        count += state_of(&places[i]) == state;
    return count;
}

static void tell(const uint32_t *ids, unsigned count, uint32_t what)
{
    uint64_t flags = interrupts_off();

    for (unsigned i = 0; i < count; i++)
        lapic_send(ids[i], what);
    interrupts_restore(flags);
}

/* Returns when all have come, or the time is over. */
static void wait_for(unsigned count, uint64_t ns)
{
    uint64_t until = clock_monotonic() + ns;

    while (count_in(EXPECTED, count) > 0 && clock_monotonic() < until)
        cpu_pause();
}

static void tell_to_start(const uint32_t *ids, unsigned count, paddr_t page)
{
    tell(ids, count, LAPIC_INIT);
    if (!cpu_features.hypervisor)
        wait_ns(INIT_NS);
    tell(ids, count, LAPIC_START(page));
    wait_for(count, AGAIN_NS);
    if (count_in(EXPECTED, count) > 0)
        tell(ids, count, LAPIC_START(page)); /* who has started does not heed it */
    wait_for(count, COME_NS);
}

/* No CPU takes a place from here on. Places that nobody took are given back; who has not come to an end of its checks
 * will find that it was given up, and keeps its place. */
static void close_places(unsigned count)
{
    unsigned taken;

    __atomic_store_n(&ap_places, 0, __ATOMIC_SEQ_CST);
    taken = __atomic_load_n(&ap_places_taken, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < count; i++) {
        if (i >= taken)
            area_free(vm_find(vm_space(), area_start(i)));
        change_state(&places[i], EXPECTED, GIVEN_UP);
    }
}

static struct place *place_of(uint32_t id, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t state = state_of(&places[i]);

        if ((state == READY || state == REFUSED) && places[i].id == id)
            return &places[i];
    }
    return NULL;
}

static void give_number(struct place *place)
{
    unsigned index = (unsigned)(place - places), number = running;

    percpu_offsets[number] = area_offset(index);
    cpu_variable(number, percpu_number) = number;
    cpu_variable(number, apic_id) = place->id;
    text_format(names[index], NAME_SIZE, "CPU %u", number);
    __atomic_store_n(&running, number + 1, __ATOMIC_RELEASE);
}

static void give_numbers(const uint32_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct place *place = place_of(ids[i], count);

        if (place == NULL)
            kprintf("quire: the CPU with APIC id %u does not start and is left out\n", ids[i]);
        else if (state_of(place) == REFUSED)
            kprintf("quire: the CPU with APIC id %u is not like the first one and is left out\n", ids[i]);
        else
            give_number(place);
    }
}

/* Of all before the first begins: nobody but this CPU reads the clock meanwhile. */
static void compare_counters(unsigned count)
{
    uint64_t flags = interrupts_off();

    for (unsigned i = 0; i < count; i++) {
        if (state_of(&places[i]) != READY)
            continue;
        comparison = (struct tsc_channel){.asked = 0};
        change_state(&places[i], READY, COMPARING);
        send_to(places[i].id, VECTOR_CALL);
        tsc_answer(&comparison);
    }
    interrupts_restore(flags);
}

static void let_begin(unsigned count)
{
    uint64_t flags = interrupts_off();

    for (unsigned i = 0; i < count; i++)
        if (change_state(&places[i], COMPARING, BEGUN))
            send_to(places[i].id, VECTOR_CALL);
    interrupts_restore(flags);
}

/* The ids of those that can be used. */
static unsigned find_others(uint32_t *ids)
{
    size_t there = madt_cpus(this_cpu(apic_id), ids, CPUS_MAX - 1), noted = there < CPUS_MAX ? there : CPUS_MAX - 1;
    unsigned count = 0;

    for (size_t i = 0; i < noted; i++)
        if (lapic_reaches(ids[i]))
            ids[count++] = ids[i];
    if (count < there)
        kprintf("quire: of the %zu CPUs of this machine %u are used\n", there + 1, count + 1);
    return count;
}

static unsigned areas; /* of other CPUs */

unsigned cpu_places(void)
{
    return 1 + areas;
}

static void make_areas(unsigned count)
{
    for (; areas < count; areas++) {
        if (area_make(areas) != E_SUCCESS) {
            kprintf("quire: there is no memory for %u of %u CPUs, which are left out\n", count - areas, count + 1);
            return;
        }
        ap_offsets[areas] = area_offset(areas);
    }
}

unsigned cpu_present(void)
{
    static unsigned present;
    uint32_t ids[CPUS_MAX];
    size_t others;

    if (run_here != NULL)
        return cpu_count();
    if (present == 0 && lapic_start()) {
        others = madt_cpus(lapic_id(), ids, CPUS_MAX - 1);
        present = 1 + (unsigned)(others < CPUS_MAX ? others : CPUS_MAX - 1);
    }
    return present > 0 ? present : 1;
}

void cpu_start_others(void (*run)(void))
{
    uint32_t ids[CPUS_MAX];
    paddr_t page = trampoline_place();
    unsigned count;

    if (run_here != NULL || !lapic_start())
        return;
    run_here = run;
    this_cpu(apic_id) = lapic_id();
    count = find_others(ids);
    if (count > 0 && page == 0) {
        kprintf("quire: there is no RAM below 64 KiB, where other CPUs begin: one is used\n");
        return;
    }
    make_areas(count);
    count = areas;
    if (count == 0)
        return;
    put_trampoline(page);
    __atomic_store_n(&ap_places, count, __ATOMIC_SEQ_CST);
    tell_to_start(ids, count, page);
    close_places(count);
    give_numbers(ids, count);
    compare_counters(count);
    if (running > 1 && mmu_make_own_tables(&vm_space()->mmu, running))
        use_own_tables();
    let_begin(count);
}
