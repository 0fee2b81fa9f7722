#include "tests/boot/pages.h"

int main(void)
{
    return check_pages(PAGE_4K, (size_t)16 << 20);
}
