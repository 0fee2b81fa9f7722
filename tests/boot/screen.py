"""The screen of apps/window: taken from QEMU as the program says that the picture is up, and compared dot by dot
with what apps/window/README.md says is where, for the bands that the program printed. Text may be on any dot inside
of its place.
"""

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

UP = b"The picture is up"
WIDTH, HEIGHT = 1024, 768
LEFT, TOP, BAND_WIDTH, BAND_HEIGHT, GAP, BOTTOM = 24, 56, 976, 26, 4, 716
TITLE_TOP, LEGEND_TOP, TEXT_HEIGHT, LEGEND_HEIGHT = 20, 728, 16, 20
PAPER, INK = 0x101820, 0xF4F4F4
OTHER = 0x2B8A92
COLOURS = {
    "image": 0x3D6FB6, "anon": 0x2F8F52, "heap": 0xB07F22, "stack": 0x8E48A8, "phys": 0xBB4A44, "guard": 0x5C6470,
}  # fmt: skip
BAND = re.compile(r"^band ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ([^|]*)\|", re.MULTILINE)


class Band(NamedTuple):
    start: int
    size: int
    resident: int
    driver: str


def ask(stream: socket.SocketType, **command: object) -> dict:
    """One command of QEMU's machine protocol and its answer."""
    stream.sendall(json.dumps(command).encode())
    answer = b""
    while True:
        answer += stream.recv(65536)
        for line in answer.splitlines():
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "return" in message or "error" in message:
                return message


def take(control: Path, target: Path) -> str:
    """Writes what is on the screen to the file, as PPM; what went wrong, or nothing."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(10)
        stream.connect(str(control))
        ask(stream, execute="qmp_capabilities")
        answer = ask(stream, execute="screendump", arguments={"filename": str(target)})
    return "" if "return" in answer else f"QEMU takes no screen dump: {answer['error']['desc']}"


def run_and_take(command: list[str], control: Path, target: Path, timeout: float) -> tuple[int, bytes, str]:
    """Runs the launcher and takes the screen when the picture is up: its status, its output, and what went wrong."""
    problem, output, deadline = "the picture was never up", b"", time.monotonic() + timeout
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **streams) as launcher:
        assert launcher.stdout
        while time.monotonic() < deadline:
            data = os.read(launcher.stdout.fileno(), 65536)
            if not data:
                break
            had, output = UP in output, output + data
            if UP in output and not had:
                problem = take(control, target)
        return launcher.wait(), output, problem


def read_picture(path: Path) -> list[list[int]]:
    """Rows of dots from a binary PPM file."""
    match = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data := path.read_bytes())
    if match is None:
        raise ValueError("no picture")
    width, height, at = int(match[1]), int(match[2]), match.end()
    rows = [data[at + 3 * width * row : at + 3 * width * (row + 1)] for row in range(height)]
    return [[int.from_bytes(row[3 * x : 3 * x + 3], "big") for x in range(width)] for row in rows]


def darker(colour: int) -> int:
    """Every channel halved."""
    return colour >> 1 & 0x7F7F7F


def expected_rows(bands: list[Band]) -> dict[int, list[int]]:
    """The dots of every row that bands are on, without their text."""
    rows: dict[int, list[int]] = {}
    y, end = TOP, None
    for band in bands:
        y += GAP if end is not None and band.start != end else 0
        if y + BAND_HEIGHT > BOTTOM:
            break
        colour = COLOURS.get(band.driver, OTHER)
        full = BAND_WIDTH * band.resident // band.size
        row = [PAPER] * LEFT + [colour] * full + [darker(colour)] * (BAND_WIDTH - full)
        rows |= {y + line: row + [PAPER] * (WIDTH - len(row)) for line in range(BAND_HEIGHT)}
        y, end = y + BAND_HEIGHT, band.start + band.size
    return rows


def find_wrong_dot(picture: list[list[int]], bands: list[Band]) -> str:
    rows = expected_rows(bands)
    ink = 0
    for y, row in enumerate(picture):
        if LEGEND_TOP <= y < LEGEND_TOP + LEGEND_HEIGHT:
            continue
        wanted = rows.get(y, [PAPER] * WIDTH)
        text = y in rows or TITLE_TOP <= y < TITLE_TOP + TEXT_HEIGHT
        for x, dot in enumerate(row):
            ink += dot == INK
            if dot != wanted[x] and not (text and dot == INK and LEFT <= x < LEFT + BAND_WIDTH):
                return f"the dot at ({x}, {y}) is {dot:#08x}, not {wanted[x]:#08x}"
    return "" if ink > 1000 else "there is no text"


def find_wrong_legend(picture: list[list[int]], bands: list[Band]) -> str:
    """A whole square in the colour of every driver that has a band."""
    for driver in dict.fromkeys(band.driver for band in bands):
        colour = COLOURS.get(driver, OTHER)
        square = [colour] * LEGEND_HEIGHT
        rows = picture[LEGEND_TOP : LEGEND_TOP + LEGEND_HEIGHT]
        if not any(all(row[x : x + LEGEND_HEIGHT] == square for row in rows) for x in range(LEFT, WIDTH)):
            return f"the legend has no square for {driver}"
    return ""


def compare(path: Path, output: str) -> str:
    """What is wrong with the picture, or nothing."""
    picture = read_picture(path)
    bands = [Band(*(int(match[i], 16) for i in (1, 2, 3)), match[4]) for match in BAND.finditer(output)]
    if (len(picture[0]), len(picture)) != (WIDTH, HEIGHT):
        return f"the screen has {len(picture[0])} by {len(picture)} dots"
    if len(bands) < len(COLOURS):
        return f"only {len(bands)} bands were printed"
    return find_wrong_dot(picture, bands) or find_wrong_legend(picture, bands)
