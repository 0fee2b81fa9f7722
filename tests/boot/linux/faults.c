/*
 * Exceptions as signals: what the handler is told, and that what it changes in the context counts. Left out: what
 * depends on the CPU (alignment checks, protection keys, SSE's exceptions, which QEMU's emulation does not raise), and
 * faults of the kernel's half in si_addr of vsyscall.
 */
#include "tests/boot/linux/linux.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf jump;
static volatile struct {
    int signal, code;
    uintptr_t address, rip, error, trap, cr2;
    bool on_stack;
} seen;
static char alternate[64 << 10];

static void note(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    char here;

    seen.signal = signal;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.rip = (uintptr_t)registers[REG_RIP];
    seen.error = (uintptr_t)registers[REG_ERR];
    seen.trap = (uintptr_t)registers[REG_TRAPNO];
    seen.cr2 = (uintptr_t)registers[REG_CR2];
    seen.on_stack = &here >= alternate && &here < alternate + sizeof alternate;
}

static void leave(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    siglongjmp(jump, 1);
}

static void install(void (*handler)(int, siginfo_t *, void *), int flags)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    for (size_t i = 0; i < LENGTH(signals); i++)
        sigaction(signals[i], &action, NULL);
}

/* si_addr against what it should be: the address given, or the instruction (own = true). */
static void report(const char *what, uintptr_t address, bool own)
{
    printf("%s: signal %d, code %d, address %s, error %lx, trap %lu, cr2 %s\n", what, seen.signal, seen.code,
           seen.address == (own ? seen.rip : address) ? "right"
           : seen.address == 0                        ? "0"
                                                      : "wrong",
           seen.error, seen.trap,
           seen.trap != 14       ? "-"
           : seen.cr2 == address ? "right"
                                 : "wrong");
}

#define CASE(what, address, own, code)                                                                                 \
    do {                                                                                                               \
        memset((void *)&seen, 0, sizeof seen);                                                                         \
        if (!sigsetjmp(jump, 1)) {                                                                                     \
            code;                                                                                                      \
            printf("%s: no signal\n", what);                                                                           \
        } else {                                                                                                       \
            report(what, (uintptr_t)(address), own);                                                                   \
        }                                                                                                              \
    } while (0)

static void memory_faults(void)
{
    char *none = mmap(NULL, PAGE, PROT_NONE, ANON, -1, 0), *read_only = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);
    char *gone = mmap(NULL, PAGE, RW, ANON, -1, 0), *data = mmap(NULL, PAGE, RW, ANON, -1, 0);
    volatile char *volatile null = NULL;
    int fd = make_file("file", 10);
    char *file = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);

    munmap(gone, PAGE);
    data[0] = (char)0xc3;
    CASE("read of nothing", gone + 5, false, (void)*(volatile char *)(gone + 5));
    CASE("write to nothing", gone + 7, false, *(volatile char *)(gone + 7) = 1);
    CASE("read without protection", none + 1, false, (void)*(volatile char *)(none + 1));
    CASE("write to read-only memory, untouched", read_only + 9, false, *(volatile char *)(read_only + 9) = 1);
    (void)*(volatile char *)read_only;
    CASE("write to read-only memory, touched", read_only + 9, false, *(volatile char *)(read_only + 9) = 1);
    CASE("read of NULL", 0, false, (void)*null);
    CASE("read near NULL", 100, false, (void)*(null + 100));
    CASE("call of NULL", 0, false, ((void (*)(void))(uintptr_t)null)());
    CASE("execution of data", data, false, ((void (*)(void))data)());
    CASE("execution of nothing", gone, false, ((void (*)(void))gone)());
    CASE("write to text", (char *)leave, false, *(volatile char *)leave = 1);
    CASE("a wild address", 0, false, (void)*(volatile char *)NOT_CANONICAL);
    CASE("a wild call", 0, false, ((void (*)(void))NOT_CANONICAL)());
    CASE("behind the end of a file, read", file + PAGE + 3, false, (void)*(volatile char *)(file + PAGE + 3));
    CASE("behind the end of a file, write", file + PAGE, false, *(volatile char *)(file + PAGE) = 1);
    ftruncate(fd, 0);
    CASE("of an emptied file", file, false, (void)*(volatile char *)file);
    CASE("across two pages", gone, false, (void)*(volatile long *)(gone - 4 + 4));
    close(fd);
}

static void other_faults(void)
{
    static volatile uint16_t control = 0x037b; /* x87: division by zero not masked */

    CASE("division by zero", 0, true,
         __asm__ volatile("xorl %%ecx, %%ecx\n movl $1, %%eax\n cltd\n idivl %%ecx" ::
                              : "eax", "ecx", "edx"));
    CASE("a quotient too large", 0, true,
         __asm__ volatile("movl $-1, %%ecx\n movl $0x80000000, %%eax\n cltd\n idivl %%ecx" ::
                              : "eax", "ecx", "edx"));
    CASE("ud2", 0, true, __asm__ volatile("ud2"));
    CASE("int3", 0, true, __asm__ volatile("int3"));
    CASE("x87 division by zero", 0, true, __asm__ volatile("fldcw %0\n fld1\n fldz\n fdivrp\n fwait" ::"m"(control)));
    __asm__ volatile("fninit");
    CASE("single step", 0, true,
         __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n nop" ::
                              : "memory", "cc"));
}

static void skip(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 has two bytes */
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 77;
}

static void changed_context(void)
{
    long rax = 1, rbx = 2;

    install(skip, 0);
    __asm__ volatile("ud2" : "+a"(rax), "+b"(rbx));
    printf("rax %ld, rbx %ld\n", rax, rbx);
    for (int i = 0; i < 1000; i++)
        __asm__ volatile("ud2" : "+a"(rax));
    value(rax);
}

static char *guarded;
static unsigned barriers;

static void unprotect(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    barriers++;
    mprotect((void *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, RW);
}

/* As a garbage collector does: protect, fault, fix, go on with the very instruction. */
static void write_barrier(void)
{
    size_t count = 64, wrong = 0;

    install(unprotect, 0);
    guarded = mmap(NULL, count * PAGE, RW, ANON, -1, 0);
    memset(guarded, 1, count * PAGE);
    for (int round = 0; round < 3; round++) {
        mprotect(guarded, count * PAGE, round == 1 ? PROT_NONE : PROT_READ);
        for (size_t i = 0; i < count * PAGE; i += 1000)
            guarded[i]++;
    }
    for (size_t i = 0; i < count * PAGE; i++)
        wrong += guarded[i] != (i % 1000 ? 1 : 4);
    printf("%u barriers, %zu wrong\n", barriers, wrong);
    mprotect(guarded, PAGE, PROT_READ);
    __asm__ volatile("movups %%xmm0, (%0)\n" ::"r"(guarded + 100) : "memory");
    value(barriers);
    value(munmap(guarded, count * PAGE));
}

static void map_it(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    mmap((void *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, RW, ANON | MAP_FIXED, -1, 0);
}

static void demand_by_hand(void)
{
    char *at = mmap(NULL, 16 * PAGE, PROT_NONE, ANON, -1, 0);

    install(map_it, 0);
    for (int i = 0; i < 16; i++)
        at[(size_t)i * PAGE + 5] = (char)i;
    value(at[15 * PAGE + 5]);
}

static volatile int levels;

static void deeper(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    if (++levels < 5)
        __asm__ volatile("ud2");
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void nested(void)
{
    install(deeper, SA_NODEFER);
    __asm__ volatile("ud2");
    value(levels);
}

static __attribute__((noinline)) long recurse(long depth)
{
    volatile char frame[4096];

    frame[0] = (char)depth;
    return recurse(depth + 1) + frame[0];
}

static void stack_overflow(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};

    install(leave, SA_ONSTACK);
    sigaltstack(&stack, NULL);
    for (int i = 0; i < 2; i++) {
        if (!sigsetjmp(jump, 1))
            recurse(0);
        printf("stack overflow: signal %d, on the alternate stack %d\n", seen.signal, seen.on_stack);
    }
}

static void flags_and_registers(void)
{
    double before[2] = {1.5, -2.25}, after[2];
    long kept = 0;

    install(skip, 0);
    __asm__ volatile("movupd %2, %%xmm5\n fldpi\n movq $0x1234, -64(%%rsp)\n ud2\n movq -64(%%rsp), %1\n fstp %%st\n "
                     "movupd %%xmm5, %0"
                     : "=m"(after), "=r"(kept)
                     : "m"(before)
                     : "xmm5", "rax", "memory");
    printf("%g %g, red zone %lx\n", after[0], after[1], kept);
}

static uintptr_t damage;

/* The state of x87 and vector registers is somewhere else when the handler returns. */
static void damage_state(int signal, siginfo_t *info, void *context)
{
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;

    (void)signal, (void)info;
    machine->fpregs = (fpregset_t)(damage == 8 ? (uintptr_t)machine->fpregs + 8 : damage);
}

static void damaged_frames(void)
{
    static const uintptr_t places[] = {(uintptr_t)WILD, (uintptr_t)NOT_CANONICAL, 100, 8};
    struct sigaction action = {.sa_sigaction = damage_state, .sa_flags = SA_SIGINFO};

    install(leave, 0);
    sigaction(SIGUSR1, &action, NULL);
    for (size_t i = 0; i < LENGTH(places); i++) {
        damage = places[i];
        memset((void *)&seen, 0, sizeof seen);
        if (!sigsetjmp(jump, 1))
            kill(getpid(), SIGUSR1);
        printf("state at a bad place: signal %d, code %d\n", seen.signal, seen.code);
    }
}

int main(void)
{
    fresh_folder();
    install(leave, 0);
    memory_faults();
    other_faults();
    changed_context();
    write_barrier();
    demand_by_hand();
    nested();
    stack_overflow();
    flags_and_registers();
    damaged_frames();
    remove_folder();
    return 0;
}
