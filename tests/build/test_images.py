"""The images that `ninja test` has built: sizes that are promised, and what an image must not hold."""

import json
import shlex
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

from tree import ROOT

IMAGES = ROOT / "build/test"
HELLO = IMAGES / "hello"
PAGE = 4096
WRITE, EXECUTE = 2, 1


class Segment(NamedTuple):
    """Of what is loaded (PT_LOAD): see elf(5)."""

    flags: int
    offset: int
    address: int
    in_file: int
    in_memory: int


def load_segments(path: Path) -> list[Segment]:
    """In the order of the program headers."""
    image = path.read_bytes()
    start, entry, count = struct.unpack_from("<32xQ14xHH", image)
    headers = [struct.unpack_from("<IIQQ8xQQ", image, start + index * entry) for index in range(count)]
    return [Segment(*fields) for kind, *fields in headers if kind == 1]


class Layout(unittest.TestCase):
    """arch/x86_64/image.ld.S: what every image looks like, whatever its libc and libraries bring."""

    def test_every_part_has_pages_of_its_own(self):
        images = sorted(IMAGES.glob("*/*.elf"))
        self.assertIn(IMAGES / "tour-glibc/tour-glibc.elf", images)
        for path in images:
            with self.subTest(path.stem):
                end = 0
                for segment in load_segments(path):
                    self.assertEqual(segment.address % PAGE, 0)
                    self.assertGreaterEqual(segment.address, end)
                    self.assertNotEqual(segment.flags & (WRITE | EXECUTE), WRITE | EXECUTE)
                    end = segment.address + segment.in_memory

    def test_no_padding_in_the_file(self):
        for name in ("hello", "tour-glibc"):
            end = 0
            for segment in load_segments(IMAGES / name / f"{name}.elf"):
                self.assertLess(segment.offset - end, 256, name)  # the alignment of the heap's magazines
                end = segment.offset + segment.in_file

    def test_a_section_that_the_script_does_not_place_is_refused(self):
        ask = ["ninja", "-t", "commands", "build/test/hello/hello.first"]
        link = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        with tempfile.TemporaryDirectory(prefix="quire-build-") as folder:
            source, program = Path(folder, "more.c"), f"{folder}/more"
            source.write_text('__attribute__((used, retain, section("mine"))) int more = 1;\n')
            subprocess.run(["clang", "-c", source, "-o", f"{program}.o"], check=True)
            words = [program if word.endswith("hello.first") else word for word in shlex.split(link)]
            done = subprocess.run([*words, f"{program}.o"], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("more.o:(mine) is being placed in 'mine'", done.stderr)


class Hello(unittest.TestCase):
    def test_elf_is_at_most_120_kib(self):
        self.assertLessEqual((HELLO / "hello.elf").stat().st_size, 120 << 10)

    def test_iso_is_at_most_a_mib(self):
        self.assertLessEqual((HELLO / "hello.iso").stat().st_size, 1 << 20)

    def test_every_iso_is_at_most_a_mib_and_its_application(self):
        images = sorted(IMAGES.glob("*/*.iso"))
        self.assertIn(HELLO / "hello.iso", images)
        for path in images:
            parts = [path.with_suffix(suffix) for suffix in (".elf", ".files")]
            application = sum(part.stat().st_size for part in parts if part.exists())
            size = path.stat().st_size
            self.assertEqual(size % (1 << 20), 0, path.name)
            self.assertLessEqual(size, (1 << 20) + -(-application // (1 << 20)) * (1 << 20), path.name)

    def test_names_of_the_core_are_local(self):
        public = (ROOT / "core/public-symbols.txt").read_text().splitlines()
        allowed = {line.strip() for line in public if line.strip() and not line.startswith("#")}
        names = subprocess.run(
            ["nm", "--extern-only", "--defined-only", ROOT / "build/core/release/quire-core.o"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shown = {line.split()[-1] for line in names.splitlines()}
        # What an image's table of system calls refers to begins with "quire.": no name of a C program has a dot.
        self.assertEqual({name for name in shown if not name.startswith("quire.")} - allowed, set())

    def test_the_plan_is_written_and_linked(self):
        self.assertIn("RAM needed", (HELLO / "plan.txt").read_text())
        need = int((HELLO / "plan.link").read_text().split("=")[-1], 16)
        self.assertIn(struct.pack("<Q", need), (HELLO / "hello.elf").read_bytes())
        self.assertLess(need, json.loads((HELLO / "run.json").read_text())["memory"])


if __name__ == "__main__":
    unittest.main()
