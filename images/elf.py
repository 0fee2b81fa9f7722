"""
Existing programs: which ELF files can become an image. The rules are those of core/elf.c, which checks again at boot; here
every refusal says what to do instead, and what boots but will not work is told apart.
"""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import packages
from tool import Failure

PAGE = 4096
ADDRESS_END = 1 << 47
ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_X86_64 = 62
MACHINES = {3: "32-bit x86", 8: "MIPS", 20: "PowerPC", 21: "64-bit PowerPC", 22: "S/390", 40: "32-bit ARM",
            183: "64-bit ARM", 243: "RISC-V", 258: "LoongArch"}  # fmt: skip
SYSTEMS = {2: "NetBSD", 6: "Solaris", 9: "FreeBSD", 12: "OpenBSD"}
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_GNU_STACK = 1, 2, 3, 4, 0x6474E551
PF_X, PF_W = 1, 2
DT_NEEDED, DT_STRTAB, DT_FLAGS_1 = 1, 5, 0x6FFFFFFB
DF_1_PIE = 0x08000000
BASE = 0x555555554000
SEGMENTS_MAX = 16
ALIGNMENT_MAX = 1 << 30

# Beginnings of files that people take for programs of their machine.
OTHERS = {
    b"MZ": "a Windows (or UEFI) program",
    b"\xcf\xfa\xed\xfe": "a macOS program",
    b"\xca\xfe\xba\xbe": "Java or macOS code",
    b"!<arch>\n": "an archive of object files: link it into a program first",
    b"\x1f\x8b": "a compressed file: unpack it first",
    b"PK": "a zip file: unpack it first",
}


class Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int


class Program(NamedTuple):
    position_independent: bool
    executable_stack: bool
    segments: list[Segment]

    @property
    def base(self) -> int:
        """Where it lies with quire.aslr=off (core/load.c)."""
        loads = [segment.alignment for segment in self.segments if segment.kind == PT_LOAD]
        return BASE // max(PAGE, *loads) * max(PAGE, *loads) if self.position_independent else 0

    @property
    def private(self) -> int:
        """Bytes of memory, in whole pages, that its writable segments take; the others are shared with the file."""
        writable = [segment for segment in self.segments if segment.kind == PT_LOAD and segment.flags & PF_W]
        return sum(page_up(s.address + s.memory_size) - s.address // PAGE * PAGE for s in writable)


def page_up(value: int) -> int:
    return -(-value // PAGE) * PAGE


def check_header(data: bytes) -> str:
    """What is wrong with the file as a whole, behind "it is ", or nothing."""
    for magic, what in OTHERS.items():
        if data.startswith(magic):
            return what
    if data.startswith(b"#!"):
        words = data[2:256].split(b"\n")[0].decode(errors="replace").split()
        return (
            f"a script{f' for {words[0]}' if words else ''}: take a static build of its interpreter (busybox, bash-static), "
            "pack the script with --files, and name it behind --"
        )
    if not data.startswith(b"\x7fELF"):
        return "no ELF file, as Linux programs are: compile and link it first (-static), or make it an application (--new)"
    if len(data) < 64:
        return "truncated: no ELF file is that short"
    kind, machine, version = struct.unpack_from("<HHI", data, 16)
    if data[5] == 1 and machine in MACHINES:
        return f"a program for {MACHINES[machine]}, and images are for 64-bit x86"
    if data[4] != 2 or data[5] != 1 or machine != EM_X86_64:
        return "a program for another machine than 64-bit x86"
    if data[6] != 1 or version != 1:
        return "of an unknown version of ELF"
    if data[7] not in (0, 3):
        return f"a program for {SYSTEMS.get(data[7], 'another system')}, not for Linux"
    if kind == ET_REL:
        return "an object file: link it into a program first (cc -static)"
    if kind == ET_CORE:
        return "a core dump"
    if kind not in (ET_EXEC, ET_DYN):
        return f"of the unknown ELF type {kind}"
    return ""


def read_segments(data: bytes) -> list[Segment] | str:
    start, size, count = struct.unpack_from("<32xQ14xHH", data)
    if size != 56 or count == 0:
        return "no program: it has no program headers"
    if start + count * size > len(data):
        return "truncated: its program headers reach past its end"
    fields = [struct.unpack_from("<IIQQQQQQ", data, start + index * size) for index in range(count)]
    return [Segment(kind, flags, offset, address, *rest) for kind, flags, offset, address, _, *rest in fields]


def dynamic_entries(data: bytes, segments: list[Segment]) -> dict[int, list[int]]:
    """The values of each tag of the dynamic section."""
    found: dict[int, list[int]] = {}
    for segment in segments:
        if segment.kind == PT_DYNAMIC:
            section = data[segment.offset : segment.offset + segment.file_size]
            for tag, value in struct.iter_unpack("<QQ", section[: len(section) // 16 * 16]):
                if tag == 0:
                    break
                found.setdefault(tag, []).append(value)
    return found


def text_at(data: bytes, offset: int) -> str:
    return data[offset : offset + 256].split(b"\0")[0].decode(errors="replace")


def needed_libraries(data: bytes, segments: list[Segment]) -> list[str]:
    entries = dynamic_entries(data, segments)
    strings = next(iter(entries.get(DT_STRTAB, [])), 0)
    for segment in segments:
        if segment.kind == PT_LOAD and segment.address <= strings < segment.address + segment.file_size:
            offset = strings - segment.address + segment.offset
            return [text_at(data, offset + value) for value in entries.get(DT_NEEDED, [])]
    return []


def static_package(path: Path) -> str:
    """Debian's package that has the same program linked statically, if its name is the obvious one; or nothing."""
    owner = packages.owner(str(path)) or packages.owner(str(path.resolve()))
    for name in dict.fromkeys(f"{word}-static" for word in (owner, path.name) if word):
        if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) and packages.is_known(name):
            return name
    return ""


def refuse_dynamic(path: Path, data: bytes, segments: list[Segment]) -> str:
    loader = next((text_at(data, s.offset) for s in segments if s.kind == PT_INTERP), "")
    libraries = needed_libraries(data, segments)
    why = f"a dynamically linked program: it wants the interpreter {loader}" + (
        f" and {', '.join(libraries)}" if libraries else ""
    )
    package = static_package(path)
    hint = f"; Debian has it linked statically in the package {package}" if package else ""
    return f"{why}, and an image holds one static program. Link it with -static (or -static-pie){hint}"


def check_loads(loads: list[Segment], size: int) -> str:
    end = 0
    if not loads:
        return "no program: it has nothing to load"
    if any(s.address >= 1 << 63 for s in loads):
        return "a kernel or an image already: it boots by itself (qemu-system-x86_64 -kernel FILE)"
    if len(loads) > SEGMENTS_MAX:
        return f"a program of {len(loads)} segments, and {SEGMENTS_MAX} is the most"
    for s in loads:
        if s.offset + s.file_size > size:
            return f"truncated: it has {size} bytes, and a segment ends at {s.offset + s.file_size}"
        if s.file_size > s.memory_size or s.address + s.memory_size > ADDRESS_END or (s.address - s.offset) % PAGE:
            return "damaged: a segment does not fit its place in memory"
        if s.alignment > ALIGNMENT_MAX or s.alignment & (s.alignment - 1):
            return "damaged: the alignment of a segment is no power of two, or too large"
        if s.flags & PF_W and s.flags & PF_X:
            return "a program with a segment that is writable and executable at once (link it without -N and --omagic)"
        if s.address // PAGE * PAGE < end:
            return "a program whose segments share a page or are out of order (link it without --nmagic)"
        end = page_up(s.address + s.memory_size)
    return ""


def check(path: Path, data: bytes) -> Program | str:
    """The program, or what is wrong with it, to be put behind "it is "."""
    wrong = check_header(data)
    if wrong:
        return wrong
    segments = read_segments(data)
    if isinstance(segments, str):
        return segments
    kind, entry = struct.unpack_from("<16xH6xQ", data)
    loads = [segment for segment in segments if segment.kind == PT_LOAD and segment.memory_size]
    tags = dynamic_entries(data, segments)
    if any(segment.kind == PT_INTERP for segment in segments):
        return refuse_dynamic(path, data, segments)
    starts = any(s.flags & PF_X and s.address <= entry < s.address + s.memory_size for s in loads)
    pie = any(value & DF_1_PIE for value in tags.get(DT_FLAGS_1, []))
    wrong = check_loads(loads, len(data))
    if wrong:
        return wrong
    if kind == ET_DYN and not pie and (not starts or DT_NEEDED in tags or 14 in tags):
        return "a shared library, not a program"
    if DT_NEEDED in tags:
        return f"a program that needs shared libraries ({', '.join(needed_libraries(data, segments))}): link it with -static"
    if not starts:
        return "a program that begins where it has no executable segment"
    stack = any(segment.kind == PT_GNU_STACK and segment.flags & PF_X for segment in segments)
    return Program(kind == ET_DYN, stack, segments)


def read_program(path: Path) -> Program:
    """The program in the file; a Failure of one line says why it cannot become an image."""
    if path.is_dir():
        raise Failure(f"{path} is a folder, not a program")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    result = check(path, data)
    if isinstance(result, str):
        raise Failure(f"{path} cannot become an image: it is {result}")
    return result
