#!/usr/bin/env python3
"""Makes the symbol blob of a linked image, for backtraces (read by core/symbols.c).

The blob, little endian:

    u32  magic 0x4d595351 ("QSYM")
    u32  count         number of symbols
    u64  base          address of the first function
    u32  limit         distance from there to the end of the last function's section
    u16  characters    how many different ones the names have
    u16  tokens        together at most 256
    u32  distance_bytes
    u32  name_bytes
    u64  build         what tells this build from others
    u8   characters[characters]
    u8   tokens[2 * tokens]          two bytes of a name for each, which are less than what stands for itself
    u8   distances[distance_bytes]   count numbers: from the start of the function before, of the first one 0; seven
                                     bits a byte, low ones first, the top bit set in all but the last byte (ULEB128)
    u8   names[name_bytes]           count names in the order of the functions, each with a NUL behind it

Names are ASCII. A byte of them is the number of a character, of which NUL is the first, or behind those of a token, which
stands for two such bytes, also across the end of a name: byte-pair encoding (Gage, "A New Algorithm for Data Compression",
1994), to little more than half.

The build is a hash of all that is loaded of the image, and of the existing program in it: reports of crashes show it.
"""

import argparse
import hashlib
import struct
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from calls import PREFIX
from tool import Failure, read_input, run_main, write_output

MAGIC = 0x4D595351
HEADER = struct.Struct("<IIQIHHIIQ")
CODES_MAX = 256
NAME_MAX = 255

PT_LOAD = 1
SHT_SYMTAB = 2
SHF_EXECINSTR = 4
SHN_LORESERVE = 0xFF00
STT_NOTYPE, STT_FUNC, STT_GNU_IFUNC = 0, 2, 10


class Section(NamedTuple):
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class Symbol(NamedTuple):
    address: int
    name: str


def read_sections(elf: bytes) -> list[Section]:
    """The section headers of an ELF64 little-endian file (System V gABI, chapter 4)."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise Failure("not a 64-bit little-endian ELF file")
    start, entry_size, count = struct.unpack_from("<40xQ10xHH", elf)
    sections = []
    for index in range(count):
        _, kind, flags, address, offset, size, link = struct.unpack_from("<IIQQQQI", elf, start + index * entry_size)
        sections.append(Section(kind, flags, address, offset, size, link))
    return sections


def text_at(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode("ascii", "replace").replace("\ufffd", "?")


def preference(name: str, kind: int) -> tuple[bool, int, int, str]:
    """Of several names for one address the least is taken: real functions first, then few underscores."""
    underscores = len(name) - len(name.lstrip("_"))
    return (kind == STT_NOTYPE, underscores, len(name), name)


def read_functions(elf: bytes) -> tuple[list[Symbol], int]:
    """The functions of the image, one per address, ascending, and the end of the code that holds them."""
    sections = read_sections(elf)
    code = {index for index, section in enumerate(sections) if section.flags & SHF_EXECINSTR}
    end = max((sections[index].address + sections[index].size for index in code), default=0)
    best: dict[int, tuple[tuple[bool, int, int, str], str]] = {}
    for table in (section for section in sections if section.kind == SHT_SYMTAB):
        link = sections[table.link]
        strings = elf[link.offset : link.offset + link.size]
        for entry in struct.iter_unpack("<IBBHQQ", elf[table.offset : table.offset + table.size]):
            name_offset, info, _, section, address, _ = entry
            if section not in code or section >= SHN_LORESERVE:
                continue
            if info & 15 not in (STT_NOTYPE, STT_FUNC, STT_GNU_IFUNC):
                continue
            name = text_at(strings, name_offset).removeprefix(PREFIX)
            if not name or name.startswith((".L", "$")):
                continue
            candidate = (preference(name, info & 15), name)
            best[address] = min(best.get(address, candidate), candidate)
    return [Symbol(address, best[address][1]) for address in sorted(best)], end


def most_frequent_pair(text: str) -> str | None:
    """The pair that is worth a token, ties broken by value so that the result never varies."""
    count, pair = max(((count, pair) for pair, count in Counter(zip(text, text[1:])).items()), default=(0, None))
    return "".join(pair) if pair is not None and count > 3 else None


def compress(text: str) -> tuple[str, list[str], str]:
    """The characters, the pairs that tokens stand for, and the encoded text."""
    characters = "".join(sorted(set(text)))
    text = text.translate({ord(character): code for code, character in enumerate(characters)})
    tokens: list[str] = []
    while len(characters) + len(tokens) < CODES_MAX:
        pair = most_frequent_pair(text)
        if pair is None:
            break
        text = text.replace(pair, chr(len(characters) + len(tokens)))
        tokens.append(pair)
    return characters, tokens, text


def leb128(number: int) -> bytes:
    """DWARF 5, 7.6."""
    result = bytearray()
    while number >= 0x80:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*result, number])


def make_blob(symbols: list[Symbol], end: int, build: int) -> bytes:
    if not symbols:
        raise Failure("no function symbols: was the file stripped?")
    base = symbols[0].address
    if end - base > 0xFFFFFFFF:
        raise Failure("the code spans more than 4 GiB")
    characters, tokens, names = compress("".join(f"{symbol.name[:NAME_MAX]}\0" for symbol in symbols))
    codes = characters.encode("ascii") + "".join(tokens).encode("latin-1")
    name_bytes = names.encode("latin-1")
    starts = [base, *(symbol.address for symbol in symbols)]
    distances = b"".join(leb128(start - before) for before, start in zip(starts, starts[1:]))
    lengths = len(characters), len(tokens), len(distances), len(name_bytes)
    return HEADER.pack(MAGIC, len(symbols), base, end - base, *lengths, build) + codes + distances + name_bytes


def loaded(elf: bytes) -> list[bytes]:
    """The contents of the segments that are loaded (System V gABI, chapter 5); where the section headers are, as 0."""
    start, entry, count = struct.unpack_from("<32xQ14xHH", elf)
    elf = elf[:40] + bytes(8) + elf[48:58] + bytes(6) + elf[64:]
    headers = [struct.unpack_from("<I4xQ16xQ", elf, start + index * entry) for index in range(count)]
    return [elf[offset : offset + size] for kind, offset, size in headers if kind == PT_LOAD]


def build_of(*parts: bytes) -> int:
    """A number that differs where one of the parts does; never 0."""
    hashes = b"".join(hashlib.sha256(part).digest() for part in parts)
    return int.from_bytes(hashlib.sha256(hashes).digest()[:8], "little") | 1


def read_build(elf: bytes) -> int | None:
    """The build of a finished image; None if the file has no symbol blob."""
    blob = next((part for part in loaded(elf) if part[:4] == MAGIC.to_bytes(4, "little")), b"")
    return HEADER.unpack_from(blob)[-1] if len(blob) >= HEADER.size else None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Makes the symbol blob of a linked image.")
    parser.add_argument("--elf", type=Path, required=True, help="linked image, not stripped")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--program", type=Path, help="the existing program that is part of the image")
    options = parser.parse_args(arguments)
    elf = read_input(options.elf)
    program = [read_input(options.program)] if options.program else []
    try:
        blob = make_blob(*read_functions(elf), build_of(*loaded(elf), *program))
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise Failure(f"{options.elf}: damaged ELF file: {error}") from error
    except Failure as failure:
        raise Failure(f"{options.elf}: {failure}") from failure
    write_output(options.output, blob)
    return 0


if __name__ == "__main__":
    run_main("symbols.py", main)
