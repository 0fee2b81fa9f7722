/* A program without a libc calls the VM core directly and writes through the system call. */
#include "vm/vm.h"

int main(int argc, char **argv);

static long write_text(const char *text)
{
    long number = 1, length = 0;

    while (text[length])
        length++;
    __asm__ volatile("syscall" : "+a"(number) : "D"(1L), "S"(text), "d"(length) : "rcx", "r11", "memory");
    return number;
}

int main(int argc, char **argv)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, 1 << 20, VM_RW);
    volatile char *memory = (volatile char *)vm_start(segment);

    write_text("no libc\n");
    for (int i = 1; i < argc; i++) {
        write_text(argv[i]);
        write_text("\n");
    }
    memory[0] = 1;
    memory[(1 << 20) - 1] = 1;
    write_text(vm_segment_statistics(vm_space(), segment).faults[PAGE_4K] <= 2 ? "memory\n" : "too many faults\n");
    vm_free(vm_space(), segment);
    return 21;
}
