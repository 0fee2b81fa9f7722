/*
 * Every operator new and delete of C++17 on the project's own heap: alignment, contents, what is thrown or returned
 * when there is no memory, the handler; and what they get is a block of that heap. Prints the same on Linux.
 */
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

/* Compilers have these only when told to; the library has them always. */
void operator delete(void *, std::size_t) noexcept;
void operator delete[](void *, std::size_t) noexcept;
void operator delete(void *, std::size_t, std::align_val_t) noexcept;
void operator delete[](void *, std::size_t, std::align_val_t) noexcept;

struct alignas(256) Wide {
    char bytes[512];
};

static int handled;

static void handler()
{
    handled++;
    std::set_new_handler(nullptr);
}

static void check(const void *block, std::size_t align, const char *what)
{
    if (block == nullptr || reinterpret_cast<std::uintptr_t>(block) % align != 0)
        std::printf("%s: not as asked\n", what);
    else
        std::memset(const_cast<void *>(block), 0x5a, 16);
}

static void plain(std::size_t size)
{
    void *one = ::operator new(size), *array = ::operator new[](size);
    void *quiet = ::operator new(size, std::nothrow), *quiet_array = ::operator new[](size, std::nothrow);

    check(one, 16, "new");
    check(array, 16, "new[]");
    check(quiet, 16, "new nothrow");
    check(quiet_array, 16, "new[] nothrow");
    ::operator delete(one, size);
    ::operator delete[](array, size);
    ::operator delete(quiet, std::nothrow);
    ::operator delete[](quiet_array, std::nothrow);
    ::operator delete(::operator new(size));
    ::operator delete[](::operator new[](size));
}

static void aligned(std::size_t size, std::align_val_t align)
{
    std::size_t bytes = static_cast<std::size_t>(align);
    void *one = ::operator new(size, align), *array = ::operator new[](size, align);
    void *quiet = ::operator new(size, align, std::nothrow), *quiet_array = ::operator new[](size, align, std::nothrow);

    check(one, bytes, "aligned new");
    check(array, bytes, "aligned new[]");
    check(quiet, bytes, "aligned new nothrow");
    check(quiet_array, bytes, "aligned new[] nothrow");
    ::operator delete(one, align);
    ::operator delete[](array, align);
    ::operator delete(quiet, align, std::nothrow);
    ::operator delete[](quiet_array, align, std::nothrow);
    ::operator delete(::operator new(size, align), size, align);
    ::operator delete[](::operator new[](size, align), size, align);
}

template <typename Attempt> static const char *outcome(Attempt attempt)
{
    try {
        return attempt() == nullptr ? "nullptr" : "a block";
    } catch (const std::bad_alloc &) {
        return "bad_alloc";
    }
}

static void refused()
{
    volatile std::size_t huge = SIZE_MAX / 2;

    std::printf("new: %s\n", outcome([=] { return ::operator new(huge); }));
    std::printf("new[]: %s\n", outcome([=] { return ::operator new[](huge); }));
    std::printf("new nothrow: %s\n", outcome([=] { return ::operator new(huge, std::nothrow); }));
    std::printf("aligned new: %s\n", outcome([=] { return ::operator new(huge, std::align_val_t(64)); }));
    std::printf("aligned new nothrow: %s\n",
                outcome([=] { return ::operator new(huge, std::align_val_t(64), std::nothrow); }));
    std::set_new_handler(handler);
    std::printf("with a handler: %s, ", outcome([=] { return ::operator new(huge); }));
    std::printf("called %d time\n", handled);
}

int main()
{
    std::vector<std::string> names;
    std::vector<Wide> wide(10);

    for (std::size_t size = 1; size < 3000000; size += size / 2 + 1) {
        plain(size);
        for (std::size_t align = 32; align <= 65536; align *= 4)
            aligned(size, std::align_val_t(align));
    }
    for (int i = 0; i < 100000; i++)
        names.push_back("a name that does not fit into the string itself " + std::to_string(i));
    check(&wide[3], 256, "a vector of what is aligned");
    std::printf("%s\n", names[77777].c_str());
    refused();
    return 0;
}
