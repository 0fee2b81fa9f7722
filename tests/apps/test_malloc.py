"""
Allocators in place of the C library's (images/allocators.py): images print the same as the same objects on Linux, and
which allocator it is that answers; and nothing of another is in what is linked.
"""

import subprocess
import tomllib
import unittest
from pathlib import Path

from booting import IMAGES, ROOT, TIMEOUT, AppCase

# Of the C libraries' own allocators: what each of their functions leads to. musl has a second one, for programs without free.
LIBCS = {
    "glibc": {"_int_malloc", "_int_free", "_int_realloc", "sysmalloc", "main_arena"},
    "musl": {"__malloc_context", "__malloc_alloc_meta", "__malloc_size_classes"},
}
MUSL = Path("/usr/lib/x86_64-linux-musl/libc.a")
SIMPLE = {"__simple_malloc", "__bump_lockptr"}
FUNCTIONS = {"malloc", "calloc", "realloc", "free", "aligned_alloc", "memalign", "posix_memalign", "malloc_usable_size"}
OPERATORS = {"operator new(unsigned long)", "operator new[](unsigned long)", "operator delete(void*)"}
ALLOCATORS = ("jemalloc", "mimalloc", "tcmalloc")


class Images(AppCase):
    """Images against the same objects as a program for Linux."""

    @classmethod
    def setUpClass(cls) -> None:
        pass  # there are several

    def compare(self, name: str) -> str:
        """What both print."""
        self.app = name
        folder = IMAGES / name
        self.build(*(f"build/test/{name}/{name}{suffix}" for suffix in (".elf", ".native")))
        arguments = tomllib.loads((ROOT / "tests/boot/images" / name / "app.toml").read_text()).get("args", [])
        command = [folder / f"{name}.native", *arguments]
        here = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        there = self.boot()
        self.assertEqual((here.returncode, here.stderr), (0, ""))
        self.assertEqual((there.returncode, there.stdout), (0, here.stdout), there.stderr)
        self.assertNotIn("quire: system call", there.stdout + there.stderr)
        return here.stdout

    def test_blocks(self) -> None:
        for name in (*ALLOCATORS, "mimalloc-glibc"):
            with self.subTest(name):
                self.assertTrue(self.compare(f"malloc-{name}").endswith(f"\nallocator: {name.removesuffix('-glibc')}\n"))

    def test_sqlite(self) -> None:
        for name in ALLOCATORS:
            with self.subTest(name):
                self.assertRegex(self.compare(f"sqlite-{name}"), r"\A3334\|\d+\|\d+\|\d+\n\d+\nok\n\Z")


def symbols(path: Path) -> set[str]:
    listed = subprocess.run(["nm", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    return {row.split()[-1] for row in listed.splitlines() if row}


def origins(name: str, wanted: set[str]) -> set[str]:
    """The archives that the functions come from, by the linker's map of the image, in which symbols follow their section."""
    found, archive = {}, ""
    for row in (IMAGES / name / "program.map").read_text().splitlines()[1:]:
        symbol = row.split(maxsplit=4)[-1]
        if ":(" in symbol:
            archive = Path(symbol.split("(")[0].rstrip(":")).name
        elif symbol in wanted:
            found[symbol] = archive
    assert set(found) == wanted, wanted - set(found)
    return set(found.values())


class Linked(unittest.TestCase):
    def files(self, name: str) -> list[Path]:
        paths = [IMAGES / name / f"{name}{suffix}" for suffix in (".debug", ".native")]
        AppCase.build(*(f"build/test/{name}/{path.name}" for path in paths))
        return paths

    def test_names_of_the_libcs(self) -> None:
        """The names that are looked for below are those of the allocators of these versions of the libraries."""
        for libc, name in (("glibc", "languages"), ("musl", "languages-musl")):
            path = self.files(name)[-1]  # the program for Linux: the image has the project's own heap
            self.assertEqual(LIBCS[libc] - symbols(path), set(), path)
        self.assertEqual(SIMPLE - symbols(MUSL), set())

    def test_nothing_of_the_libc_s_allocator(self) -> None:
        for name in ("malloc-jemalloc", "malloc-mimalloc", "malloc-mimalloc-glibc", "malloc-tcmalloc", "cxx-jemalloc",
                     "cxx-mimalloc", "cxx-tcmalloc"):  # fmt: skip
            for path in self.files(name):
                with self.subTest(path.name):
                    self.assertEqual(symbols(path) & (LIBCS["glibc"] | LIBCS["musl"] | SIMPLE), set())

    def test_own_heap_is_the_default(self) -> None:
        for name, archives in (("malloc-heap", {"libheap-c.a"}), ("malloc-heap-glibc", {"libheap-c.a"}), ("cxx", {"libheap-c.a", "libheap-cxx.a"})):
            with self.subTest(name):
                AppCase.build(f"build/test/{name}/{name}.debug")
                found = symbols(IMAGES / name / f"{name}.debug")
                self.assertEqual(found & (LIBCS["glibc"] | LIBCS["musl"] | SIMPLE), set())
                wanted = {"malloc", "free", *OPERATORS} if name == "cxx" else FUNCTIONS
                self.assertEqual(origins(name, wanted), archives)

    def test_all_functions_are_the_chosen_ones(self) -> None:
        for name, archive in (("jemalloc", "libjemalloc_pic.a"), ("mimalloc", "libmimalloc.a"), ("tcmalloc", "libtcmalloc_minimal.a")):
            with self.subTest(name):
                self.files(f"malloc-{name}")
                self.files(f"cxx-{name}")
                self.assertEqual(origins(f"malloc-{name}", FUNCTIONS), {archive})
                self.assertEqual(origins(f"cxx-{name}", {"malloc", "free", *OPERATORS}), {archive})


if __name__ == "__main__":
    unittest.main()
