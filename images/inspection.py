"""What an image holds, for people: ./configure.py --inspect IMAGE. All that is recorded in it is compared on the way."""

import hashlib
import shlex
import stat
import struct
from pathlib import Path
from typing import Any, Iterator

import archive
import description
import disk
import plan
import repack
import signature
from report import format_size
from tool import Altered, Failure

SEGMENT_KINDS = {1: "LOAD", 4: "NOTE", 7: "TLS", 0x6474E550: "EH_FRAME", 0x6474E551: "STACK", 0x6474E552: "RELRO"}
FLAGS = ((4, "r"), (2, "w"), (1, "x"))


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def segment_rows(elf: bytes) -> Iterator[str]:
    """The program headers (System V gABI)."""
    start, entry, count = struct.unpack_from("<32xQ14xHH", elf)
    for index in range(count):
        kind, flags, offset, address, _, in_file, in_memory = struct.unpack_from("<IIQQQQQ", elf, start + index * entry)
        shown = "".join(letter if flags & bit else "-" for bit, letter in FLAGS)
        name = SEGMENT_KINDS.get(kind, f"{kind:#x}")
        yield f"    {name:<8} {shown} {address:#018x} {in_file:>10} of {in_memory:>10} bytes at {offset:#x}"


def file_rows(files: bytes) -> Iterator[str]:
    for entry in archive.unpack(files):
        link = f" -> {entry.data.decode(errors='replace')}" if stat.S_ISLNK(entry.mode) else ""
        yield f"    {stat.filemode(entry.mode)} {entry.length:>10} {entry.name}{link}"


def word_rows(about: dict[str, Any]) -> Iterator[str]:
    """Arguments and environment as the program gets them, and where they come from."""
    words = repack.Words.of(about["loader"])
    built_in = about.get("arguments", [])
    arguments = built_in if words.arguments is None else words.arguments
    replaced = "" if words.arguments is None else "   (instead of those built in)"
    yield f"  arguments    {shlex.join(arguments) or 'none'}{replaced}"
    for name, value in (about.get("environment", {}) | words.environment).items():
        yield f"  environment  {shlex.quote(f'{name}={value}')}" + ("   (added)" if name in words.environment else "")
    core = [*shlex.split(about.get("command_line", "")), *words.core]
    if core:
        yield f"  core         {shlex.join(core)}"


def made_for_rows(about: dict[str, Any]) -> Iterator[str]:
    """What configure.py decided, as far as it is recorded."""
    if about.get("memory"):
        cpus = "1 CPU" if about["cpus"] == 1 else f"{about['cpus']} CPUs"
        yield f"  machine      {format_size(about['memory']['ram'])} of RAM, {cpus}, pages up to {about['pages']}"
    if "calls" in about:
        yield f"  system calls {' '.join(about['calls'])}"


def part_rows(about: dict[str, Any]) -> Iterator[str]:
    for name, part in about["parts"].items():
        stored = ", stored with gzip" if about["compress"] else ""
        yield f"  {name:<12} {part['sha256']}  {part['bytes']} bytes{stored}"


def check(path: Path) -> None:
    """A Failure if it is no image, or not as it was made."""
    try:
        image = disk.read_original(path)
        description.read_contents(image)
        state(disk.kind_of(path), image, path)
    except Failure as failure:
        raise type(failure)(f"{path}: {failure}") from None


def state(kind: str, image: bytes, path: Path) -> str:
    """All that a machine sees of the disk was compared; what a format has besides follows from it, if it is made here."""
    if kind not in disk.BY_OTHERS:
        return "whole and unaltered"
    made, found = disk.MAKERS[kind](image), path.read_bytes()
    if made == found:
        return "whole and unaltered"
    if made.startswith(found):
        raise Altered(f"it is truncated: {len(found)} of {len(made)} bytes are there")
    if found.startswith(made):
        raise Altered(f"it was altered: {len(found) - len(made)} bytes follow its end")
    return "its disk is whole and unaltered, the file around it is not what is made of it here: by other versions of qemu-img or zlib, or damaged"


def rows(path: Path, key: Path | None) -> Iterator[str]:
    kind = disk.kind_of(path)
    disk.check_name(path, kind)
    image = disk.read_original(path)
    contents = description.read_contents(image)
    about = contents.about
    version = f" {about['version']}" if about.get("version") else ""
    yield f"{path}: {kind}, {format_size(path.stat().st_size)}, {state(kind, image, path)}"
    yield f"  application  {about['name']}{version}" + (f": {about['summary']}" if about.get("summary") else "")
    yield from made_for_rows(about)
    yield f"  signature    {signature.verify(path, key)}"
    yield "SHA-256"
    yield f"  {'this file':<12} {sha256(path)}  {path.stat().st_size} bytes"
    yield from part_rows(about)
    yield "What the program gets"
    yield from word_rows(about)
    if about.get("memory"):
        found = plan.make_plan(about["memory"], plan.image_rows(contents.elf), len(contents.files or b""))
        yield from plan.render(found).rstrip().splitlines()
    yield "Segments"
    yield from segment_rows(contents.elf)
    if contents.files is not None:
        yield "Packed files"
        yield from file_rows(contents.files)


def printable(row: str) -> str:
    """As names of files and words of an image may hold what a terminal obeys."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in row)


def inspect(path: Path, key: Path | None) -> str:
    """The report; Altered if anything is not as it was recorded."""
    try:
        return "".join(f"{printable(row)}\n" for row in rows(path, key))
    except Failure as failure:
        raise type(failure)(f"{path}: {failure}") from None
