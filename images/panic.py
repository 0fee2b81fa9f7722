"""Reads a crash report back: what core/panic.c and arch/x86_64/trap.c printed, from a file with a console's output.

    quire: panic: CAUSE                                 or "program:"
    quire: image NAME, build ID[, program entered at ADDRESS]
    quire: registers (CPU)
    quire:   NAME VALUE NAME VALUE ...
    quire: backtrace (...)
    quire:   ADDRESS [?] [NAME+OFFSET]                  innermost first: the instruction (rip), then return addresses
    quire:   the same N times more
    quire: the address ...                              and the view of its driver
    quire: segments
    quire:   START-END SIZE KiB rwx DRIVER ...
    quire:   and N more
    quire: CPU N: ...                                   what other CPUs ran when they were stopped: the instruction
    quire:   ADDRESS [?] [NAME+OFFSET]                  and what it returns to
    quire: thread N (NAME): ...                         the same of threads that did not run, in the program
    quire: and N more threads
    quire: the list of threads ...
    quire: and while this was reported: panic: CAUSE    in place of all that would have followed

A report ends where a line does not begin like that. What the program printed around it, the ends of lines and the
control characters of a serial line do not matter. llvm-symbolizer finds functions and lines, of inlined calls too.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from console import readable
from gdb_constants import C
from symbols import read_build
from tool import Failure, read_input, require

ROOT = Path(__file__).resolve().parent.parent

LINE = "quire: "
FIRST = re.compile(r"quire: (panic|program): (.*)")
SECOND = re.compile(r"quire: and while this was reported: (.*)")
BUILD = re.compile(r"quire: image (.+), build ([0-9a-f]{16})(?:, program entered at (0x[0-9a-f]+))?")
CPU = re.compile(r"quire: registers \((.*)\)")
REGISTER = re.compile(r"([a-z][a-z0-9]*) +([0-9a-f]+)(?: |$)")
PLACE = re.compile(r"quire:   (0x[0-9a-f]+)( \?)?(?: (\S+)\+0x[0-9a-f]+)?")
REPEATED = re.compile(r"quire:   the same (\d+) times more")
SEGMENT = re.compile(r"quire:   ([0-9a-f]{16})-([0-9a-f]{16}) +\d+ KiB ([r-][w-][x-]) (\S+) .*?faults \d+ *(.*)")
OTHER = re.compile(r"quire: ((?:CPU \d+: |thread \d+ \(|and \d+ more threads|the list of threads ).*)")
NOT_ADDRESSES = ("rflags", "error", "cr3")


class Place(NamedTuple):
    address: int
    certain: bool
    name: str  # as the image knew it; empty if it did not


class Range(NamedTuple):
    start: int
    end: int
    text: str


@dataclass
class Other:
    """Another CPU, or a thread."""

    title: str
    trace: list[Place] = field(default_factory=list)

    @property
    def instruction(self) -> int | None:
        return self.trace[0].address if self.trace else None


@dataclass
class Report:
    subject: str
    cause: str
    name: str = ""
    build: int | None = None
    entered: int | None = None  # the existing program
    cpu: str = ""
    registers: dict[str, int] = field(default_factory=dict)
    trace: list[Place | int] = field(default_factory=list)  # a number: so many times more
    notes: list[str] = field(default_factory=list)
    segments: list[Range] = field(default_factory=list)
    segments_missing: str = ""
    others: list[Other] = field(default_factory=list)
    broke: str = ""  # why the report did not come to its end

    def take(self, line: str) -> None:
        """One more line of it."""
        if match := SECOND.fullmatch(line):
            self.broke = match[1]
        elif match := BUILD.fullmatch(line):
            self.name, self.build = match[1], int(match[2], 16)
            self.entered = int(match[3], 16) if match[3] else None
        elif match := CPU.fullmatch(line):
            self.cpu = match[1]
        elif match := SEGMENT.fullmatch(line):
            text = f"{match[4]} {match[3]}" + (f" ({match[5]})" if match[5] else "")
            self.segments.append(Range(int(match[1], 16), int(match[2], 16), text))
        elif match := re.fullmatch(r"quire:   and (\d+) more", line):
            self.segments_missing = match[1]
        elif match := REPEATED.fullmatch(line):
            self.trace.append(int(match[1]))
        elif match := OTHER.fullmatch(line):
            self.others.append(Other(match[1]))
        elif match := PLACE.fullmatch(line):
            (self.others[-1] if self.others else self).trace.append(Place(int(match[1], 16), not match[2], match[3] or ""))
        elif line.startswith(LINE + "  ") and self.cpu and not self.trace and not self.segments:
            self.registers |= {name: int(value, 16) for name, value in REGISTER.findall(line.removeprefix(LINE))}
        elif line.startswith((LINE + "the address ", LINE + "  segment of ", LINE + "  driver ")):
            self.notes.append(line.removeprefix(LINE))


def parse(data: bytes) -> list[Report]:
    """All reports in what a console showed."""
    reports: list[Report] = []
    open_one = False
    for line in readable(data).decode(errors="replace").split("\n"):
        line = line.rstrip()
        if match := FIRST.fullmatch(line):
            reports.append(Report(match[1], match[2]))
            open_one = True
        elif open_one and line.startswith(LINE):
            reports[-1].take(line)
        elif line:
            open_one = False
    return [report for report in reports if report.cpu or report.build is not None or report.broke]


# ---- functions and lines ----


class Line(NamedTuple):
    """A function at an address, or one that was inlined there."""

    function: str
    file: str
    line: int


@dataclass
class Binary:
    """A file with symbols, what was added to its addresses, and where it lies."""

    path: Path
    base: int
    start: int
    end: int
    options: tuple[str, ...] = ()


def entry_of(program: Path) -> int:
    try:
        return struct.unpack_from("<24xQ", read_input(program))[0]
    except struct.error as error:
        raise Failure(f"{program}: damaged ELF file: {error}") from error


def binaries_of(report: Report, image: Path, program: Path | None) -> list[Binary]:
    # Sources of the image are named from the project's folder, which need not be where it was compiled.
    found = [Binary(image, 0, C["IMAGE_BASE"], 1 << 64, ("--relativenames",))]
    if program and report.entered is not None:
        found.append(Binary(program, report.entered - entry_of(program), 0, C["LOW_HALF_END"]))
    return found


def symbolise(binary: Binary, addresses: list[int]) -> dict[int, list[Line]]:
    """For each address the function it is in, those inlined there before it."""
    words = [f"{address - binary.base:#x}" for address in addresses]
    command = [require("llvm-symbolizer"), "--output-style=JSON", *binary.options, f"--obj={binary.path}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answers = json.loads(done.stdout)
    except ValueError as error:
        raise Failure(f"llvm-symbolizer: {done.stderr.strip() or error}") from error
    found = {}
    for address, answer in zip(addresses, answers):
        found[address] = [Line(symbol["FunctionName"], symbol["FileName"], symbol["Line"])
                          for symbol in answer.get("Symbol", []) if symbol["FunctionName"]]  # fmt: skip
    return found


def shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def source_line(line: Line) -> str:
    """The text of the line; empty if the source is not here."""
    try:
        return (ROOT / line.file).read_text(errors="replace").split("\n")[line.line - 1].strip() if line.line else ""
    except (OSError, IndexError):
        return ""


# ---- for people ----


def place_of(report: Report, address: int) -> str:
    for segment in report.segments:
        if segment.start <= address < segment.end:
            return f"{address - segment.start:#x} bytes into {segment.start:#x}-{segment.end:#x} {segment.text}"
    if 0 <= address - C["PHYSMAP_BASE"] < C["PHYSMAP_SIZE"]:
        return f"the map of RAM, physical {address - C['PHYSMAP_BASE']:#x}"
    return ""


def register_rows(report: Report) -> list[str]:
    rows = []
    for name, value in report.registers.items():
        place = place_of(report, value) if name not in NOT_ADDRESSES else ""
        rows.append(f"  {name:<6} {value:016x}  {place}".rstrip())
    return rows


def traces_of(report: Report) -> list[tuple[list[Place | int], int | None]]:
    """Each with the instruction that it begins with, if it does: all others are where a function returns to."""
    own = (report.trace, report.registers.get("rip"))
    return [own, *((other.trace, other.instruction) for other in report.others)]


def looked_up(index: int, place: Place, instruction: int | None) -> int:
    """A call may be the last instruction of its function, and its line is that of its last byte."""
    return place.address - (index > 0 or place.address != instruction)


def find_lines(report: Report, image: Path, program: Path | None) -> dict[int, list[Line]]:
    wanted = [looked_up(index, place, instruction) for trace, instruction in traces_of(report)
              for index, place in enumerate(trace) if isinstance(place, Place)]  # fmt: skip
    found: dict[int, list[Line]] = {}
    for binary in binaries_of(report, image, program):
        inside = [address for address in wanted if binary.start <= address < binary.end and address >= binary.base]
        found |= symbolise(binary, inside) if inside else {}
    return found


def line_rows(head: str, line: Line) -> list[str]:
    where = f" at {shown(line.file)}:{line.line}" if line.file and line.line else ""
    source = source_line(line)
    rows = [f"{head}{line.function}{where}"]
    return [*rows, f"{'':>6}{line.line:>6}    {source}"] if source else rows


def best_lines(place: Place, found: list[Line]) -> list[Line]:
    """Without debug data a symbol is all there is: the image chose among those of one address, if no C++ name is in it."""
    if found and (found[0].file or not place.name or place.name.startswith("_Z")):
        return found
    return [Line(place.name or "??", "", 0)]


def trace_rows(trace: list[Place | int], instruction: int | None, lines: dict[int, list[Line]]) -> list[str]:
    rows, number = [], 0
    for index, place in enumerate(trace):
        if isinstance(place, int):
            rows.append(f"  the same {place} times more")
            number += place
            continue
        found = best_lines(place, lines.get(looked_up(index, place, instruction), []))
        guess = "" if place.certain else "perhaps "
        rows += line_rows(f"  #{number:<3} {place.address:#018x}  {guess}", found[0])
        for line in found[1:]:
            rows += line_rows(f"{'':>26}inlined in ", line)
        number += 1
    return rows


def render(report: Report, which: str, lines: dict[int, list[Line]]) -> str:
    build = "" if report.build is None else f": image {report.name}, build {report.build:016x}"
    rows = [f"{which}{build}", f"{report.subject}: {report.cause}"]
    if report.build is None:
        rows.append("(it ended before it said of which build it is: names and lines may be wrong)")
    rows += report.notes
    if report.registers:
        rows += [f"registers ({report.cpu})", *register_rows(report)]
    if report.trace:
        rows += ["backtrace", *trace_rows(report.trace, report.registers.get("rip"), lines)]
    for other in report.others:
        rows += [other.title, *trace_rows(other.trace, other.instruction, lines)]
    if report.segments_missing:
        rows.append(f"(the map of segments in the report is cut: {report.segments_missing} are not in it)")
    if report.broke:
        rows.append(f"while this was reported: {report.broke}")
    return "\n".join(rows) + "\n"


def read_back(file: Path, number: int | None, image: Path, program: Path | None) -> str:
    """
    The report in the file, for people: the last one, or the one of the number (from 1). image: the image's file with
    debug data; program: of an image with an existing program, its file. Failure if the report is of another build.
    """
    reports = parse(read_input(file))
    if not reports:
        raise Failure(f"{file} holds no crash report: save what the console printed, with the lines that begin quire:")
    if number is not None and not 1 <= number <= len(reports):
        raise Failure(f"{file} holds {len(reports)} report{'s'[: len(reports) != 1]}: there is no number {number}")
    which = number or len(reports)
    report = reports[which - 1]
    check_build(report, file, image)
    return render(report, f"report {which} of {len(reports)}", find_lines(report, image, program))


def check_build(report: Report, file: Path, image: Path) -> None:
    try:
        build = read_build(read_input(image))
    except struct.error as error:
        raise Failure(f"{image}: damaged ELF file: {error}") from error
    if build is None:
        raise Failure(f"{image} is no image with symbols: take build/APP/APP.debug")
    if report.build is not None and report.build != build:
        raise Failure(
            f"{file}: the report is of image {report.name}, build {report.build:016x}, and {image} is build "
            f"{build:016x}: take the files that it was made with"
        )
