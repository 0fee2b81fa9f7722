"""
apps/lua prints and returns what the same main.c, with the same library and scripts, does on this Linux machine.
"""

import subprocess
import tempfile
from pathlib import Path

from booting import ROOT, TIMEOUT, AppCase

SOURCES = ROOT / "apps/lua"
LIBRARY = "/usr/lib/x86_64-linux-gnu/liblua5.4.a"


class LuaTest(AppCase):
    app = "lua"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.native = Path(folder.name, "lua")
        compiler = ["clang", "-O2", "-I/usr/include/lua5.4", str(SOURCES / "main.c"), LIBRARY, "-lm", "-ldl"]
        subprocess.run([*compiler, "-o", str(cls.native)], check=True)

    def compare(self, status: int, *scripts: str) -> str:
        """Runs the scripts here and there; what both print."""
        here = subprocess.run(
            [str(self.native), *scripts], cwd=SOURCES, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
        there = self.boot(*scripts)
        self.assertEqual(there.stdout, here.stdout, there.stderr)
        self.assertEqual((there.returncode, here.returncode), (status, status), there.stdout)
        return here.stdout

    def test_all(self) -> None:
        printed = self.compare(0, "scripts/all.lua")
        self.assertRegex(printed, r"(?m)^all +more than 3 million allocations$")

    def test_traceback(self) -> None:
        printed = self.compare(1, "scripts/fail.lua", "scripts/sort.lua")
        self.assertRegex(printed, r"\Alua: scripts/fail.lua:3: .*nil value")
        self.assertIn("stack traceback:", printed)
        self.assertIn("in upvalue 'inner'", printed)

    def test_no_script(self) -> None:
        self.assertIn("No such file", self.compare(1, "scripts/none.lua", "scripts/all.lua"))
