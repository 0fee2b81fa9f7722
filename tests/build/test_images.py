"""The images that `ninja test` has built: sizes that are promised, and what an image must not hold."""

import json
import struct
import subprocess
import unittest

from tree import ROOT

HELLO = ROOT / "build/test/hello"


class Hello(unittest.TestCase):
    def test_elf_is_at_most_120_kib(self):
        self.assertLessEqual((HELLO / "hello.elf").stat().st_size, 120 << 10)

    def test_iso_is_at_most_a_mib(self):
        self.assertLessEqual((HELLO / "hello.iso").stat().st_size, 1 << 20)

    def test_no_segment_is_writable_and_executable(self):
        image = (HELLO / "hello.elf").read_bytes()
        start, entry, count = struct.unpack_from("<32xQ14xHH", image)
        flags = [struct.unpack_from("<II", image, start + index * entry) for index in range(count)]
        self.assertIn((1, 5), flags)
        self.assertFalse([kind for kind, flag in flags if kind == 1 and flag & 3 == 3])

    def test_names_of_the_core_are_local(self):
        public = (ROOT / "core/public-symbols.txt").read_text().splitlines()
        allowed = {line.strip() for line in public if line.strip() and not line.startswith("#")}
        names = subprocess.run(
            ["nm", "--extern-only", "--defined-only", ROOT / "build/core/release/quire-core.o"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertEqual({line.split()[-1] for line in names.splitlines()} - allowed, set())

    def test_the_plan_is_written_and_linked(self):
        self.assertIn("RAM needed", (HELLO / "plan.txt").read_text())
        need = int((HELLO / "plan.link").read_text().split("=")[-1], 16)
        self.assertIn(struct.pack("<Q", need), (HELLO / "hello.elf").read_bytes())
        self.assertLess(need, json.loads((HELLO / "run.json").read_text())["memory"])


if __name__ == "__main__":
    unittest.main()
