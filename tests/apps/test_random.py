"""
Where random numbers come from (arch/x86_64/cpu.c): virtio's entropy device, if the CPU has no generator of its own. QEMU
tells what it has handed over.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from booting import IMAGES, TIMEOUT, AppCase

QEMU = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-m", "64", "-serial", "stdio"]
PUSHED = "8 bytes pushed"


class RandomTest(AppCase):
    app = "hello"

    def boot_with(self, *options: str) -> str:
        """The console and what QEMU's device tells."""
        command = [*QEMU, *options, "-trace", "virtio_rng_pushed", "-kernel", str(IMAGES / "hello/hello.elf")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=TIMEOUT, check=False)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("quire: exit 0\n", done.stdout)
        return done.stdout

    def test_device(self) -> None:
        for machine, device in (("q35", "virtio-rng-pci,disable-legacy=on"), ("pc", "virtio-rng-pci")):
            self.assertIn(PUSHED, self.boot_with("-M", machine, "-cpu", "qemu64", "-device", device))

    def test_cpu_first(self) -> None:
        """The device is not even looked for."""
        self.assertNotIn(PUSHED, self.boot_with("-M", "q35", "-cpu", "max", "-device", "virtio-rng-pci"))

    def test_device_without_an_answer(self) -> None:
        """It is given up, and the program starts."""
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            path = Path(folder, "nothing")
            os.mkfifo(path)
            keeper = os.open(path, os.O_RDWR)  # so that it has no end, and nothing comes
            self.addCleanup(os.close, keeper)
            source = f"rng-random,id=r,filename={path}"
            self.assertNotIn(PUSHED, self.boot_with("-M", "q35", "-cpu", "qemu64", "-object", source, "-device", "virtio-rng-pci,rng=r"))


if __name__ == "__main__":
    unittest.main()
