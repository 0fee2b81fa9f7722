"""
The console where it is not the first serial port (arch/x86_64/console.c): a UART that the firmware's table tells of, virtio's
console, and the screen: VGA's text mode, a VESA mode by GRUB for BIOS, and UEFI's framebuffer. What a screen shows is
compared dot by dot with the font that images/font.py reads.
"""

import contextlib
import os
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Callable

from booting import IMAGES, ROOT, TIMEOUT, AppCase
from test_window import Monitor, read_ppm

import font

OVMF = Path("/usr/share/ovmf/OVMF.fd")
QEMU = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-m", "64"]
LINES = ["quire: hello", "Hello, world.", "argv[1] = world", "environ: LANG=C.UTF-8"]
END = "quire: exit 0"


def spcr(interface: int, space: int, address: int) -> bytes:
    """The table without its header: Serial Port Console Redirection Table, revision 2."""
    return struct.pack("<B3xBBBBQ", interface, space, 8, 0, 1, address) + bytes(28)


class Screen:
    """A QEMU without a serial port, whose screen is looked at until it shows a text."""

    def __init__(self, *options: str | Path) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        self.path = Path(self.folder.name)
        command = [*QEMU, "-serial", "none", *map(str, options), "-qmp", f"unix:{self.path}/qmp,server=on,wait=off"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.monitor = self.connect(time.monotonic() + TIMEOUT)

    def connect(self, end: float) -> Monitor:
        while True:
            try:
                return Monitor(self.path / "qmp")
            except OSError:
                if time.monotonic() > end:
                    self.process.kill()
                    raise
                time.sleep(0.01)

    def memory(self, start: int, size: int) -> bytes:
        file = self.path / "memory"
        self.monitor.do("pmemsave", val=start, size=size, filename=str(file))
        return file.read_bytes()

    def picture(self) -> tuple[int, int, bytes]:
        self.monitor.do("screendump", filename=str(self.path / "screen.ppm"))
        return read_ppm(self.path / "screen.ppm")

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(OSError):  # where it has ended by itself
            self.monitor.close()
        self.process.wait()
        self.folder.cleanup()


def glyph_cells() -> dict[tuple[int, ...], str]:
    """The character by the sixteen rows of its cell."""
    cells = {}
    for code, glyph in zip(font.CHARACTERS, font.read_font(font.SOURCE.read_bytes()), strict=True):
        rows = [0] * font.HEIGHT
        for i in range(glyph.width * glyph.height):
            if glyph.dots[i // 8] << i % 8 & 0x80:
                rows[glyph.top + i // glyph.width] |= 0x80 >> glyph.left + i % glyph.width
        cells[tuple(rows)] = chr(code)
    return cells


def bits_of(dots: bytes) -> int:
    """A row of a cell, a bit a dot; -1 where one is neither white nor black."""
    colours = {b"\xff\xff\xff": 1, b"\0\0\0": 0}
    bits = [colours.get(dots[i : i + 3], -1) for i in range(0, len(dots), 3)]
    return -1 if -1 in bits else int("".join(map(str, bits)), 2)


def read_cells(width: int, height: int, dots: bytes, cells: dict[tuple[int, ...], str]) -> list[str]:
    """The lines of text of a picture; "\0" for what is no character."""
    lines = []
    for top in range(0, height - font.HEIGHT + 1, font.HEIGHT):
        line = ""
        for left in range(0, width - font.WIDTH + 1, font.WIDTH):
            starts = [3 * (y * width + left) for y in range(top, top + font.HEIGHT)]
            line += cells.get(tuple(bits_of(dots[start : start + 3 * font.WIDTH]) for start in starts), "\0")
        lines.append(line.rstrip())
    return lines


def read_text_mode(screen: Screen) -> list[str]:
    cells = screen.memory(0xB8000, 80 * 25 * 2)
    return [cells[start : start + 160 : 2].decode("ascii", "replace").rstrip() for start in range(0, len(cells), 160)]


class ConsolesTest(AppCase):
    app = "hello"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.elf = IMAGES / "hello" / "hello.elf"

    def boot_on(self, *options: str | Path) -> str:
        done = subprocess.run([*QEMU, *map(str, options), "-kernel", str(self.elf)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def assert_lines(self, text: str | list[str], *more: str) -> None:
        lines = [line.removeprefix("\x1e") for line in (text.splitlines() if isinstance(text, str) else text)]
        for line in [*LINES, *more]:
            self.assertIn(line, lines)

    # ---- serial ports that the firmware tells of ----

    def with_table(self, table: bytes) -> list[str]:
        with tempfile.NamedTemporaryFile(prefix="quire-test-", delete=False) as file:
            self.addCleanup(os.unlink, file.name)
            file.write(table)
        return ["-serial", "none", "-acpitable", f"sig=SPCR,rev=2,data={file.name}", "-chardev", "stdio,id=c",
                "-device", "isa-serial,iobase=0x2f8,irq=3,chardev=c"]  # fmt: skip

    def test_second_port(self) -> None:
        for machine in ("q35", "pc"):
            for interface in (0, 1, 0x12):
                output = self.boot_on("-M", machine, *self.with_table(spcr(interface, 1, 0x2F8)))
                self.assert_lines(output, END)

    def test_wrong_tables(self) -> None:
        """Nothing is written anywhere, and the program runs to its end."""
        for table in (spcr(3, 1, 0x2F8), spcr(0, 1, 0), spcr(0, 1, 0x10000), spcr(0, 1, 0x3E8), spcr(0, 0, 1 << 60),
                      spcr(0, 0, 0xFD000000), spcr(0, 2, 0x2F8), b"", bytes(4), spcr(0, 1, 0x2F8)[:15], b"\xff" * 44):  # fmt: skip
            with self.subTest(table=table.hex()):
                self.assertEqual(self.boot_on("-M", "pc", *self.with_table(table)), "")

    # ---- virtio ----

    def test_virtio(self) -> None:
        for machine, device in (("q35", "virtio-serial-pci,disable-legacy=on"), ("pc", "virtio-serial-pci")):
            output = self.boot_on("-M", machine, "-serial", "none", "-chardev", "stdio,id=c", "-device", device,
                                  "-device", "virtconsole,chardev=c")  # fmt: skip
            self.assert_lines(output, END)

    def test_virtio_input(self) -> None:
        """More than the buffer holds arrives, in order."""
        self.build("build/test/busybox/busybox.elf")
        folder = IMAGES / "busybox"
        command = [*QEMU, "-M", "q35", "-serial", "none", "-chardev", "stdio,id=c", "-device", "virtio-serial-pci", "-device",
                   "virtconsole,chardev=c", "-kernel", folder / "busybox.elf", "-initrd", folder / "busybox.files"]  # fmt: skip
        typed = "".join(f"line {i}\n" for i in range(100))
        with subprocess.Popen([*command, "-append", "-- head -n 100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as machine:
            output, _ = machine.communicate(typed, timeout=TIMEOUT)
        self.assertEqual([line for line in output.splitlines() if line == "line 99"], ["line 99"] * 2)  # its echo, too
        self.assertIn(END, output)

    def test_virtio_behind_a_bridge(self) -> None:
        output = self.boot_on("-M", "q35", "-serial", "none", "-chardev", "stdio,id=c", "-device", "pcie-root-port,id=p",
                              "-device", "virtio-serial-pci,bus=p", "-device", "virtconsole,chardev=c")  # fmt: skip
        self.assert_lines(output, END)

    def test_serial_port_first(self) -> None:
        output = self.boot_on("-M", "q35", "-serial", "stdio", "-device", "virtio-serial-pci", "-device", "VGA")
        self.assert_lines(output, END)

    # ---- screens ----

    def look(self, screen: Screen, lines: Callable[[Screen], list[str]], end: str = END) -> list[str]:
        """What it shows once the end of the program is there."""
        self.addCleanup(screen.close)
        late = time.monotonic() + TIMEOUT
        shown = lines(screen)
        while end not in shown and time.monotonic() < late:
            time.sleep(0.1)
            shown = lines(screen)
        self.assertIn(end, shown)
        return shown

    def test_text_mode(self) -> None:
        for machine in ("pc", "q35"):
            screen = Screen("-M", machine, "-device", "VGA", "-kernel", self.elf)
            self.assert_lines(self.look(screen, read_text_mode))
            width, height, dots = screen.picture()
            self.assertEqual((width, height), (720, 400))
            rows = [any(dots[3 * width * y : 3 * width * (y + 16)]) for y in range(0, 400, 16)]
            self.assertEqual(rows, [row != "" for row in read_text_mode(screen)])

    def test_scrolling(self) -> None:
        """More lines than the screen has, some longer than it is, with a tabulator and what terminals alone understand."""
        words = ["x" * 100, *map(str, range(40)), "a\\tb", "\033[1;31mred\033[0m"]
        screen = Screen("-M", "pc", "-device", "VGA", "-kernel", self.elf, "-append", "-- " + " ".join(words))
        shown = self.look(screen, read_text_mode)
        wanted = [f"argv[{i + 2}] = {i}" for i in range(19, 40)] + ["argv[42] = atb", "argv[43] = red"]
        text = "\n".join(shown)
        self.assertIn("\n".join(wanted[-10:]), text)
        self.assertNotIn("argv[10]", text)
        self.assertEqual(shown[-2:], [END, ""])

    def test_report(self) -> None:
        """A crash is told on the screen too."""
        self.build("build/test/misdeeds/misdeeds.elf")
        screen = Screen("-M", "pc", "-device", "VGA", "-kernel", IMAGES / "misdeeds/misdeeds.elf", "-append", "-- execute-data")
        shown = self.look(screen, read_text_mode, "quire: exit 139")
        self.assertTrue(any(line.startswith("quire: segments") for line in shown), shown)

    def look_at_dots(self, *options: str | Path, size: tuple[int, int] | None = None) -> None:
        cells = glyph_cells()
        screen = Screen(*options)
        self.assert_lines(self.look(screen, lambda machine: read_cells(*machine.picture(), cells)))
        width, height, dots = screen.picture()
        if size:
            self.assertEqual((width, height), size)
        self.assertNotIn("\0", "".join(read_cells(width, height, dots, cells)))

    def disc(self) -> Path:
        file = IMAGES / "hello" / "hello.iso"
        self.build(str(file.relative_to(ROOT)))
        return file

    def test_bios(self) -> None:
        """A VESA mode, of 32 and of 16 bits a dot."""
        for device in ("VGA", "cirrus-vga"):
            self.look_at_dots("-M", "pc", "-device", device, "-cdrom", self.disc(), size=(1024, 768))

    def test_uefi(self) -> None:
        self.look_at_dots("-M", "q35", "-bios", OVMF, "-device", "VGA", "-cdrom", self.disc())


if __name__ == "__main__":
    unittest.main()
