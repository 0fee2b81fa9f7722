#!/usr/bin/env python3
"""Packs files into the root file system of an image: a boot module that core/archive.c reads.

The archive is a cpio archive in the "new ASCII with checksum" form (magic 070702, see cpio(5)): a header of 110 bytes
with thirteen numbers of eight hexadecimal digits, the name, the contents, each padded to four bytes; the checksum is
the sum of the bytes of the contents modulo 2^32. The first entry is the file ".quire" with the lines

    quire-files 1
    bytes N         length of the whole archive, so that a truncated one is seen at once
    entries M       number of entries between this one and TRAILER!!!

Then come directories and files in the order of their names, every directory before what is in it, all with owner and
time 0: the same files always give the same bytes. Names are relative, without "." or "..".
"""

import argparse
import stat
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tool import Failure, read_input, run_main, write_output

MAGIC = "070702"
MANIFEST = ".quire"
TRAILER = "TRAILER!!!"
SIZE_MAX = 0xFFFFFFFF
NAME_MAX = 255
PATH_MAX = 4095

MODE_DIRECTORY = stat.S_IFDIR | 0o755
MODE_FILE = stat.S_IFREG | 0o644
MODE_PROGRAM = stat.S_IFREG | 0o755


class Entry(NamedTuple):
    name: str
    mode: int
    data: bytes


def padding(length: int) -> bytes:
    return bytes(-length % 4)


def encode(entry: Entry, number: int) -> bytes:
    """One entry; number is its inode number, 0 for the trailer."""
    name = entry.name.encode() + b"\0"
    links = 0 if number == 0 else 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, links, 0, 0, 0, len(entry.data), 0, 0, 0, 0, len(name), sum(entry.data) & SIZE_MAX)
    header = (MAGIC + "".join(f"{field:08x}" for field in fields)).encode() + name
    return header + padding(len(header)) + entry.data + padding(len(entry.data))


def pack(entries: list[Entry]) -> bytes:
    """The whole archive. Its length stands in its first entry, so it is tried until the number of digits fits."""
    body = b"".join(encode(entry, number) for number, entry in enumerate(entries, start=2))
    body += encode(Entry(TRAILER, 0, b""), 0)
    total = len(body)
    while True:
        text = f"quire-files 1\nbytes {total}\nentries {len(entries)}\n"
        first = encode(Entry(MANIFEST, MODE_FILE, text.encode()), 1)
        if len(first) + len(body) == total:
            return first + body
        total = len(first) + len(body)


def check_target(target: str, argument: str) -> str:
    """The name in the image, as it is stored; it must stay below the root."""
    parts = target.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Failure(f"{argument}: '{target}' is no plain path below the root of the image")
    if any(len(part.encode()) > NAME_MAX for part in parts):
        raise Failure(f"{argument}: a part of '{target}' is longer than {NAME_MAX} bytes")
    if len("/".join(parts).encode()) > PATH_MAX:
        raise Failure(f"{argument}: the name in the image is longer than {PATH_MAX} bytes")
    if "/".join(parts) in (MANIFEST, TRAILER):
        raise Failure(f"{argument}: the name '{target}' is taken by the archive itself")
    return "/".join(parts)


def split_argument(argument: str, root: Path) -> tuple[Path, str]:
    """HOST:TARGET as given; a FILE alone goes to its place relative to the root folder."""
    host, colon, target = argument.rpartition(":")
    if colon:
        return Path(host), check_target(target, argument)
    try:
        relative = Path(argument).absolute().relative_to(root.absolute())
    except ValueError:
        raise Failure(f"{argument}: not inside of {root}; write FILE:NAME-IN-THE-IMAGE") from None
    return Path(argument), check_target(relative.as_posix(), argument)


def read_file(host: Path, target: str) -> Entry:
    if host.exists() and not host.is_file():
        raise Failure(f"{host}: not a regular file")
    data = read_input(host)
    if len(data) > SIZE_MAX:
        raise Failure(f"{host}: {len(data)} bytes; a file in the archive holds at most {SIZE_MAX}")
    return Entry(target, MODE_PROGRAM if host.stat().st_mode & 0o111 else MODE_FILE, data)


def collect(arguments: list[str], root: Path) -> list[Entry]:
    """All entries in order, with the directories that the files are in."""
    files: dict[str, Entry] = {}
    directories: set[str] = set()
    for argument in arguments:
        host, target = split_argument(argument, root)
        if target in files:
            raise Failure(f"{argument}: there are two files named '{target}'")
        files[target] = read_file(host, target)
        directories.update(str(parent) for parent in PurePosixPath(target).parents if parent.name)
    for name in sorted(directories & files.keys()):
        raise Failure(f"'{name}' is both a file and a directory")
    entries = [*files.values(), *(Entry(name, MODE_DIRECTORY, b"") for name in directories)]
    return sorted(entries, key=lambda entry: entry.name.split("/"))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Packs files into the root file system of an image.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder that is / in the image")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file below the root folder, or HOST:TARGET")
    options = parser.parse_args(arguments)
    write_output(options.output, pack(collect(options.files, options.root)))
    return 0


if __name__ == "__main__":
    run_main("archive.py", main)
