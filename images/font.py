#!/usr/bin/env python3
"""
Makes the font of the console on the screen (arch/x86_64/screen.c) from GNU Unifont, as Debian's grub-common brings it in
GRUB's format (PFF2): a C file with the printable characters of ASCII. Of each the box that has dots is kept, two bytes for
where it lies in the cell of 8 by 16 and then its dots, row by row from the top: all of them are less than a KiB.
"""

import argparse
import struct
from pathlib import Path
from typing import NamedTuple

from tool import Failure, read_input, run_main, write_output

SOURCE = Path("/usr/share/grub/ascii.pf2")
PACKAGE = "grub-common"
CHARACTERS = range(0x20, 0x7F)
WIDTH, HEIGHT = 8, 16


class Glyph(NamedTuple):
    left: int
    top: int
    width: int
    height: int
    dots: bytes

    def packed(self) -> bytes:
        return bytes([self.left << 4 | self.width, self.top << 4 | self.height]) + self.dots


def read_sections(font: bytes) -> dict[bytes, bytes]:
    """The sections before the glyphs: a name, a length (big endian, as all numbers), and that many bytes."""
    sections, offset = {}, 0
    while font[offset : offset + 4] != b"DATA":
        name, length = struct.unpack_from(">4sI", font, offset)
        sections[name] = font[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return sections


def read_glyph(font: bytes, offset: int, ascent: int) -> Glyph:
    width, height, left, bottom, _ = struct.unpack_from(">HHhhh", font, offset)
    top = ascent - bottom - height if height else 0
    if not (0 <= left and left + width <= WIDTH and 0 <= top and top + height <= HEIGHT):
        raise Failure("a character does not fit its cell of 8 by 16 dots")
    size = (width * height + 7) // 8
    dots = font[offset + 10 : offset + 10 + size]
    if len(dots) != size:
        raise Failure("it is truncated")
    return Glyph(left, top, width, height, dots)


def read_font(font: bytes) -> list[Glyph]:
    sections = read_sections(font)
    (ascent,) = struct.unpack(">H", sections[b"ASCE"])
    offsets = {code: offset for code, _, offset in struct.iter_unpack(">IBI", sections[b"CHIX"])}
    return [read_glyph(font, offsets[code], ascent) for code in CHARACTERS]


def source(glyphs: list[Glyph]) -> str:
    rows = ["/* Written by images/font.py. */", "#include <stdint.h>", "", "extern const uint8_t screen_font[];", "const uint8_t screen_font[] = {"]
    rows += ["    " + " ".join(f"0x{byte:02x}," for byte in glyph.packed()) for glyph in glyphs]
    return "\n".join([*rows, "};", ""])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Makes the font of the console on the screen.")
    parser.add_argument("--font", type=Path, default=SOURCE, help="in GRUB's format, with cells of 8 by 16 dots")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.font == SOURCE and not SOURCE.is_file():
        raise Failure(f"{SOURCE} is missing: sudo apt-get install {PACKAGE}")
    font = read_input(options.font)
    try:
        glyphs = read_font(font)
    except (struct.error, KeyError) as error:
        raise Failure(f"{options.font}: no font in GRUB's format: {error}") from error
    except Failure as failure:
        raise Failure(f"{options.font}: {failure}") from failure
    write_output(options.output, source(glyphs).encode())
    return 0


if __name__ == "__main__":
    run_main("font.py", main)
