"""
Shared by the tests of apps/: building and booting an application's image for tests, through the project's launcher, and
running the same objects and libraries as a program for Linux on the same files.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "images"))

from manifest import packed_files, read_manifest  # noqa: E402

IMAGES = ROOT / "build/test"
TIMEOUT = 120.0  # seconds, of a machine that has other things to do as well


class AppCase(unittest.TestCase):
    """Tests of the application `app`: a name in apps/."""

    app: str

    @classmethod
    def setUpClass(cls) -> None:
        config = json.loads((IMAGES / cls.app / "run.json").read_text())
        cls.build(*(target for target in (config["elf"], config["files"]) if target))

    @staticmethod
    def build(*targets: str | Path) -> None:
        done = subprocess.run(["ninja", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ninja {' '.join(map(str, targets))} failed:\n{done.stdout}{done.stderr}")

    def launcher(self, *options: str) -> list[str]:
        """The launcher's command; the program's arguments go behind it after "--"."""
        config = IMAGES / self.app / "run.json"
        return [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(config), *options]

    def boot(self, *arguments: str, append: str = "", cpus: int = 1) -> subprocess.CompletedProcess[str]:
        """Runs the program to its end."""
        command = self.launcher("--timeout", str(TIMEOUT), "--append", append, "--cpus", str(cpus))
        command += ["--", *arguments] if arguments else []
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
        )


class ComparedCase(AppCase):
    """Tests that compare the image with NAME.native, the same program for Linux (native_program of images/graph.py)."""

    changes: list[tuple[str, str]] = []  # regular expressions of what differs in every run, such as times, and a word for it

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.native = IMAGES / cls.app / f"{cls.app}.native"
        cls.build(cls.native.relative_to(ROOT))
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.root = Path(folder.name)
        with contextlib.chdir(ROOT):  # paths in manifests of Debian's sources are relative to it
            manifest = read_manifest(ROOT / "apps" / cls.app)
            packed = [(host.absolute(), target) for host, target in packed_files(manifest)]
        cls.environment = manifest.env
        for host, target in packed:
            if str(host) != f"/{target}":  # what packages of this machine bring lies here where it lies in the image
                (cls.root / target).parent.mkdir(parents=True, exist_ok=True)
                (cls.root / target).mkdir(exist_ok=True) if host.is_dir() else shutil.copy2(host, cls.root / target)

    def plain(self, output: str) -> str:
        """Without what differs in every run, and without the colours of a terminal, which Linux's output here is not."""
        output = re.sub(r"\033\[[0-9;]*m", "", output)
        for pattern, word in self.changes:
            output = re.sub(pattern, word, output)
        return output

    def compare(self, status: int, *arguments: str, cpus: int = 1) -> str:
        """Runs the program here and there; what both print on standard output and error. cpus: of the image's machine."""
        here = subprocess.run(
            [self.native, *arguments], cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        there = self.boot(*arguments, cpus=cpus)
        self.assertEqual(self.plain(there.stdout), self.plain(here.stdout), there.stderr)
        self.assertEqual((there.returncode, here.returncode), (status, status), there.stdout)
        return self.plain(here.stdout)
