#include "tests/boot/pages.h"

int main(void)
{
    return check_pages(PAGE_1G, (size_t)1024 << 20);
}
