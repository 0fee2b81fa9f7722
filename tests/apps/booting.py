"""Shared by the tests of apps/: building and booting an application's image for tests, through the project's launcher."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "build/test"
TIMEOUT = 120.0  # seconds, of a machine that has other things to do as well


class AppCase(unittest.TestCase):
    """Tests of the application `app`: a name in apps/."""

    app: str

    @classmethod
    def setUpClass(cls) -> None:
        config = json.loads((IMAGES / cls.app / "run.json").read_text())
        targets = [target for target in (config["elf"], config["files"]) if target]
        done = subprocess.run(["ninja", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ninja {' '.join(targets)} failed:\n{done.stdout}{done.stderr}")

    def launcher(self, *options: str) -> list[str]:
        """The launcher's command; the program's arguments go behind it after "--"."""
        config = IMAGES / self.app / "run.json"
        return [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(config), *options]

    def boot(self, *arguments: str, append: str = "") -> subprocess.CompletedProcess[str]:
        """Runs the program to its end."""
        command = self.launcher("--timeout", str(TIMEOUT), "--append", append)
        command += ["--", *arguments] if arguments else []
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
        )
