/*
 * What CPUID tells about the CPU, for /proc/cpuinfo. The names of features are Linux's, in Linux's order
 * (arch/x86/include/asm/cpufeatures.h, by word); '-' stands for bits that have none there.
 */
#include "arch/x86_64/arch.h"
#include "core/base/string.h"
#include "core/cpu.h"

enum { EAX, EBX, ECX, EDX };

static const struct {
    uint32_t leaf, subleaf;
    uint8_t result;
    const char *names; /* from bit 0 on */
} words[] = {
    {1, 0, EDX,
     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse "
     "sse2 "
     "ss ht tm ia64 pbe"},
    {0x80000001, 0, EDX,
     "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm "
     "3dnowext 3dnow"},
    {0x80000007, 0, EDX, "- - - - - - - - nonstop_tsc"},
    {1, 0, ECX,
     "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 "
     "x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor"},
    {0x80000001, 0, ECX,
     "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 "
     "tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx"},
    {7, 0, EBX,
     "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed adx "
     "smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"},
    {0xd, 1, EAX, "xsaveopt xsavec xgetbv1 xsaves"},
    {7, 1, EAX, "- - - - avx_vnni avx512_bf16"},
    {0x80000008, 0, EBX, "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd"},
    {7, 0, ECX,
     "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme "
     "avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd"},
    {7, 0, EDX,
     "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - tsxldtrk - "
     "pconfig arch_lbr - - amx_bf16 avx512_fp16 amx_tile amx_int8"},
};

static uint32_t result_of(unsigned word)
{
    uint32_t leaf = words[word].leaf;
    struct cpuid id;

    if (cpuid(leaf & 0x80000000u, 0).a < leaf)
        return 0;
    id = cpuid(leaf, words[word].subleaf);
    return words[word].result == EAX   ? id.a
           : words[word].result == EBX ? id.b
           : words[word].result == ECX ? id.c
                                       : id.d;
}

const char *cpu_next_flag(unsigned *position, size_t *length)
{
    for (; *position / 32 < ARRAY_LENGTH(words); (*position)++) {
        const char *name = words[*position / 32].names;

        for (unsigned skip = *position % 32; skip > 0 && *name != '\0'; name++)
            skip -= *name == ' ';
        for (*length = 0; name[*length] != ' ' && name[*length] != '\0';)
            (*length)++;
        if (*length > 0 && *name != '-' && result_of(*position / 32) >> *position % 32 & 1) {
            (*position)++;
            return name;
        }
    }
    return NULL;
}

/* Of the last level there is, in KiB: AMD's leaf, else the deterministic parameters (SDM vol. 2, CPUID). */
static unsigned cache_kib(void)
{
    struct cpuid id;
    unsigned last = 0;

    for (uint32_t i = 0; cpu_features.highest_leaf >= 4 && i < 8; i++) {
        id = cpuid(4, i);
        if ((id.a & 0x1f) == 0)
            break;
        last = (unsigned)(((uint64_t)(id.b >> 22) + 1) * ((id.b >> 12 & 0x3ff) + 1) * ((id.b & 0xfff) + 1) *
                          (id.c + 1ull) / 1024);
    }
    if (last == 0 && cpuid(0x80000000, 0).a >= 0x80000006)
        last = cpuid(0x80000006, 0).c >> 16;
    return last;
}

void cpu_identify(struct cpu_identity *cpu)
{
    struct cpuid vendor = cpuid(0, 0), basic = cpuid(1, 0);
    unsigned family = basic.a >> 8 & 15, model = basic.a >> 4 & 15, line = (basic.b >> 8 & 0xff) * 8;

    *cpu = (struct cpu_identity){
        .family = family == 15 ? family + (basic.a >> 20 & 0xff) : family,
        .model = family == 15 || family == 6 ? model + (basic.a >> 12 & 0xf0) : model,
        .stepping = basic.a & 15,
        .level = vendor.a,
        .cache_kib = cache_kib(),
        .cache_line = line != 0 ? line : 64,
        .physical_bits = cpu_features.physical_bits,
        .virtual_bits = 48, /* paging has four levels here */
    };
    memcpy(cpu->vendor, &vendor.b, 4);
    memcpy(cpu->vendor + 4, &vendor.d, 4);
    memcpy(cpu->vendor + 8, &vendor.c, 4);
}
