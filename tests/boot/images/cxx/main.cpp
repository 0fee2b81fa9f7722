// What C++ needs of the machine below it: constructors before main and destructors after, unwinding through frames,
// thread-local storage, the standard library's streams and containers. Prints the same on Linux.
#include <algorithm>
#include <exception>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <vector>

namespace
{

struct Lifetime {
    Lifetime()
    {
        std::cout << "before main\n";
    }
    ~Lifetime()
    {
        std::cout << "after main\n";
    }
} lifetime;

thread_local std::vector<int> own{1, 2, 3};

struct Unwound {
    int depth;
    ~Unwound()
    {
        std::cout << "unwound " << depth << "\n";
    }
};

[[noreturn]] void throw_at(int depth)
{
    Unwound mark{depth};

    if (depth == 0)
        throw std::runtime_error("thrown at 0");
    throw_at(depth - 1);
}

void exceptions()
{
    try {
        throw_at(2);
    } catch (const std::logic_error &) {
        std::cout << "the wrong handler\n";
    } catch (const std::exception &error) {
        std::cout << "caught: " << error.what() << "\n";
    }
    try {
        std::vector<int>(3).at(7);
    } catch (const std::out_of_range &) {
        std::cout << "out of range\n";
    }
    try {
        ::operator delete(::operator new (size_t{1} << 62)); // a direct call is not left out by the compiler
    } catch (const std::bad_alloc &) {
        std::cout << "no memory is an ordinary result\n";
    }
    try {
        try {
            throw 7;
        } catch (int &value) {
            value++;
            throw;
        }
    } catch (int value) {
        std::cout << "thrown again: " << value << "\n";
    }
}

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

struct Square : Shape {
    double side = 1.5;
    double area() const override
    {
        return side * side;
    }
};

void library()
{
    std::map<std::string, int> ordered;
    std::unordered_map<int, std::string> hashed;
    std::ostringstream text;
    std::unique_ptr<Shape> shape = std::make_unique<Square>();

    for (int i = 0; i < 20000; i++) {
        ordered[std::to_string(i * 7919 % 1009)] += i;
        hashed[i % 251] += static_cast<char>('a' + i % 26);
    }
    text << std::hex << std::setw(8) << std::setfill('0') << ordered.at("5") << " " << std::fixed
         << std::setprecision(3) << shape->area();
    std::cout << ordered.size() << " " << hashed.at(7).size() << " " << text.str() << "\n";
    std::cout << (dynamic_cast<Square *>(shape.get()) != nullptr) << " " << std::accumulate(own.begin(), own.end(), 0)
              << "\n";
}

} // namespace

int main()
{
    exceptions();
    library();
    std::cout << std::flush;
    return 42;
}
