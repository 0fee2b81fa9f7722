#!/usr/bin/env python3
"""Packs files into the root file system of an image: a boot module that core/archive.c reads.

The archive is a cpio archive in the "new ASCII with checksum" form (magic 070702, see cpio(5)): a header of 110 bytes
with thirteen numbers of eight hexadecimal digits, the name, the contents, each padded to four bytes; the checksum is
the sum of the bytes of the contents modulo 2^32. The first entry is the file ".quire" with the lines

    quire-files 3
    bytes N         length of the whole archive, twelve digits, so that a truncated one is seen at once
    entries M       number of entries between this one and TRAILER!!!

Then come directories, files and symbolic links in the order of their names, every directory before what is in it, all
with owner and time 0: the same files always give the same bytes. Files below /usr, which packages have brought, keep the
time that they have there, as it means something: compiled Python files hold that of their source. Names are relative, without "." or "..". The contents
of a link are its target.

Contents of a page and more begin at a page of the archive, so that they can be mapped where they lie: the name is
followed by as many zero bytes as it takes, which count as part of it. cpio and bsdtar read such names as they should.

Behind the trailer, where cpio reads no more, is a line with Fletcher's checksum of all that is before it (core/archive.h),
which the image compares when it boots.
"""

import argparse
import json
import os
import re
import stat
import sys
import time
from array import array
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Iterable, Iterator, NamedTuple

from tool import Failure, read_input, run_main, write_pieces

MAGIC = "070702"
HEADER_SIZE = 110
MANIFEST = ".quire"
TRAILER = "TRAILER!!!"
PAGE = 4096
SIZE_MAX = 0xFFFFFFFF  # of contents, and of every number in a header
PACKAGED = Path("/usr")
SEAL = "checksum: {:016x} {:016x}\n"
SEAL_SIZE = len(SEAL.format(0, 0))
SUM_MASK = (1 << 64) - 1
NAME_MAX = 255
PATH_MAX = 4095

MODE_DIRECTORY = stat.S_IFDIR | 0o755
MODE_FILE = stat.S_IFREG | 0o644
MODE_PROGRAM = stat.S_IFREG | 0o755
MODE_LINK = stat.S_IFLNK | 0o777

Pair = tuple[Path, str]  # a file, link or folder of the host, and its name in the image


class Entry(NamedTuple):
    name: str
    mode: int
    data: bytes = b""
    host: Path | None = None  # where the contents are read from when it is their turn, instead of data
    size: int = 0  # of those
    time: int = 0  # seconds since 1970

    @property
    def length(self) -> int:
        return self.size if self.host else len(self.data)

    def read(self) -> bytes:
        if self.host is None:
            return self.data
        data = read_input(self.host)
        if len(data) != self.size:
            raise Failure(f"{self.host} had {self.size} bytes and has {len(data)} now: it is being written to")
        return data


class Place(NamedTuple):
    """Where an entry lies: the length of its name with all that follows it, offsets of contents and next entry."""

    name_size: int
    data: int
    next: int


def place(offset: int, entry: Entry) -> Place:
    name_size = len(entry.name.encode()) + 1
    end = offset + HEADER_SIZE + name_size
    data = end + -end % (PAGE if entry.length >= PAGE else 4)
    if entry.length >= PAGE:
        name_size += data - end
    return Place(name_size, data, data + entry.length + -entry.length % 4)


def encode(entry: Entry, number: int, offset: int) -> Iterator[bytes]:
    """One entry; number is its inode number, 0 for the trailer."""
    where, data = place(offset, entry), entry.read()
    links = 0 if number == 0 else 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, entry.time, len(data), 0, 0, 0, 0, where.name_size, sum(data) & SIZE_MAX)
    header = (MAGIC + "".join(f"{field:08x}" for field in fields)).encode() + entry.name.encode()
    yield header.ljust(where.data - offset, b"\0")
    yield data + bytes(-len(data) % 4) if len(data) % 4 else data


def layout(entries: list[Entry]) -> tuple[list[Entry], int]:
    """All entries with the first and the last one, and the length of the archive."""
    whole = [Entry(MANIFEST, MODE_FILE), *entries, Entry(TRAILER, 0)]
    offset = 0
    for total in (0, None):  # the length of the text does not depend on the number in it
        text = f"quire-files 3\nbytes {offset:012}\nentries {len(entries)}\n"
        whole[0] = Entry(MANIFEST, MODE_FILE, text.encode())
        if total is None:
            break
        for entry in whole:
            offset = place(offset, entry).next
        offset += SEAL_SIZE
    return whole, offset


def packed_size(entries: list[Entry]) -> int:
    return layout(entries)[1]


class Checksum:
    """Fletcher's, of little-endian words of 32 bits with sums of 64, in pieces of whole words."""

    def __init__(self) -> None:
        self.first = self.second = 0

    def add(self, piece: bytes) -> None:
        words = array("I", piece)
        self.second = self.second + len(words) * self.first + sum(accumulate(words)) & SUM_MASK
        self.first = self.first + sum(words) & SUM_MASK

    def seal(self) -> bytes:
        return SEAL.format(self.first, self.second).encode()


def sealed(body: bytes) -> bytes:
    """An archive of its bytes without the last line."""
    checksum = Checksum()
    checksum.add(body)
    return body + checksum.seal()


def pieces(entries: list[Entry]) -> Iterator[bytes]:
    whole, _ = layout(entries)
    offset, checksum = 0, Checksum()
    for number, entry in enumerate(whole, start=1):
        for piece in encode(entry, 0 if entry.name == TRAILER else number, offset):
            checksum.add(piece)
            yield piece
        offset = place(offset, entry).next
    yield checksum.seal()


def pack(entries: list[Entry]) -> bytes:
    """The whole archive."""
    return b"".join(pieces(entries))


def unpack(packed: bytes) -> list[Entry]:
    """What is in an archive that pieces() made."""
    entries, offset = [], 0
    while True:
        fields = [int(packed[offset + 6 + 8 * index : offset + 14 + 8 * index], 16) for index in range(13)]
        mode, when, size, name_size = fields[1], fields[5], fields[6], fields[11]
        end = offset + HEADER_SIZE + name_size
        name = packed[offset + HEADER_SIZE : end].split(b"\0", 1)[0].decode()
        data = end + -end % 4
        if name == TRAILER:
            return entries[1:]
        entries.append(Entry(name, mode, packed[data : data + size], time=when))
        offset = data + size + -size % 4


def merged(old: list[Entry], new: list[Entry]) -> list[Entry]:
    """Both; a file of the same name is the new one."""
    entries = {entry.name: entry for entry in old}
    for entry in new:
        before = entries.get(entry.name, entry)
        if stat.S_ISDIR(before.mode) != stat.S_ISDIR(entry.mode):
            raise Failure(f"{entry.name} would be both a file and a folder in the image")
        entries[entry.name] = entry
    return in_order(entries)


def in_order(entries: dict[str, Entry]) -> list[Entry]:
    return sorted(entries.values(), key=lambda entry: entry.name.split("/"))


def with_progress(parts: Iterable[bytes], total: int) -> Iterator[bytes]:
    """The same; on a terminal, what takes longer than a second is shown while it lasts."""
    start, shown, done = time.monotonic(), 0.0, 0
    for part in parts:
        yield part
        done += len(part)
        now = time.monotonic()
        if sys.stderr.isatty() and now - start > 1 and now - shown > 0.2:
            shown = now
            print(f"\rpacked {done >> 20} of {total >> 20} MiB", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def check_target(target: str, argument: str) -> str:
    """The name in the image, as it is stored; it must stay below the root."""
    parts = target.strip("/").split("/")
    try:
        size = len(target.encode())
    except UnicodeEncodeError:
        raise Failure(f"{argument!r} is not UTF-8 text") from None
    if "\n" in target:
        raise Failure(f"{argument!r}: a name of more than one line cannot be packed")
    if any(part in ("", ".", "..") for part in parts):
        raise Failure(f"{argument}: '{target}' is no plain path below the root of the image")
    if any(len(part.encode()) > NAME_MAX for part in parts):
        raise Failure(f"{argument}: a part of '{target}' is longer than {NAME_MAX} bytes")
    if size > PATH_MAX and len("/".join(parts).encode()) > PATH_MAX:
        raise Failure(f"{argument}: the name in the image is longer than {PATH_MAX} bytes")
    if "/".join(parts) in (MANIFEST, TRAILER):
        raise Failure(f"{argument}: the name '{target}' is taken by the archive itself")
    return "/".join(parts)


def split_item(item: str) -> tuple[str, str]:
    """HOST:TARGET or HOST alone, whose target is the same path."""
    host, colon, target = item.rpartition(":")
    return (host, target) if colon else (item, item.strip("/"))


def exclusion(pattern: str) -> re.Pattern[str]:
    """
    What a pattern for names in the image matches: * and ? inside one part of the name, ** any number of parts; one that
    ends with /** the folder before it too.
    """
    text, parts = "", pattern.strip("/").split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            text += ".*" if last else "(?:.*/)?"
        else:
            text += "".join({"*": "[^/]*", "?": "[^/]"}.get(letter) or re.escape(letter) for letter in part)
            if parts[index + 1 :] == ["**"]:
                return re.compile(text + "(?:/.*)?", re.DOTALL)
            text += "" if last else "/"
    return re.compile(text, re.DOTALL)


def walk(folder: Path, target: str, excluded: list[re.Pattern[str]]) -> Iterator[Pair]:
    """Everything below the folder, folders too, in the order of the names; links are not followed."""
    try:
        found = sorted(os.scandir(folder), key=lambda item: item.name)
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}") from None
    for item in found:
        name = f"{target}/{item.name}" if target else item.name
        if any(pattern.fullmatch(name) for pattern in excluded):
            continue
        yield Path(item.path), name
        if item.is_dir(follow_symlinks=False):
            yield from walk(Path(item.path), name, excluded)


def expand(root: Path, items: list[str]) -> list[Pair]:
    """
    What the items of a manifest's `files` stand for: HOST or HOST:TARGET, HOST relative to the root folder, folders as a
    whole (TARGET / is the root of the image), less what the items !PATTERN exclude. An item that is a link is what it
    leads to; links in folders stay links.
    """
    excluded = [exclusion(item[1:]) for item in items if item.startswith("!")]
    result: list[Pair] = []
    for item in items:
        if item.startswith("!"):
            continue
        host, target = split_item(item)
        path = root / host
        path = path.resolve() if path.is_symlink() else path
        if not path.is_dir():
            result.append((path, target))
            continue
        target = target.strip("/")
        if target:
            result.append((path, target))
        result += walk(path, target, excluded)
    return result


def idle_patterns(root: Path, items: list[str]) -> list[str]:
    """The items !PATTERN that leave out nothing of what the other items bring: misspelt, most likely."""
    patterns = [item for item in items if item.startswith("!")]
    names = [name for _, name in expand(root, [item for item in items if item not in patterns])] if patterns else []
    return [item for item in patterns if not any(map(exclusion(item[1:]).fullmatch, names))]


def make_entry(host: Path, target: str, shown: str) -> Entry:
    try:
        found = host.lstat()
        link = os.readlink(host) if stat.S_ISLNK(found.st_mode) else ""
    except OSError as error:
        raise Failure(f"{shown}: {error.strerror}") from None
    if link:
        return Entry(target, MODE_LINK, os.fsencode(link))
    if stat.S_ISDIR(found.st_mode):
        return Entry(target, MODE_DIRECTORY)
    if not stat.S_ISREG(found.st_mode):
        raise Failure(f"{shown} is neither a file nor a folder")
    if found.st_size > SIZE_MAX:
        raise Failure(f"{shown}: {found.st_size} bytes; a file in the archive holds at most {SIZE_MAX}")
    time_kept = max(0, min(int(found.st_mtime), SIZE_MAX)) if host.is_relative_to(PACKAGED) else 0
    return Entry(target, MODE_PROGRAM if found.st_mode & 0o111 else MODE_FILE, b"", host, found.st_size, time_kept)


def collect(pairs: list[Pair], base: Path | None = None) -> list[Entry]:
    """All entries in order, with the folders that they are in. base: what messages show paths relative to."""
    entries: dict[str, Entry] = {}
    for host, target in pairs:
        shown = str(host.relative_to(base)) if base and host.is_relative_to(base) else str(host)
        name = check_target(target, shown)
        entry = make_entry(host, name, shown)
        before = entries.setdefault(name, entry)
        folders = stat.S_ISDIR(before.mode) + stat.S_ISDIR(entry.mode)
        if before is not entry and folders < 2:
            both = f"{name} would be both a file and a folder in the image"
            raise Failure(f"{shown}: {both if folders else f'two files would be {name} in the image'}")
    for name in list(entries):
        for parent in map(str, PurePosixPath(name).parents):
            if parent != "." and not stat.S_ISDIR(entries.setdefault(parent, Entry(parent, MODE_DIRECTORY)).mode):
                raise Failure(f"{parent} would be both a file and a folder in the image")
    return in_order(entries)


def from_argument(argument: str, root: Path) -> list[Pair]:
    """HOST:TARGET as given; a FILE alone goes to its place relative to the root folder."""
    if ":" in argument:
        return expand(Path(), [argument])
    try:
        relative = Path(argument).absolute().relative_to(root.absolute())
    except ValueError:
        raise Failure(f"{argument}: not inside of {root}; write FILE:NAME-IN-THE-IMAGE") from None
    return expand(Path(), [f"{argument}:{relative.as_posix()}"])


def read_list(path: Path) -> list[Pair]:
    try:
        return [(Path(host), target) for host, target in json.loads(read_input(path))]
    except (ValueError, TypeError):
        raise Failure(f"{path}: not a list of pairs (JSON)") from None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Packs files into the root file system of an image.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=Path(), help="folder that is / in the image")
    parser.add_argument("--list", type=Path, help="pairs of host path and name in the image (JSON), taken as they are")
    parser.add_argument("files", nargs="*", metavar="FILE", help="a file or folder below the root folder, or HOST:TARGET")
    options = parser.parse_args(arguments)
    pairs = read_list(options.list) if options.list else []
    for argument in options.files:
        pairs += from_argument(argument, options.root)
    entries = collect(pairs)
    write_pieces(options.output, with_progress(pieces(entries), packed_size(entries)))
    return 0


if __name__ == "__main__":
    run_main("archive.py", main)
