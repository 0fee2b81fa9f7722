"""What the parts of configure.py share: sizes in words, colours, files that keep their time when nothing changed."""

from __future__ import annotations

import os
import re
import sys

from tool import write_output

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE_HELP = 'a size such as "64M", "1G" or "8K"'
# RAM of an image.
RAM_LEAST, RAM_MOST = 4 << 20, 64 << 40
RAM_RANGE = "at least 4M and at most 64T"


def parse_size(text: str) -> int:
    """Bytes of "64M" and the like; ValueError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,12}|0)([KMGT]?)", text)
    if not match:
        raise ValueError(text)
    return int(match[1]) * UNITS[match[2]]


def format_size(size: int) -> str:
    """Exact where a unit divides the size, otherwise with one decimal."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}" if size % unit == 0 else f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def paint(text: str, code: str, stream=None) -> str:
    """The text in a colour (an SGR code), on a terminal only."""
    stream = stream or sys.stdout
    if not stream.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{code}m{text}\033[0m"


def write_if_changed(path, text: str) -> None:
    """Leaves the file's time alone when the text is the same, so that nothing is rebuilt for it."""
    if path.is_file() and path.read_text() == text:
        return
    write_output(path, text.encode())
