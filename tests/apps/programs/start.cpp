// A C++ program that is linked statically: exceptions, streams, thread_local objects, static objects.
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

static std::map<std::string, int> table{{"a", 1}, {"b", 2}};
thread_local std::vector<int> own(3, 14);

struct Noisy {
    ~Noisy()
    {
        std::cout << "destroyed\n";
    }
} noisy;

int main(int argc, char **argv)
{
    try {
        std::cout << argv[0] << " " << argc << " " << table.at("b") << " " << own[2] << "\n";
        table.at("c");
    } catch (const std::out_of_range &) {
        std::cout << "caught" << std::endl;
    }
    std::string text(1 << 20, 'x');
    for (int i = 0; i < 1000; i++)
        table[std::to_string(i)] = i;
    std::cerr << text.size() << " " << table.size() << "\n";
    return 5;
}
