"""images/symbols.py and core/symbols.c: every name is found again, and a damaged blob does no harm.

The C side runs under ASan and UBSan, as a small program that looks addresses up in a blob.
"""

import random
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import ROOT, FolderCase

import symbols

READER = r"""
#include "core/symbols.h"
#include <stdio.h>
#include <stdlib.h>

__asm__(".globl __symbols_start, __symbols_end\n.balign 8\n__symbols_start: __symbols_end:"); /* an empty section */

/* reader BLOB: addresses in hexadecimal from stdin; "name+offset" or "-" for each. */
int main(int argc, char **argv)
{
    char name[SYMBOL_NAME_MAX], small[4];
    FILE *file = fopen(argv[argc - 1], "rb");
    unsigned long address;
    size_t size, offset;
    void *blob;

    fseek(file, 0, SEEK_END);
    size = (size_t)ftell(file);
    rewind(file);
    blob = malloc(size + !size); /* exactly: reading behind it is an error */
    if (fread(blob, 1, size, file) != size)
        return 1;
    fclose(file);
    while (scanf("%lx", &address) == 1) {
        if (symbols_find(blob, size, address, name, sizeof(name), &offset))
            printf("%s+%zu\n", name, offset);
        else
            printf("-\n");
        symbols_find(blob, size, address, small, sizeof(small), &offset);
    }
    free(blob);
    return symbol_lookup(0x1000, name, sizeof(name), &offset) || symbols_build() != 0;
}
"""


class SymbolsTest(FolderCase):
    reader: Path

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.reader = Path(folder.name) / "reader"
        source = cls.reader.with_suffix(".c")
        source.write_text(READER)
        command = ["clang", "-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        command += ["-I", str(ROOT), str(source), str(ROOT / "core/symbols.c"), "-o", str(cls.reader)]
        subprocess.run(command, check=True)

    def look_up(self, blob: bytes, addresses: list[int]) -> list[str]:
        path = self.write("blob", blob)
        text = "\n".join(f"{address:x}" for address in addresses)
        done = subprocess.run([self.reader, path], input=text, capture_output=True, text=True,
                              errors="replace", timeout=60, check=False)  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def check(self, table: list[symbols.Symbol], end: int) -> bytes:
        """Each function is found at its first and last byte, and nothing outside."""
        blob = symbols.make_blob(table, end, 1)
        ends = [symbol.address for symbol in table[1:]] + [end]
        asked, wanted = [table[0].address - 1, end, 0, 2**64 - 1], ["-"] * 4
        for symbol, last in zip(table, ends, strict=True):
            asked += [symbol.address, last - 1]
            wanted += [f"{symbol.name}+0", f"{symbol.name}+{last - 1 - symbol.address}"]
        self.assertEqual(self.look_up(blob, asked), wanted)
        return blob

    def test_tables(self) -> None:
        base = 0xFFFFFFFF80006000
        self.check([symbols.Symbol(base, "only")], base + 1)
        self.check([symbols.Symbol(base, "a" * 255), symbols.Symbol(base + 1, "b")], base + 100)
        names = [f"vm_segment_{word}_{i}" for i in range(500) for word in ("create", "destroy", "map")]
        table = [symbols.Symbol(base + 16 * i, name) for i, name in enumerate(names)]
        blob = self.check(table, base + 16 * len(names))
        self.assertLess(len(blob), sum(map(len, names)))

    def test_random_names(self) -> None:
        for seed in range(5):
            generator = random.Random(seed)
            address, table = 0x200000, []
            for _ in range(200):
                name = "".join(generator.choice("abc_") for _ in range(generator.randint(1, 60)))
                table.append(symbols.Symbol(address, name))
                address += generator.randint(1, 5000)
            self.check(table, address)

    def test_elf_file(self) -> None:
        """A linked program: what nm says is what is found."""
        source = self.write("main.c", b"int twice(int x) { return 2 * x; } int main(void) { return twice(0); }\n")
        elf = self.folder / "program"
        subprocess.run(["clang", "-static", str(source), "-o", str(elf)], check=True)
        done = self.tool("symbols.py", "--elf", elf, "--output", self.folder / "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        listing = subprocess.run(["nm", elf], capture_output=True, text=True, check=True).stdout.split("\n")
        known = {name: int(address, 16) for address, kind, name in (row.split() for row in listing if row[:1].strip())}
        names = ["main", "twice", "_start", "printf", "malloc"]
        names = [name for name in names if name in known]
        found = self.look_up((self.folder / "out").read_bytes(), [known[name] for name in names])
        for name, text in zip(names, found, strict=True):
            other = text.removesuffix("+0")
            self.assertEqual(known[other], known[name])

    def blob_of(self, elf: Path, *options: object) -> bytes:
        done = self.tool("symbols.py", "--elf", elf, "--output", self.folder / "out", *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return (self.folder / "out").read_bytes()

    def test_build(self) -> None:
        """It tells what is loaded apart and nothing else, and is found again in a file that holds the blob."""
        elves = {}
        for name, text, more in (("a", "1", []), ("same", "1", ["-g"]), ("b", "2", [])):
            source = self.write("main.c", f"int main(void) {{ return {text}; }}\n".encode())
            elves[name] = self.folder / name
            subprocess.run(["clang", "-static", "-Wl,--build-id=none", *more, str(source), "-o", str(elves[name])], check=True)
        program = self.write("program", b"program")
        builds = [symbols.HEADER.unpack_from(blob)[-1] for blob in (
            self.blob_of(elves["a"]), self.blob_of(elves["same"]), self.blob_of(elves["b"]),
            self.blob_of(elves["a"], "--program", program), self.blob_of(elves["a"], "--program", elves["b"]),
        )]  # fmt: skip
        self.assertEqual(builds[0], builds[1])
        self.assertEqual(len(set(builds)), 4)
        self.assertIsNone(symbols.read_build(elves["a"].read_bytes()))
        names, linked = self.folder / "names.o", self.folder / "linked"
        self.blob_of(elves["a"])
        rename = ".data=.symbols,alloc,load,readonly,data,contents"
        subprocess.run(["objcopy", "-I", "binary", "-O", "elf64-x86-64", "--rename-section", rename,
                        str(self.folder / "out"), str(names)], check=True)  # fmt: skip
        subprocess.run(["ld.lld", "-e", "0", "--omagic", "-o", str(linked), str(names)], check=True)
        self.assertEqual(symbols.read_build(linked.read_bytes()), builds[0])

    def test_damaged_blobs(self) -> None:
        table = [symbols.Symbol(0x1000 + 8 * i, f"function_{i}") for i in range(50)]
        blob = symbols.make_blob(table, 0x1000 + 400, 1)
        asked = [0x1000, 0x1008, 0x10F0, 0x1000 + 399]
        self.assertEqual(self.look_up(b"", asked), ["-"] * 4)
        for length in (1, 39, 40, len(blob) // 2, len(blob) - 1):
            self.assertEqual(self.look_up(blob[:length], asked), ["-"] * 4)
        generator = random.Random(1)
        for _ in range(60):
            damaged = bytearray(blob)
            for _ in range(generator.randint(1, 8)):
                where = generator.randrange(len(damaged) if generator.random() < 0.5 else 40)
                damaged[where] = generator.randrange(256)
            self.assertGreaterEqual(len(self.look_up(bytes(damaged), asked)), 4)  # a name may have become two words

    def test_endless_tokens(self) -> None:
        """Each twice the one before: what they stand for would take longer than anything."""
        tokens = b"".join(bytes([code, code]) for code in range(1, 201))
        lengths = 2, 200, 1, 1
        blob = symbols.HEADER.pack(symbols.MAGIC, 1, 0x1000, 16, *lengths, 1) + b"\0a" + tokens + b"\0" + bytes([201])
        self.assertLess(len(self.look_up(blob, [0x1000])[0]), 256)

    def test_refusals(self) -> None:
        output = self.folder / "out"
        for content, words in ((b"text", "not a 64-bit"), (b"\x7fELF\x02\x01" + bytes(80), "no function symbols")):
            done = self.tool("symbols.py", "--elf", self.write("bad", content), "--output", output)
            self.assert_refused(done, "bad", words)
        damaged = b"\x7fELF\x02\x01" + b"\xff" * 80
        self.assert_refused(self.tool("symbols.py", "--elf", self.write("bad", damaged), "--output", output), "damaged")
        self.assert_refused(self.tool("symbols.py", "--elf", self.folder / "no", "--output", output), "No such file")
        self.assertFalse(output.exists())


if __name__ == "__main__":
    unittest.main()
