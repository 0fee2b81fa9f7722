/*
 * The whole of `python3`: the interpreter is in Debian's library, and finds its modules in /usr/lib/python3.11. Those
 * that Debian has as shared objects, which a static program cannot load, are compiled from its source and built in
 * here.
 */
#include <python3.11/Python.h>

#define MODULES(M)                                                                                                     \
    M(_asyncio) M(_contextvars) M(_json) M(_lsprof) M(_queue) M(_typing) M(_zoneinfo) M(mmap) M(resource) M(termios)

#define DECLARE(module) PyObject *PyInit_##module(void);
#define ENTRY(module) {#module, PyInit_##module},

MODULES(DECLARE)

static struct _inittab modules[] = {MODULES(ENTRY){NULL, NULL}};

int main(int argc, char **argv)
{
    if (PyImport_ExtendInittab(modules) != 0)
        return 1;
    return Py_BytesMain(argc, argv);
}
