"""Manifests: every mistake is one line with file, line, key and what is allowed, and nothing is written."""

import os
import unittest

from tree import TreeCase

GOOD = 'summary = "x"\nsources = ["main.c"]\n'

# (what is wrong, manifest, line, key, words of the message)
MISTAKES = [
    ("no summary", 'sources = ["main.c"]\n', 1, "summary", "missing"),
    ("no sources", 'summary = "x"\n', 1, "sources", "missing"),
    ("summary no string", 'sources = ["main.c"]\nsummary = 1\n', 2, "summary", "must be a string of one line"),
    ("empty sources", 'summary = "x"\nsources = []\n', 2, "sources", "at least one source file"),
    ("source no C", 'summary = "x"\nsources = ["main.rs"]\n', 2, "sources", ".c or .S or .cc"),
    ("source absent", 'summary = "x"\nsources = ["main.c", "more.c"]\n', 2, "sources", "there is no file more.c"),
    ("source outside", 'summary = "x"\nsources = ["../x.c"]\n', 2, "sources", "inside the application's folder"),
    ("source twice", 'summary = "x"\nsources = ["main.c", "main.c"]\n', 2, "sources", "each listed once"),
    ("version no string", GOOD + "version = 1.2\n", 3, "version", "must be a string of one line"),
    ("unknown key", GOOD + 'lib = "musl"\n', 3, "lib", "unknown key; did you mean libc?"),
    ("unknown table", GOOD + "[memoryy]\nram = 1\n", 3, "memoryy", "unknown key"),
    ("libc", GOOD + 'libc = "newlib"\n', 3, "libc", "one of musl, glibc, none"),
    ("libc list", GOOD + 'libc = ["musl"]\n', 3, "libc", "one of musl, glibc, none"),
    ("malloc", GOOD + 'malloc = "dlmalloc"\n', 3, "malloc", "one of heap, hardened, libc, jemalloc, mimalloc, tcmalloc"),
    ("harden_heap", GOOD + 'harden_heap = "yes"\n', 3, "harden_heap", "true or false"),
    ("harden_heap, other malloc", GOOD + 'malloc = "libc"\nharden_heap = true\n', 4, "harden_heap", "there is no hardened libc"),
    ("harden_heap, no libc", GOOD + 'libc = "none"\nharden_heap = true\n', 1, "malloc", '"hardened" needs libc = "musl" or'),
    ("malloc of glibc", GOOD + 'malloc = "jemalloc"\n', 3, "malloc", 'needs libc = "glibc": Debian'),
    ("malloc, no libc", GOOD + 'libc = "none"\nmalloc = "mimalloc"\n', 4, "malloc", 'needs libc = "musl" or libc = "glibc": without a C library'),
    ("calls", GOOD + 'calls = "some"\n', 3, "calls", '"all" or a list of parts, base, files'),
    ("calls part", GOOD + 'calls = ["files", "sockets"]\n', 3, "calls", '"all" or a list of parts, base, files'),
    ("packages", GOOD + 'packages = "zlib1g-dev"\n', 3, "packages", "a list of names"),
    ("package option", GOOD + 'packages = ["--yes"]\n', 3, "packages", "a list of names"),
    ("include absent", GOOD + 'include = ["inc"]\n', 3, "include", "there is no folder inc"),
    ("library absent", GOOD + 'libraries = ["nonesuch"]\n', None, "libraries", "libnonesuch.a"),
    ("library, no libc", GOOD + 'libc = "none"\nlibraries = ["z"]\n', 4, "libraries", "must be empty"),
    ("file absent", GOOD + 'files = ["a.txt"]\n', 3, "files", "there is no file a.txt"),
    ("file twice", GOOD + 'files = ["main.c", "app.toml:main.c"]\n', 3, "files", "two files would be main.c in the image"),
    ("file and folder", GOOD + 'files = ["main.c:etc", "main.c:/etc/x"]\n', 3, "files", "etc would be both a file and a folder"),
    ("file outside", GOOD + 'files = ["../x"]\n', 3, "files", "paths inside the application's folder"),
    ("file target", GOOD + 'files = ["main.c:a/./b"]\n', 3, "files", "no plain path"),
    ("args", GOOD + "args = [1]\n", 3, "args", "a list of strings"),
    ("env list", GOOD + 'env = ["A=b"]\n', 3, "env", "a table of strings"),
    ("env name", GOOD + '[env]\n"A B" = "c"\n', 3, "env", "a table of strings"),
    ("cflags", GOOD + 'cflags = "-O3"\n', 3, "cflags", "a list of strings"),
    ("ram number", GOOD + "[memory]\nram = 64\n", 4, "memory.ram", '"64M"'),
    ("ram words", GOOD + '[memory]\nram = "a lot"\n', 4, "memory.ram", '"64M"'),
    ("ram small", GOOD + '[memory]\nram = "1M"\n', 4, "memory.ram", "at least 4M"),
    ("ram large", GOOD + '[memory]\nram = "65T"\n', 4, "memory.ram", "at most 64T"),
    ("stack", GOOD + '[memory]\nram = "64M"\nstack = "5K"\n', 5, "memory.stack", "whole 4K pages"),
    ("stack and heap", GOOD + '[memory]\nram = "8M"\nheap = "1G"\n', 4, "memory.ram", "stack and heap alone need"),
    ("pages", GOOD + '[memory]\npages = "8k"\n', 4, "memory.pages", "one of 4k, 2m, 1g"),
    ("memory key", GOOD + '[memory]\nswap = "1G"\n', 4, "memory.swap", "allowed are ram, stack, pages, heap"),
    ("memory inline", GOOD + 'memory = { ram = "x" }\n', 3, "memory.ram", '"64M"'),
    ("memory no table", GOOD + 'memory = "64M"\n', 3, "memory", "must be a table"),
    ("window no list", GOOD + '[window]\nname = "x"\n', 3, "window", "[[window]]"),
    ("window size", GOOD + '[[window]]\nname = "a"\nsize = "4K"\n[[window]]\nname = "b"\nsize = "x"\n', 8, "window.size", "4K pages"),
    ("window key absent", GOOD + '[[window]]\nsize = "4K"\n', 3, "window.name", "missing"),
    ("window cache", GOOD + '[[window]]\nname = "a"\nsize = "4K"\ncache = "no"\n', 6, "window.cache", "uc, wc, wt, wb"),
    ("source, no package", GOOD + '[source]\nsources = ["a.c"]\n', 3, "source.package", "missing"),
    ("source, no sources", GOOD + '[source]\npackage = "abc"\n', 3, "source.sources", "missing"),
    ("source package", GOOD + '[source]\npackage = "--abc"\nsources = ["a.c"]\n', 4, "source.package", "a Debian source package"),
    ("source outside", GOOD + '[source]\npackage = "abc"\nsources = ["../*.c"]\n', 5, "source.sources", "inside the"),
    ("source no C", GOOD + '[source]\npackage = "abc"\nsources = ["src/*"]\n', 5, "source.sources", ".c or .S or .cc"),
    ("source no table", GOOD + 'source = "abc"\n', 3, "source", "must be a table"),
    ("source key", GOOD + '[source]\npackage = "abc"\nsources = ["a.c"]\nversion = "1"\n', 6, "source.version", "unknown key"),
    ("library path", GOOD + 'libraries = ["/usr/lib/x.so"]\n', 3, "libraries", "paths of .a files"),
    ("library path absent", GOOD + 'libraries = ["/usr/lib/nonesuch.a"]\n', None, "libraries", "there is no /usr/lib/nonesuch.a"),
    ("qemu machine", GOOD + '[qemu]\nmachine = "vax"\n', 4, "qemu.machine", "q35, microvm, pc"),
    ("observe stats", GOOD + "[observe]\nstats = 1\n", 4, "observe.stats", "true or false"),
    ("observe timeline", GOOD + '[observe]\ntimeline = 10\n', 4, "observe.timeline", '"10ms"'),
    ("observe timeline short", GOOD + '[observe]\ntimeline = "1us"\n', 4, "observe.timeline", "at least 100us"),
    ("observe profile", GOOD + "[observe]\nprofile = 10001\n", 4, "observe.profile", "from 1 to 10000"),
    ("observe profile text", GOOD + '[observe]\nprofile = "100"\n', 4, "observe.profile", "from 1 to 10000"),
    ("observe profile flag", GOOD + "[observe]\nprofile = true\n", 4, "observe.profile", "from 1 to 10000"),
    ("observe key", GOOD + "[observe]\nstatistics = true\n", 4, "observe.statistics", "did you mean stats?"),
    ("qemu devices", GOOD + "[qemu]\ndevices = true\n", 4, "qemu.devices", "a list of strings"),
]


class Mistakes(TreeCase):
    def test_each(self):
        for what, text, line, key, words in MISTAKES:
            with self.subTest(what):
                self.app("bad", text)
                message = self.refuse(self.configure("bad"), key, words)
                self.assertIn(f"apps/bad/app.toml:{line}: {key}: " if line else "apps/bad/app.toml:", message)
        self.assertFalse((self.tree / "build").exists())

    def test_not_toml(self):
        self.app("bad", 'summary = "x"\nsources = [main.c]\n')
        self.refuse(self.configure("bad"), "apps/bad/app.toml:2: not valid TOML")

    def test_not_text(self):
        (self.app("bad", GOOD) / "app.toml").write_bytes(b'summary = "\xff"\n')
        self.refuse(self.configure("bad"), "apps/bad/app.toml:1: not UTF-8 text")

    def test_folder_name(self):
        folder = self.scratch / "Bad_Name"
        folder.mkdir()
        (folder / "app.toml").write_text(GOOD)
        (folder / "main.c").write_text("")
        self.refuse(self.configure(folder), "'Bad_Name' cannot be a name", "lower-case letters")

    def test_fifo(self):
        folder = self.app("bad", GOOD + 'files = ["data"]\n')
        (folder / "data").mkdir()
        os.mkfifo(folder / "data/pipe")
        self.refuse(self.configure("bad"), "apps/bad/app.toml:3: files: data/pipe is neither a file nor a folder")
        (folder / "app.toml").write_text(GOOD + 'files = ["data/pipe"]\n')
        self.refuse(self.configure("bad"), "apps/bad/app.toml:3: files: data/pipe is neither a file nor a folder")

    def test_files_of_packages(self):
        self.app("bad", GOOD + 'files = ["/usr/share/no-such-package"]\n')
        self.refuse(self.configure("bad"), "apps/bad/app.toml: files: there is no /usr/share/no-such-package", "packages")
        self.app("good", GOOD + f'files = ["{self.scratch}/tree:usr/lib/tree", "!**/test/**"]\n')
        for name in ("a.py", "test/b.py", "sub/c.py"):
            path = self.scratch / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("text")
        (self.scratch / "tree/link").symlink_to("/etc/nowhere")
        self.succeed(self.configure("good"))
        self.assertIn("(3 files,", self.succeed(self.ninja("build/good/good.files")))
        packed = (self.tree / "build/good/good.files").read_bytes()
        for name in (b"usr/lib/tree/a.py\0", b"usr/lib/tree/sub/c.py\0", b"usr/lib/tree/link\0", b"/etc/nowhere"):
            self.assertIn(name, packed)
        self.assertNotIn(b"b.py", packed)

    def test_cxx_with_musl(self):
        folder = self.app("plus", GOOD.replace("main.c", "main.cpp"))
        (folder / "main.cpp").write_text("int main() {}\n")
        self.refuse(self.configure("plus"), "apps/plus/app.toml:2: sources: C++ needs libc = \"glibc\"")

    def test_a_broken_application_does_not_stop_another(self):
        self.app("bad", "summary = 1\n")
        self.succeed(self.configure("hello"))
        self.assertIn("apps/bad/app.toml:1: summary", (self.tree / "build/tests.json").read_text())

    def test_everything_at_once(self):
        text = GOOD + (
            'libc = "glibc"\npackages = []\ninclude = ["."]\nlibraries = []\nfiles = ["main.c", "main.c:etc/copy"]\n'
            'args = ["a b", ""]\ncflags = ["-DX=\\"1 2\\""]\nldflags = ["--no-gc-sections"]\n[env]\nA = "b"\n'
            '[memory]\nram = "128M"\nstack = "1M"\npages = "1g"\nheap = "16M"\n'
            '[[window]]\nname = "screen"\nsize = "16M"\ncache = "wc"\ndescription = "pixels"\n'
            '[qemu]\ndevices = ["edu"]\nmachine = "pc"\n[observe]\nstats = true\ntimeline = "10ms"\nprofile = 1000\n'
        )
        self.app("whole", text)
        self.succeed(self.configure("whole"))
        self.succeed(self.ninja("build/whole/obj/main.c.o", "build/whole/whole.files"))


if __name__ == "__main__":
    unittest.main()
