"""The same sources give the same bytes, wherever and whenever they are built; tests/reproduce.py does it with everything."""

import subprocess
import sys
import unittest

from tree import ROOT, TreeCase

HELLO = ROOT / "build/test/hello"


class Reproducible(TreeCase):
    """The project's own build of hello is the first one; this folder and time are other ones."""

    def same(self, *names: str) -> None:
        for name in names:
            ours, theirs = (self.tree / "build/hello" / name).read_bytes(), (HELLO / name).read_bytes()
            self.assertTrue(ours == theirs, f"{name} differs from that in {HELLO}")

    def test_hello(self):
        self.succeed(self.configure("hello"))
        self.succeed(self.ninja())
        self.same("hello.elf", "hello.iso", "about.json")
        self.succeed(self.configure("hello", "--compress", "gzip", "--format", "raw,vhd"))
        self.succeed(self.ninja("images"))
        made, other = self.tree / "build/hello", self.scratch / "other.iso"
        command = [sys.executable, ROOT / "images/iso.py", "--elf", HELLO / "hello.elf", "--about", HELLO / "about.json"]
        command += ["--calls", HELLO / "calls.json", "--label", "hello", "--compress", "gzip", "--output", other]
        subprocess.run(command, check=True)
        self.assertTrue((made / "hello.raw").read_bytes() == other.read_bytes(), "hello.raw differs")
        self.assertNotEqual(other.read_bytes(), (HELLO / "hello.iso").read_bytes())
        self.assertEqual((made / "hello.vhd").stat().st_size, (20 << 20) + 512)
        self.assertFalse((made / "hello.qcow2").exists())


if __name__ == "__main__":
    unittest.main()
