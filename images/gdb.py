"""Commands for gdb, loaded by `ninja debug` (images/qemu.py --gdb). `help quire` lists them (docs/debugging.md).

The image starts in 32-bit code at its load address, before its names mean anything: breakpoints are hardware ones,
which do not write into memory that is not mapped yet.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import gdb

sys.path.append(str(Path(__file__).resolve().parent))  # last: this file must not stand for gdb's own module
sys.dont_write_bytecode = True

import panic  # noqa: E402
from gdb_core import Command, Segment, Segments, number, per_cpu, size_text  # noqa: E402
from gdb_memory import Frames, Spans, Statistics, Walk, segment_line  # noqa: E402
from gdb_threads import AllThreads, OneThread, set_up as set_up_threads  # noqa: E402
from tool import Failure  # noqa: E402


def segment_row(segment: Segment) -> str:
    faults = "/".join(map(str, segment.faults))
    return (
        f"{segment.start:016x}-{segment.end:016x} {size_text(segment.size):>10} {segment.protection} "
        f"{segment.driver_name:<10} faults {faults}"
    )


class AllSegments(Command):
    """quire-segments: the segments in address order: range, size, protection, driver, faults served with 4K/2M/1G."""

    name = "quire-segments"

    def run(self, argument: str) -> None:
        segments = Segments()
        for segment in segments.all:
            print(segment_row(segment))
        print(f"sum: {len(segments.all)} segments, {size_text(sum(segment.size for segment in segments.all))}")
        segments.print_damage()


class OneSegment(Command):
    """quire-segment ADDRESS: the segment that holds an address, with its statistics."""

    name = "quire-segment"
    completion = gdb.COMPLETE_EXPRESSION

    def run(self, argument: str) -> None:
        address, segments = self.address(argument), Segments()
        segment = segments.find(address)
        if segment is None:
            print(f"{address:#x}: {segment_line(segments, address)}")
        else:
            print(segment_row(segment))
            print(segments.structure(segment).format_string(max_depth=2))
        segments.print_damage()


class Fault(Command):
    """quire-fault: the page fault that a driver is serving: address, kind of access, whether an entry was there."""

    name = "quire-fault"

    def run(self, argument: str) -> None:
        segments = Segments()
        fault = per_cpu("vm/fault.c", "fault_record")
        if number(fault) == 0:
            print("no page fault is being served")
            return
        access = {1: "read", 2: "write", 4: "execution"}.get(number(fault["access"]), "damaged record")
        present = "forbidden by its entry" if fault["present"] else "no entry"
        address = number(fault["address"])
        print(f"{address:#x}: {access}, {present}")
        print(segment_line(segments, address))


class Start(Command):
    """quire-start: run to the program's main; of a program without names to where the core starts it."""

    name = "quire-start"
    kind = gdb.COMMAND_RUNNING

    def run(self, argument: str) -> None:
        try:
            gdb.execute("thbreak main")
        except gdb.error:
            gdb.execute("thbreak cpu_start_program")
        gdb.execute("continue")


class Report(Command):
    """quire-report FILE [--number N]: the crash report in a saved console, with source lines; no machine is needed.

    Of several reports in the file the last one is taken, or the one of that number."""

    name = "quire-report"
    completion = gdb.COMPLETE_FILENAME

    def run(self, argument: str) -> None:
        try:
            words = shlex.split(argument)
        except ValueError as error:
            raise Failure(f"{error}: {argument}") from error
        if not (len(words) == 1 or len(words) == 3 and words[1] == "--number" and words[2].isdecimal()):
            raise Failure("type   quire-report FILE   or   quire-report FILE --number N")
        image = gdb.current_progspace().filename
        if image is None:
            raise Failure("start gdb with build/APP/APP.debug, as ninja debug does")
        files = [Path(objfile.filename) for objfile in gdb.objfiles() if (objfile.filename or "").startswith("/")]
        program = next((file for file in files if file.resolve() != Path(image).resolve()), None)
        which = int(words[2]) if len(words) == 3 else None
        print(panic.read_back(Path(words[0]).expanduser(), which, Path(image), program), end="")


class Quire(gdb.Command):
    def __init__(self, commands: list[type[Command]]) -> None:
        lines = (command.__doc__.split("\n")[0].rstrip(".").split(": ", 1) for command in commands)
        table = "\n".join(f"{name:<34} {text}" for name, text in lines)
        self.__doc__ = f"Commands for images made by Quire.\n\n{table}"
        super().__init__("quire", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        gdb.execute("help quire")


def set_up() -> None:
    commands = [Start, AllSegments, OneSegment, Fault, Walk, Frames, Spans, Statistics, AllThreads, OneThread, Report]
    for command in commands:
        command()
    Quire(commands)
    set_up_threads()
    gdb.execute("set breakpoint auto-hw on")
    gdb.execute("set breakpoint pending off")  # there are no shared libraries to come
    gdb.execute("set print pretty on")
    gdb.execute("set confirm off")


set_up()
