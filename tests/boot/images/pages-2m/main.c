#include "tests/boot/pages.h"

int main(void)
{
    return check_pages(PAGE_2M, (size_t)16 << 20);
}
