"""
How machines end (arch/x86_64/power.c): told by the machine protocol whether one was switched off or reset, without the
debug device that tests have elsewhere; and the power button, which is a SIGTERM.
"""

import contextlib
import json
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from booting import IMAGES, TIMEOUT, AppCase

OVMF = Path("/usr/share/ovmf/OVMF.fd")
QEMU = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-m", "64", "-serial", "stdio"]
OFF, RESET = "guest-shutdown", "guest-reset"


class Machine:
    """QEMU with its console, and its events."""

    def __init__(self, folder: str, *options: str | Path) -> None:
        ours, theirs = socket.socketpair()
        command = [*QEMU, *map(str, options), "-chardev", f"socket,id=q,fd={theirs.fileno()}", "-mon", "chardev=q,mode=control"]
        self.output = Path(folder, "console")
        with theirs, self.output.open("wb") as console:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, pass_fds=[theirs.fileno()])
        ours.settimeout(TIMEOUT)
        self.socket, self.lines = ours, ours.makefile("rw")
        self.lines.readline()  # the greeting
        self.send("qmp_capabilities")

    def send(self, command: str) -> None:
        self.lines.write(json.dumps({"execute": command}) + "\n")
        self.lines.flush()

    def console(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + TIMEOUT
        while text not in self.console() and time.monotonic() < end:
            time.sleep(0.02)

    def end(self) -> str:
        """Why the machine ended."""
        reason = ""
        while line := self.lines.readline():
            event = json.loads(line)
            if event.get("event") == "SHUTDOWN":
                reason = event["data"]["reason"]
        return reason

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # where it has ended by itself
            self.lines.close()
        self.socket.close()


class PowerTest(AppCase):
    app = "hello"

    def machine(self, *options: str | Path) -> Machine:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        self.addCleanup(folder.cleanup)
        machine = Machine(folder.name, *options)
        self.addCleanup(machine.stop)
        return machine

    def image(self, name: str, suffix: str = "elf") -> Path:
        self.build(f"build/test/{name}/{name}.{suffix}")
        return IMAGES / name / f"{name}.{suffix}"

    def assert_ends(self, how: str, *options: str | Path) -> None:
        machine = self.machine(*options)
        self.assertEqual(machine.end(), how, options)
        self.assertIn("quire: exit 0\n", machine.console())
        self.assertEqual(machine.process.wait(TIMEOUT), 0)

    def test_off(self) -> None:
        """By the FADT: its registers are ports, elsewhere with UEFI, or memory where the hardware is reduced."""
        elf, iso = self.image("hello"), self.image("hello", "iso")
        self.assert_ends(OFF, "-M", "pc", "-kernel", elf)
        self.assert_ends(OFF, "-M", "q35", "-kernel", elf)
        self.assert_ends(OFF, "-M", "microvm", "-kernel", elf)
        self.assert_ends(OFF, "-M", "microvm,pit=off,pic=off,rtc=off,isa-serial=on", "-kernel", elf)
        self.assert_ends(OFF, "-M", "q35", "-smp", "2", "-kernel", elf)
        for machine in ("pc", "q35"):
            self.assert_ends(OFF, "-M", machine, "-bios", OVMF, "-cdrom", iso)

    def test_reset(self) -> None:
        """Without ACPI what is left is a reset, if need be by a triple fault."""
        elf = self.image("hello")
        self.assert_ends(RESET, "-M", "microvm,acpi=off", "-kernel", elf)
        self.assert_ends(RESET, "-M", "pc,acpi=off", "-kernel", elf)

    def press(self, name: str, wait: str, *options: str | Path) -> Machine:
        machine = self.machine("-kernel", self.image(name), *options)
        machine.wait_for(wait)
        time.sleep(0.3)  # until it sleeps
        machine.send("system_powerdown")
        self.assertEqual(machine.end(), OFF)
        return machine

    def test_button(self) -> None:
        """It ends a program that has no handler, on one CPU and on two."""
        for machine in ("pc", "q35"):
            for cpus in ("1", "2"):
                ended = self.press("busybox", "quire: busybox", "-M", machine, "-smp", cpus, "-initrd", IMAGES / "busybox/busybox.files",
                                   "-append", "-- sleep 100")  # fmt: skip
                self.assertIn("ended by signal 15 (SIGTERM)", ended.console())
                self.assertIn("quire: exit 143", ended.console())

    def test_button_handled(self) -> None:
        """The program decides."""
        ended = self.press("bash", "before", "-M", "q35", "-initrd", IMAGES / "bash/bash.files",
                           "-append", "-- -c 'trap \"echo told; exit 3\" TERM; echo before; read -t 100 x; exit 4'")  # fmt: skip
        self.assertIn("told", ended.console())
        self.assertIn("quire: exit 3", ended.console())

    def test_button_while_computing(self) -> None:
        """A program that never waits, alone and with threads on every CPU."""
        script = "trap 'echo told; exit 3' TERM; echo before; while :; do :; done"
        ended = self.press("bash", "before", "-M", "q35", "-initrd", IMAGES / "bash/bash.files", "-append", f'-- -c "{script}"')
        self.assertIn("told", ended.console())
        self.assertIn("quire: exit 3", ended.console())
        for cpus in ("1", "2"):
            ended = self.press("computing", "all compute", "-M", "q35", "-smp", cpus)
            self.assertIn("asked by signal 15", ended.console())
            self.assertIn("quire: exit 3", ended.console())


if __name__ == "__main__":
    unittest.main()
