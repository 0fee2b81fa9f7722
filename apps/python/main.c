/* The whole of `python3`: the interpreter is in Debian's library, and finds its modules in /usr/lib/python3.11. */
#include <python3.11/Python.h>

int main(int argc, char **argv)
{
    return Py_BytesMain(argc, argv);
}
