"""
apps/window: what QEMU's screen shows is compared, dot by dot, with the picture that apps/window/README.md describes, drawn
here from the map that the program prints; and the windows that must be refused.
"""

import json
import os
import re
import select
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from booting import ROOT, TIMEOUT, AppCase

FONT = ROOT / "apps/window/font.c"

WIDTH, HEIGHT = 1024, 768
BACKGROUND, INK = 0x101820, 0xF4F4F4
COLOURS = {
    "image": 0x3D6FB6, "anon": 0x2F8F52, "heap": 0xB07F22, "stack": 0x8E48A8, "phys": 0xBB4A44, "guard": 0x5C6470,
    "others": 0x2B8A92,
}  # fmt: skip
TITLE = "Quire: the address map of this program"
BAND = re.compile(r"^band ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ([a-z]+)\|(.*)$", re.MULTILINE)


def load_font() -> list[list[str]]:
    """The eight rows of each character from 0x20 on."""
    rows = re.findall(r'^    "([#. ]+)",$', FONT.read_text(), re.MULTILINE)
    glyphs = []
    for block in range(0, len(rows), 8):
        cells = [row.split(" ") for row in rows[block : block + 8]]
        glyphs += [list(column) for column in zip(*cells, strict=True)]
    return glyphs


class Picture:
    """1024 by 768 dots, three bytes each."""

    def __init__(self) -> None:
        self.dots = bytearray(BACKGROUND.to_bytes(3, "big") * (WIDTH * HEIGHT))
        self.font = load_font()

    def fill(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        row = colour.to_bytes(3, "big") * width
        for start in range((y * WIDTH + x) * 3, ((y + height) * WIDTH + x) * 3, WIDTH * 3):
            self.dots[start : start + len(row)] = row

    def text(self, x: int, y: int, right: int, text: str) -> int:
        for character in text:
            if x + 12 > right:
                break
            for row, dots in enumerate(self.font[ord(character) - 0x20]):
                for column, dot in enumerate(dots):
                    if dot == "#":
                        self.fill(x + 2 * column, y + 2 * row, 2, 2, INK)
            x += 12
        return x

    def band(self, y: int, size: int, resident: int, driver: str, text: str) -> None:
        colour = COLOURS.get(driver, COLOURS["others"])
        bright = 976 * resident // size
        self.fill(24, y, bright, 26, colour)
        self.fill(24 + bright, y, 976 - bright, 26, colour >> 1 & 0x7F7F7F)
        self.text(32, y + 5, 1000, text)


def expected_picture(console: str) -> bytes:
    """The picture of the map that the program printed."""
    picture = Picture()
    picture.text(24, 20, 1000, TITLE)
    y, end = 56, None
    for start_text, size_text, resident, driver, text in BAND.findall(console):
        start, size = int(start_text, 16), int(size_text, 16)
        y += 4 if end not in (None, start) else 0
        if y + 26 > 716:
            break
        picture.band(y, size, int(resident, 16), driver, text)
        y, end = y + 26, start + size
    x = 24
    for name, colour in COLOURS.items():
        picture.fill(x, 728, 20, 20, colour)
        x = picture.text(x + 28, 730, WIDTH, name) + 24
    return bytes(picture.dots)


def read_ppm(path: Path) -> tuple[int, int, bytes]:
    """Width, height and dots of a binary PPM file with 8 bits a channel."""
    header = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", path.read_bytes())
    assert header, f"{path} is no PPM file"
    return int(header[1]), int(header[2]), path.read_bytes()[header.end() :]


class Monitor:
    """QEMU's machine protocol (QMP) on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rw")
        self.lines.readline()  # the greeting
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: Any) -> None:
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


class Machine:
    """QEMU with the program, and its console up to now."""

    def __init__(self, launcher: list[str], folder: Path) -> None:
        self.path = folder / "qmp"
        dry = subprocess.run(
            [*launcher, "--dry-run", "--", "--hold", "600"], capture_output=True, text=True, check=True, timeout=TIMEOUT
        )
        command = [*shlex.split(dry.stdout), "-qmp", f"unix:{self.path},server=on,wait=off"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.console = ""

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + TIMEOUT
        assert self.process.stdout
        while text not in self.console:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise AssertionError(f"the program did not say {text!r}, but:\n{self.console}")
            self.console += data.decode(errors="replace")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class WindowTest(AppCase):
    app = "window"

    def screen(self) -> tuple[str, tuple[int, int, bytes]]:
        """The program's console, and the screen while the picture is up."""
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            machine = Machine(self.launcher(), Path(folder))
            try:
                machine.wait_for("The picture is up")
                monitor = Monitor(machine.path)
                monitor.do("screendump", filename=f"{folder}/screen.ppm")
                monitor.close()
                return machine.console, read_ppm(Path(folder, "screen.ppm"))
            finally:
                machine.stop()

    def test_picture(self) -> None:
        console, (width, height, dots) = self.screen()
        self.assertEqual((width, height), (WIDTH, HEIGHT))
        self.assertGreaterEqual(len(BAND.findall(console)), 8, console)
        self.assertRegex(console, r"(?m)^band .* phys\|.* WC\r?$")
        self.assertRegex(console, r"(?m)^band .* phys\|.* UC\r?$")
        wanted = expected_picture(console.replace("\r\n", "\n"))
        if dots != wanted:
            wrong = [i // 3 for i in range(0, len(wanted), 3) if dots[i : i + 3] != wanted[i : i + 3]]
            first = wrong[0]
            found, right = dots[first * 3 : first * 3 + 3].hex(), wanted[first * 3 : first * 3 + 3].hex()
            self.fail(f"{len(wrong)} dots differ; at ({first % WIDTH}, {first // WIDTH}): {found}, not {right}")

    def test_registers(self) -> None:
        done = self.boot("--hold", "0")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("liveness 0x12345678 -> 0xedcba987, 10! = 3628800", done.stdout)

    def test_refusals(self) -> None:
        done = self.boot("--bad")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for what, error in (("over RAM", "E_BUSY"), ("beyond the physical addresses", "E_RANGE"),
                            ("at an address that is not a page's", "E_INVAL"), ("of no size", "E_INVAL")):  # fmt: skip
            self.assertRegex(done.stdout, rf"(?m)^a window {what} \(.*\): {error}$")

    def test_wrong_arguments(self) -> None:
        for arguments in (("--hold", "x"), ("--hold",), ("--glad",)):
            done = self.boot(*arguments)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertRegex(done.stdout, r"\Awindow: .*\n\Z")
