/* The CPU: descriptor tables, control registers, extended state, random numbers, starting the program. Further CPUs are
 * made like the first one here; smp.c starts them. */
#include "core/cpu.h"

#include "arch/x86_64/arch.h"
#include "arch/x86_64/fixmap.h"
#include "arch/x86_64/pte.h"
#include "arch/x86_64/state.h"
#include "arch/x86_64/virtio.h"
#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/init.h"
#include "core/linux/linux.h"
#include "core/percpu.h"
#include "vm/mmu.h"

_Static_assert(LINUX_SYSCALL_COUNT == 512, "SYSCALL_COUNT of syscall.S");
_Static_assert(E_FAULT == 14, "E_FAULT of user_copy.S and trap.S");

struct descriptor_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct gate { /* Intel SDM vol. 3, figure 6-8 */
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

#define GATE_INTERRUPT 0x8e /* present, ring 0, interrupts off on entry */
#define GDT_ENTRIES 5
#define IDT_ENTRIES 256

#define CR4_MCE (1u << 6)
#define CR4_PAE (1u << 5)
#define CR4_PGE (1u << 7)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_FSGSBASE (1u << 16)
#define CR4_OSXSAVE (1u << 18)

#define CPUID_SYSCALL (1u << 11) /* EDX of leaf 0x80000001 */
#define EFER_VALUE 0xd01u        /* SCE, LME, LMA, NXE */
/* Cleared on entry to the core. */
#define FMASK_VALUE (FLAG_TRAP | FLAG_INTERRUPT | FLAG_DIRECTION | FLAG_NESTED_TASK | FLAG_ALIGNMENT)

/* x87, SSE, AVX, AVX-512: the state that compiled code uses. */
#define XCR0_SSE 3u
#define XCR0_AVX 4u
#define XCR0_AVX512 0xe0u

#if QUIRE_THREADS
PERCPU uintptr_t percpu_self_offset;
PERCPU unsigned percpu_number;
uintptr_t percpu_offsets[CPUS_MAX];
#endif
PERCPU uint64_t cpu_gdt[GDT_ENTRIES];
PERCPU struct tss cpu_tss;
/* Top of the running thread's kernel stack, 8 bytes below a multiple of 16; 0: on it, or on another of the core's. */
PERCPU uintptr_t syscall_stack;
PERCPU uintptr_t kernel_stack; /* what syscall_stack is while the program runs */
PERCPU uintptr_t syscall_rsp;  /* syscall.S, for an instruction or two */

struct cpu_features cpu_features;
uint64_t boot_tsc;
enum state_instruction state_instruction;
static uint32_t components; /* of the extended state that are on */

static struct gate idt[IDT_ENTRIES];

extern char double_stack_top[], nmi_stack_top[], machine_stack_top[], fault_stack_top[], exception_stack_top[],
    interrupt_stack_top[];
extern char double_stack_guard[], nmi_stack_guard[], machine_stack_guard[], fault_stack_guard[],
    exception_stack_guard[], interrupt_stack_guard[];

#if QUIRE_THREADS
extern char cpu_stack_top[], cpu_stack_guard[], vector_call[], vector_kick[];
#endif

extern char vector_stubs[], vector_page[], vector_page_watched[], vector_timer[], vector_ignored[], syscall_entry[];
extern bool zero_wide, look_wide; /* zero.S */
void descriptors_load(const struct descriptor_pointer *gdt, const struct descriptor_pointer *idt);
_Noreturn void program_enter(vaddr_t entry, vaddr_t stack);

/* ---- features ---- */

static void find_features(struct cpu_features *found)
{
    struct cpuid basic = cpuid(1, 0);
    uint32_t leaves = cpuid(0, 0).a;

    *found = (struct cpu_features){
        .highest_leaf = leaves,
        .apic = basic.d & 1u << 9,
        .x2apic = basic.c & 1u << 21,
        .tsc_deadline = basic.c & 1u << 24,
        .xsave = leaves >= 0xd && basic.c & 1u << 26,
        .rdrand = basic.c & 1u << 30,
        .hypervisor = basic.c & 1u << 31,
        .extended_state_size = 512,
    };
    if (leaves >= 7) {
        uint32_t b = cpuid(7, 0).b;

        found->fsgsbase = b & 1u;
        found->fast_strings = b & 1u << 9;
        found->rdseed = b & 1u << 18;
    }
    leaves = cpuid(0x80000000, 0).a;
    found->pages_1g = cpuid(0x80000001, 0).d & 1u << 26;
    if (leaves >= 0x80000007)
        found->invariant_tsc = cpuid(0x80000007, 0).d & 1u << 8;
    found->physical_bits = leaves >= 0x80000008 ? (uint8_t)cpuid(0x80000008, 0).a : 36;
}

enum page_size mmu_largest_page(void)
{
    return cpu_features.pages_1g ? PAGE_1G : PAGE_2M;
}

unsigned mmu_physical_bits(void)
{
    return cpu_features.physical_bits;
}

/* ---- descriptor tables ---- */

static void set_gate(unsigned vector, const char *entry, unsigned ist)
{
    uintptr_t offset = (uintptr_t)entry;

    idt[vector] = (struct gate){.offset_low = (uint16_t)offset,
                                .selector = SELECTOR_CODE,
                                .ist = (uint8_t)ist,
                                .type = GATE_INTERRUPT,
                                .offset_middle = (uint16_t)(offset >> 16),
                                .offset_high = (uint32_t)(offset >> 32)};
}

static void set_gates(void)
{
    for (unsigned i = 0; i < EXCEPTIONS; i++)
        set_gate(i, vector_stubs + (size_t)16 * i, IST_EXCEPTION);
    idt[EXCEPTION_DOUBLE].ist = IST_DOUBLE;
    idt[EXCEPTION_NMI].ist = IST_NMI;
    idt[EXCEPTION_MACHINE].ist = IST_MACHINE;
    set_gate(EXCEPTION_PAGE, vector_page, IST_PAGE);
    for (unsigned i = 0; i < 16; i++)
        set_gate(VECTOR_PIC + i, vector_ignored, IST_INTERRUPT);
    set_gate(VECTOR_TIMER, vector_timer, IST_INTERRUPT);
#if QUIRE_THREADS
    set_gate(VECTOR_CALL, vector_call, IST_INTERRUPT);
    set_gate(VECTOR_KICK, vector_kick, IST_INTERRUPT);
#endif
    set_gate(VECTOR_SPURIOUS, vector_ignored, IST_INTERRUPT);
}

error_t (*fault_watcher)(vaddr_t, vm_flags_t, bool); /* trap.S */

void cpu_watch_faults(error_t (*watcher)(vaddr_t address, vm_flags_t access, bool present))
{
    fault_watcher = watcher;
    set_gate(EXCEPTION_PAGE, vector_page_watched, IST_PAGE);
}

/* Takes a page of the image, mapped by the page tables of entry.S, off the map. */
static void guard_page(const char *page)
{
    vaddr_t va = (vaddr_t)page;
    paddr_t table;

    __asm__("movq %%cr3, %0" : "=r"(table));
    for (unsigned shift = 39;; shift -= 9) {
        uint64_t *entries = fixmap_open(FIXMAP_TABLE, table & PTE_ADDRESS, 0);
        uint64_t *entry = &entries[va >> shift & (PTE_TABLE_ENTRIES - 1)];

        if (shift == VM_PAGE_SHIFT) {
            *entry = 0;
            break;
        }
        table = *entry;
    }
    fixmap_close(FIXMAP_TABLE);
    machine_flush_page(va);
}

static const struct {
    char *top, *guard;
} stacks[] = {
    [IST_DOUBLE - 1] = {double_stack_top, double_stack_guard},
    [IST_NMI - 1] = {nmi_stack_top, nmi_stack_guard},
    [IST_MACHINE - 1] = {machine_stack_top, machine_stack_guard},
    [IST_PAGE - 1] = {fault_stack_top, fault_stack_guard},
    [IST_EXCEPTION - 1] = {exception_stack_top, exception_stack_guard},
    [IST_INTERRUPT - 1] = {interrupt_stack_top, interrupt_stack_guard},
#if QUIRE_THREADS
    {cpu_stack_top, cpu_stack_guard},
#endif
};

static void set_guards(void)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(stacks); i++)
        guard_page(stacks[i].guard);
}

#if QUIRE_THREADS
bool cpu_is_guard(uintptr_t page)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(stacks); i++)
        if ((uintptr_t)stacks[i].guard == page)
            return true;
    return false;
}
#endif

/* The descriptors of the CPU whose block lies at that distance, which need not be the running one. */
static void fill_tables(uintptr_t offset)
{
    struct tss *tss = (struct tss *)((uintptr_t)&cpu_tss + offset);
    uint64_t *gdt = (uint64_t *)((uintptr_t)cpu_gdt + offset), at = (uint64_t)tss;

    for (unsigned i = 0; i < IST_COUNT; i++)
        tss->ist[i] = (uint64_t)stacks[i].top + offset;
    tss->io_map = sizeof *tss;
    gdt[SELECTOR_CODE / 8] = 0x00af9b000000ffff; /* 64-bit code, ring 0, accessed */
    gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
    gdt[SELECTOR_TSS / 8] = (sizeof *tss - 1) | (at & 0xffffff) << 16 | 0x89ull << 40 | (at >> 24 & 0xff) << 56;
    gdt[SELECTOR_TSS / 8 + 1] = at >> 32;
}

/* Of the running CPU, gs included. */
static void load_tables(uintptr_t offset)
{
    struct descriptor_pointer gdt_pointer = {sizeof cpu_gdt - 1, (uint64_t)cpu_gdt + offset};
    struct descriptor_pointer idt_pointer = {sizeof idt - 1, (uint64_t)idt};

    descriptors_load(&gdt_pointer, &idt_pointer);
    msr_write(MSR_GS_BASE, offset);
}

/* ---- control registers ---- */

/* The bytes of an area for them. */
static uint32_t set_components(void)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"(components | XCR0_SSE), "d"(0));
    return cpuid(0xd, 0).b;
}

static void choose_components(void)
{
    components = cpuid(0xd, 0).a & STATE_COMPONENTS;
    if ((components & XCR0_AVX512) != XCR0_AVX512 || !(components & XCR0_AVX))
        components &= ~XCR0_AVX512;
    if ((cpu_features.extended_state_size = set_components()) > STATE_MAX) { /* no CPU so far */
        components &= ~XCR0_AVX512;
        cpu_features.extended_state_size = set_components();
    }
    ASSERT(cpu_features.extended_state_size <= STATE_MAX);
    state_instruction = cpuid(0xd, 1).a & 1u << 1 ? STATE_XSAVEC : STATE_XSAVE;
    look_wide = (components & (XCR0_AVX | XCR0_AVX512)) == XCR0_AVX;
    zero_wide = look_wide && !cpu_features.fast_strings;
}

static void set_control_registers(void)
{
    uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (cpu_features.fsgsbase)
        cr4 |= CR4_FSGSBASE;
    if (cpu_features.xsave)
        cr4 |= CR4_OSXSAVE;
    __asm__ volatile("movq %0, %%cr4" : : "r"(cr4) : "memory");
    msr_write(MSR_PAT, PAT_LAYOUT);
    msr_write(MSR_EFER, EFER_VALUE);
    msr_write(MSR_STAR, (uint64_t)SELECTOR_CODE << 32);
    msr_write(MSR_LSTAR, (uint64_t)syscall_entry);
    msr_write(MSR_FMASK, FMASK_VALUE);
}

void cpu_early_init(void)
{
    boot_tsc = tsc_read();
    find_features(&cpu_features);
    set_gates();
    set_guards();
    syscall_stack = kernel_stack = (uintptr_t)__boot_stack_end - 8;
    fill_tables(0); /* CPU 0 uses the linked block itself */
    load_tables(0);
    pics_mask();
    if (!(cpuid(0x80000001, 0).d & CPUID_SYSCALL)) /* shown in 64-bit mode only, so the entry cannot ask */
        refuse("this CPU has no SYSCALL: choose another CPU model in the hypervisor");
    set_control_registers();
    if (cpu_features.xsave)
        choose_components();
}

#if QUIRE_THREADS
/* What the core knows of a CPU, and what the program may have asked: its leaves 1 and 7. */
struct likeness {
    struct cpu_features features;
    uint32_t leaves[5];
};
_Static_assert(sizeof(struct likeness) == 12 + 7 * sizeof(uint32_t), "no padding, as they are compared byte by byte");

static struct likeness first;

#define CPUID_OSXSAVE (1u << 27) /* ECX of leaf 1: only once it has been switched on */

static void find_likeness(struct likeness *found)
{
    struct cpuid basic = cpuid(1, 0), more = cpuid(7, 0);

    find_features(&found->features);
    if (found->features.highest_leaf < 7)
        more = (struct cpuid){0};
    memcpy(found->leaves, (uint32_t[]){basic.c & ~CPUID_OSXSAVE, basic.d, more.b, more.c, more.d},
           sizeof found->leaves);
}

void cpu_prepare(uintptr_t offset)
{
    fill_tables(offset);
    *(uintptr_t *)((uintptr_t)&percpu_self_offset + offset) = offset;
    find_likeness(&first);
}

static bool is_like_first(void)
{
    struct likeness own;

    find_likeness(&own);
    return memcmp(&own, &first, sizeof own) == 0 && (cpuid(0x80000001, 0).d & CPUID_SYSCALL) &&
           (!own.features.xsave || (cpuid(0xd, 0).a & components) == components);
}

bool cpu_begin(uintptr_t offset)
{
    static const uint32_t mxcsr = 0x1f80; /* as for the program on CPU 0 */

    load_tables(offset);
    if (!is_like_first())
        return false;
    set_control_registers();
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
    emulation_begin();
    return !cpu_features.xsave || set_components() == cpu_features.extended_state_size;
}
#endif

/* ---- the rest of core/cpu.h ---- */

uint64_t cpu_cycles(void)
{
    return tsc_read();
}

uint64_t cpu_time_instructions(uint64_t count)
{
    uint64_t left = count / 2, start = tsc_read();

    __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(left) : : "cc");
    return tsc_read() - start;
}

uint32_t cpu_capabilities(void)
{
    return cpuid(1, 0).d;
}

uint32_t cpu_capabilities_2(void)
{
    return cpu_features.fsgsbase ? CPU_CAPABILITY_FSGSBASE : 0;
}

#if !QUIRE_THREADS /* smp.c */
unsigned cpu_count(void)
{
    return 1;
}

unsigned cpu_present(void)
{
    return 1;
}

void cpu_relax(void)
{
    cpu_pause();
}

void cpu_call(uint64_t mask, void (*function)(void *), void *argument)
{
    (void)mask, (void)function, (void)argument; /* there is no other CPU */
}

bool cpu_is_inside_core(void)
{
    return false;
}

void cpu_kick(unsigned cpu)
{
    (void)cpu;
}
#endif

/* The instructions clear carry when the generator has nothing ready; Intel advises ten tries. */
#define RANDOM_TRIES 10

static bool random_from(bool seed, uint64_t *value)
{
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        bool good;

        if (seed)
            __asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(good));
        else
            __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(good));
        /* Some CPUs answer all ones, with carry set, for ever. */
        if (good && *value != ~0ull)
            return true;
        cpu_pause();
    }
    return false;
}

bool cpu_random(uint64_t *value)
{
    return (cpu_features.rdrand && random_from(false, value)) || (cpu_features.rdseed && random_from(true, value)) ||
           virtio_random(value);
}

#define VENDOR_LENGTH 12
#define BRAND_LENGTH 48

const char *cpu_name(void)
{
    static char name[VENDOR_LENGTH + 1 + BRAND_LENGTH + 1];
    char brand[BRAND_LENGTH + 1] = "";
    struct cpuid vendor = cpuid(0, 0);
    size_t blanks = 0;

    if (cpuid(0x80000000, 0).a >= 0x80000004) {
        for (uint32_t i = 0; i < 3; i++) {
            struct cpuid id = cpuid(0x80000002 + i, 0);

            memcpy(brand + sizeof id * i, &id, sizeof id);
        }
    }
    while (brand[blanks] == ' ')
        blanks++;
    memcpy(name, &vendor.b, 4);
    memcpy(name + 4, &vendor.d, 4);
    memcpy(name + 8, &vendor.c, 4);
    name[VENDOR_LENGTH] = ' ';
    memcpy(name + VENDOR_LENGTH + 1, brand + blanks, sizeof brand - blanks);
    return name;
}

void cpu_set_thread_pointer(uint64_t base)
{
    if (LIKELY(cpu_features.fsgsbase))
        __asm__ volatile("wrfsbase %0" : : "r"(base) : "memory");
    else
        msr_write(MSR_FS_BASE, base);
}

uint64_t cpu_thread_pointer(void)
{
    uint64_t base;

    if (UNLIKELY(!cpu_features.fsgsbase))
        return msr_read(MSR_FS_BASE);
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

/* Who wants to be interrupted already does not wait for the program's first call (linux_attention). */
_Noreturn void cpu_start_program(vaddr_t entry, vaddr_t stack)
{
    if (trap_timer != NULL || cpu_count() > 1)
        __asm__ volatile("sti" : : : "memory");
    program_enter(entry, stack);
}

size_t cpu_extended_state_size(void)
{
    return cpu_features.extended_state_size;
}

void *device_open(enum device_window window, paddr_t address)
{
    char *page = fixmap_open(FIXMAP_DEVICE + window, address & ~(paddr_t)VM_PAGE_MASK, PTE_PCD | PTE_PWT);

    return page + (address & VM_PAGE_MASK);
}
