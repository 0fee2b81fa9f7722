#!/usr/bin/env python3
"""
Chooses the system calls of an image: those that its program can make (core/linux/calls.def has them all), so that what
nobody can call is not linked. Writes them as assembly for core/linux/table.c.

What a program can make is read from its code: it is linked once, and of every section that the linker kept the numbers
of its `syscall` instructions are found (disassembly.py). Where a number cannot be told the image gets all calls. So it
does without a libc, as --program, and where the manifest says calls = "all"; calls = ["files"] gives exactly base and
these parts. A call brings its initialisation and its part's.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, NamedTuple

import disassembly
from tool import Failure, read_input, run_main, write_output

LIST = Path("core/linux/calls.def")
# Of the core's symbols: no name of a C program has a dot.
PREFIX = "quire."
THREADS = "threads"  # the part that needs a core which is compiled for several CPUs
LINE = re.compile(r"(PART|INIT|CALL|NONE|UNLOCKED)\((.*)\)")
UNLOCKED = 0x8000  # with the number of a call: core/linux/table.h
MAPPED = re.compile(r" *[0-9a-f]+ +[0-9a-f]+ +[0-9a-f]+ +\d+ {9}(\S.*):\(([^()]+)\)")
SHF_EXECINSTR = 4

# Code of the C libraries whose numbers are not what its instructions show: archive member, section: the numbers.
KNOWN = {
    # musl
    ("__libc_start_main.lo", ".text.__init_libc"): set(),  # poll and open: only in a program that is setuid
    ("__stdio_read.lo", ".text.__stdio_read"): {0, 19},  # computed: read or readv
    ("__syscall_cp.lo", ".text.sccp"): set(),  # the callers of __syscall_cp and syscall say it
    ("pthread_cancel.lo", ".text.__syscall_cp_c"): set(),
    ("syscall_cp.lo", ".text"): set(),
    ("syscall.lo", ".text.syscall"): set(),
    ("setxid.lo", ".text.do_setxid"): {62, 39, 105, 106, 113, 114, 117, 119},
    ("aio.lo", ".text.cleanup"): {129, 202, 186, 39},
    ("fchmodat.lo", ".text.fchmodat"): {257, 3, 262, 268, 90},
    ("posix_spawn.lo", ".text.child"): {1, 3, 13, 14, 32, 33, 72, 80, 81, 102, 104, 105, 106, 109, 112, 2, 59, 60, 144},
    # glibc
    ("syscall.o", ".text"): set(),
    ("arc4random.o", ".text"): {271, 318},
    ("dl-thread_gscope_wait.o", ".text"): {202},
    ("nptl_setxid.o", ".text"): {202, 234, 105, 106, 113, 114, 116, 117, 119},
}


class Call(NamedTuple):
    number: int
    name: str
    function: str = ""  # empty: ENOSYS
    part: str = ""
    note: str = ""  # what is missing of it; of one that is ENOSYS, why


class Part(NamedTuple):
    name: str
    summary: str


@dataclass
class Interface:
    """calls.def."""

    parts: list[Part]
    inits: list[tuple[str, str]]  # part or call, function
    calls: list[Call]
    unlocked: set[str]  # names of calls

    @staticmethod
    def read(path: Path = LIST) -> Interface:
        result = Interface([], [], [], set())
        for number, row in enumerate(read_input(path).decode().splitlines(), 1):
            match = LINE.fullmatch(row)
            if not match:
                if row.startswith(("PART", "INIT", "CALL", "NONE", "UNLOCKED")):
                    raise Failure(f"{path}:{number}: a line that is not understood")
                continue
            fields = [field.strip().strip('"') for field in match[2].split(",", {"CALL": 4, "NONE": 2, "UNLOCKED": 0}.get(match[1], 1))]
            if match[1] == "PART":
                result.parts.append(Part(*fields))
            elif match[1] == "INIT":
                result.inits.append((fields[0], fields[1]))
            elif match[1] == "UNLOCKED":
                result.unlocked.add(fields[0])
            elif match[1] == "CALL":
                result.calls.append(Call(int(fields[0]), *fields[1:]))
            else:
                result.calls.append(Call(int(fields[0]), fields[1], note=fields[2]))
        result.check(path)
        return result

    def check(self, path: Path) -> None:
        names = {part.name for part in self.parts}
        for call in self.calls:
            if call.function and call.part not in names:
                raise Failure(f"{path}: {call.name}: there is no part {call.part}")
        for owner, function in self.inits:
            if owner not in names and owner not in {call.name for call in self.there}:
                raise Failure(f"{path}: {function}: there is no part or call {owner}")
        if unknown := self.unlocked - {call.name for call in self.there}:
            raise Failure(f"{path}: there is no call {', '.join(sorted(unknown))} that could be unlocked")
        numbers = [call.number for call in self.calls]
        if numbers != sorted(set(numbers)):
            raise Failure(f"{path}: the calls are not in the order of their numbers")

    @property
    def there(self) -> list[Call]:
        return [call for call in self.calls if call.function]

    def functions(self) -> list[str]:
        """What the core shows to the generated tables."""
        return sorted({call.function for call in self.there} | {function for _, function in self.inits})


def archive_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, contents) of an ar archive of the GNU kind."""
    long_names, at = b"", 8
    while at + 60 <= len(data):
        name, size = data[at : at + 16].decode().rstrip(), int(data[at + 48 : at + 58])
        contents = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if name == "//":
            long_names = contents
        elif name not in ("/", "/SYM64/"):
            if name.startswith("/"):
                start = int(name[1:])
                name = long_names[start : long_names.index(b"/\n", start)].decode()
            yield name.rstrip("/"), contents


def code_sections(elf: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, contents) of the sections that hold instructions."""
    start, size, count, names_index = (
        int.from_bytes(elf[at : at + length], "little") for at, length in ((40, 8), (58, 2), (60, 2), (62, 2))
    )

    def field(index: int, offset: int, length: int) -> int:
        return int.from_bytes(elf[start + index * size + offset :][:length], "little")

    names = field(names_index, 24, 8)
    for index in range(count):
        if field(index, 8, 8) & SHF_EXECINSTR:
            name = names + field(index, 0, 4)
            offset, length = field(index, 24, 8), field(index, 32, 8)
            yield elf[name : elf.index(b"\0", name)].decode(), elf[offset : offset + length]


def may_call(elf: bytes, sections: set[str]) -> bool:
    """False if none of these sections can hold a system call: most need not be disassembled."""
    if any(b"\0" + name.encode() + b"\0" in elf for name in disassembly.WRAPPERS):
        return True
    return any(b"\x0f\x05" in code for name, code in code_sections(elf) if name in sections)


def kept_sections(text: str) -> dict[str, dict[str, set[str]]]:
    """From the linker's map: input file, member of it ("" if it is no archive), sections."""
    kept: dict[str, dict[str, set[str]]] = {}
    for row in text.splitlines():
        match = MAPPED.fullmatch(row)
        if match:
            archive = re.fullmatch(r"(.+)\(([^()]+)\)", match[1])
            path, member = (archive[1], archive[2]) if archive else (match[1], "")
            kept.setdefault(path, {}).setdefault(member, set()).add(match[2])
    return kept


def made_by(objects: list[tuple[str, bytes, set[str]]]) -> set[int]:
    """Numbers of the calls in these sections of (name, ELF file, sections)s, with UNKNOWN if there are others."""
    made: set[int] = set()
    if not objects:
        return made
    with tempfile.TemporaryDirectory(prefix="quire-calls-") as name:
        folder = Path(name)
        for index, (_, elf, _) in enumerate(objects):
            (folder / f"{index}").write_bytes(elf)
        command = ["objdump", "-dr", "--no-show-raw-insn", *(str(index) for index in range(len(objects)))]
        listing = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    for (index, section), code in disassembly.read_listing(listing).items():
        member, _, sections = objects[int(index)]
        if section in sections:
            known = KNOWN.get((member, section))
            made |= code.calls() if known is None else known
    return made


def reachable(link_map: Path, ignored: set[str]) -> set[int]:
    """Numbers that the linked program can use, with UNKNOWN if that cannot be told. ignored: the core's own objects."""
    objects = []
    for path, members in kept_sections(read_input(link_map).decode()).items():
        if path in ignored or path == "<internal>":
            continue
        if not Path(path).is_file():
            return {disassembly.UNKNOWN}  # made by the linker: link-time optimisation
        data = read_input(Path(path))
        inside = archive_members(data) if data.startswith(b"!<arch>\n") else [("", data)]
        for member, elf in inside:
            sections = members.get(member)
            if sections and elf.startswith(b"\x7fELF") and may_call(elf, sections):
                objects.append((member, elf, sections))
    return made_by(objects)


class Selection(NamedTuple):
    linked: list[Call]
    absent: list[Call]  # that are named when the program makes one
    parts: list[str]
    why: str


def select(interface: Interface, parts: list[str] | None, needed: list[str], made: set[int] | None) -> Selection:
    """parts: what the manifest says; needed: parts that the image must have; made: what the program can make."""
    names = [part.name for part in interface.parts]
    if parts is not None:
        chosen = {"base", *parts, *needed}
        linked, why = [call for call in interface.there if call.part in chosen], "as app.toml says"
    elif made is None or disassembly.UNKNOWN in made:
        chosen, linked = set(names), interface.there
        why = "all of them" if made is None else "all: the program makes calls whose numbers cannot be told"
    else:
        linked = [call for call in interface.there if call.number in made or call.part in needed]
        chosen, why = {"base", *needed, *(call.part for call in linked)}, "what the program can make"
    absent = [call for call in interface.calls if call not in linked]
    if why.startswith("what"):
        absent = [call for call in absent if call.number in made]
    return Selection(linked, absent, [name for name in names if name in chosen], why)


def assembly(interface: Interface, selection: Selection) -> str:
    """The tables of core/linux/table.h."""
    rows = ["/* Written by images/calls.py. */", '    .section .rodata.linux_calls, "a", @progbits']

    def label(name: str) -> None:
        rows.extend([f"    .globl {name}", f"    .type {name}, @object", f"{name}:"])

    rows.append("    .balign 4")
    label("linux_inits")
    present = {*selection.parts, *(call.name for call in selection.linked)}
    for owner, function in interface.inits:
        if owner in present:
            rows.append(f"    .long {PREFIX}{function} - .")
    rows.append("    .long 0")
    label("linux_calls")
    for call in selection.linked:
        mark = UNLOCKED if call.name in interface.unlocked else 0
        rows += [f"    .long {PREFIX}{call.function} - .", f"    .short {call.number | mark}"]
    rows.append("    .long 0")
    label("linux_absent_calls")
    for call in selection.absent:
        reason = "" if call.function else call.note
        rows += [f"    .short {call.number}", f'    .asciz "{call.name}", "{call.part}", "{reason}"']
    rows += ["    .short -1", '    .section .note.GNU-stack, "", @progbits', ""]
    return "\n".join(rows)


def write_core_choice(options: argparse.Namespace, selection: Selection) -> None:
    """The core for the linker, and for ninja as what the links need besides."""
    core = options.cores[THREADS in selection.parts]
    write_output(options.core, f"INPUT({core})\n".encode())
    rows = ["ninja_dyndep_version = 1", *(f"build {link}: dyndep | {core}" for link in options.links), ""]
    write_output(options.core_dependency, "\n".join(rows).encode())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Chooses the system calls of an image.")
    parser.add_argument("--symbols", type=Path, help="write how the core's functions are renamed, and nothing else")
    parser.add_argument("--map", type=Path, help="map of the program linked with everything")
    parser.add_argument("--ignore", nargs="*", default=[], help="inputs in the map that are the core's")
    parser.add_argument("--parts", help="parts instead of what the program can make, separated by commas")
    parser.add_argument("--need", default="", help="parts that the image must have, separated by commas")
    parser.add_argument("--output", type=Path, help="the tables, as assembly")
    parser.add_argument("--report", type=Path, help="what was chosen, for configure.py")
    parser.add_argument("--cores", nargs=2, type=Path, help="the cores without and with threads")
    parser.add_argument("--core", type=Path, help="the one that the image is linked with, as a linker script")
    parser.add_argument("--core-dependency", type=Path, help="the same as ninja's dyndep")
    parser.add_argument("--links", nargs="*", default=[], help="what is linked with it")
    options = parser.parse_args(arguments)
    interface = Interface.read()
    if options.symbols:
        renamed = "".join(f"{function} {PREFIX}{function}\n" for function in interface.functions())
        write_output(options.symbols, renamed.encode())
        return 0
    parts = None if options.parts is None else options.parts.split(",")
    needed = [part for part in options.need.split(",") if part]
    made = reachable(options.map, set(options.ignore)) if options.map else None
    selection = select(interface, parts, needed, made)
    write_output(options.output, assembly(interface, selection).encode())
    if options.report:
        report = {"linked": len(selection.linked), "there": len(interface.there), "parts": selection.parts, "why": selection.why}
        write_output(options.report, (json.dumps(report) + "\n").encode())
    if options.core:
        write_core_choice(options, selection)
    return 0


if __name__ == "__main__":
    run_main("calls", main)
