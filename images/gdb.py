"""Helpers for gdb, loaded by `ninja debug` (images/qemu.py --gdb). `help quire` lists them.

    quire-segments      the segments of the address space, in address order
    quire-segment ADDR  the segment that holds an address, with its statistics
    quire-fault         the page fault that is being served
    quire-start         run to the program's main

The image starts in 32-bit code at its load address, before its names mean anything: breakpoints are hardware ones,
which do not write into memory that is not mapped yet.
"""

from __future__ import annotations

import struct
from typing import Iterator

import gdb

FLAG_LETTERS = ((1, "r"), (2, "w"), (4, "x"))
MAGIC_ALIVE = 0x51534547  # VM_SEGMENT_ALIVE of vm/driver.h
REGIONS = 128  # VM_REGIONS of vm/space.h


def number(value: gdb.Value) -> int:
    return int(value.cast(gdb.lookup_type("unsigned long")))


def core_variable(file: str, name: str) -> gdb.Value:
    """A variable of the core by the file that defines it: the program may have one of the same name."""
    try:
        return gdb.parse_and_eval(f"'{file}'::{name}")
    except gdb.error as error:
        raise gdb.GdbError(f"{error} Start gdb with build/APP/APP.debug, as ninja debug does.") from error


def the_space() -> gdb.Value:
    """The address space that vm_space() answers, without calling it: the machine may be anywhere."""
    pointer = core_variable("vm/segments.c", "current_space")
    try:
        if number(pointer) != 0:
            return pointer.dereference()
    except gdb.MemoryError:
        pass  # the image is not mapped yet
    raise gdb.GdbError("the address space is not up yet: quire-start runs to main")


def in_tree(segment: gdb.Value) -> Iterator[gdb.Value]:
    """The segments of a slot's tree, in address order."""
    if number(segment):
        yield from in_tree(segment["child"][0])
        yield segment
        yield from in_tree(segment["child"][1])


def pointers(page: gdb.Value) -> list[int]:
    """The 512 words of a page."""
    return list(struct.unpack("<512Q", gdb.selected_inferior().read_memory(number(page), 4096)))


def segments() -> Iterator[gdb.Value]:
    """All segments, by the regions and slots of vm/segments.c: a slot is a tree, or a link of the free list (bit 0)."""
    segment_pointer = gdb.lookup_type("struct vm_segment").pointer()
    for index in range(REGIONS):
        region = the_space()["regions"][index]
        if number(region["only"]):
            yield from in_tree(region["only"]["root"])
        elif number(region["directory"]):
            for page in filter(None, pointers(region["directory"])):
                for slot in pointers(gdb.Value(page)):
                    if slot and not slot & 1:
                        yield from in_tree(gdb.Value(slot).cast(segment_pointer))


def describe(segment: gdb.Value) -> str:
    start, size, flags = (number(segment[field]) for field in ("start", "size", "flags"))
    letters = "".join(letter if flags & bit else "-" for bit, letter in FLAG_LETTERS)
    faults = "/".join(str(number(segment["faults"][i])) for i in range(3))
    dead = "" if number(segment["magic"]) == MAGIC_ALIVE else "  not alive!"
    name = segment["driver"]["name"].string()
    return f"{start:016x}-{start + size:016x} {size >> 10:>10} KiB {letters} {name:<10} faults {faults}{dead}"


class Quire(gdb.Command):
    """Commands for images made by Quire."""

    def __init__(self) -> None:
        super().__init__("quire", gdb.COMMAND_DATA, prefix=True)


class Segments(gdb.Command):
    """The segments of the address space in address order: range, size, protection, driver, pages of 4K/2M/1G."""

    def __init__(self) -> None:
        super().__init__("quire-segments", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        for segment in sorted(segments(), key=lambda segment: number(segment["start"])):
            print(describe(segment))


class Segment(gdb.Command):
    """quire-segment ADDRESS: the segment that holds the address, with its statistics."""

    def __init__(self) -> None:
        super().__init__("quire-segment", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument: str, from_tty: bool) -> None:
        if not argument:
            raise gdb.GdbError("quire-segment needs an address")
        address = number(gdb.parse_and_eval(argument))
        for segment in segments():
            start = number(segment["start"])
            if start <= address < start + number(segment["size"]):
                print(describe(segment))
                print(segment.dereference().format_string(max_depth=2))
                return
        print(f"{address:#x} is in no segment")


class Fault(gdb.Command):
    """The page fault that the CPU is serving: address, kind of access, whether an entry was there."""

    def __init__(self) -> None:
        super().__init__("quire-fault", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        fault = core_variable("vm/fault.c", "fault_record")
        if number(fault) == 0:
            print("no page fault is being served")
            return
        access = {1: "read", 2: "write", 4: "execution"}[number(fault["access"])]
        present = "forbidden by its entry" if fault["present"] else "no entry"
        print(f"{number(fault['address']):#x}: {access}, {present}")


class Start(gdb.Command):
    """Runs to the beginning of the program's main; of a program without names to where the core starts it."""

    def __init__(self) -> None:
        super().__init__("quire-start", gdb.COMMAND_RUNNING)

    def invoke(self, argument: str, from_tty: bool) -> None:
        try:
            gdb.execute("thbreak main")
        except gdb.error:
            gdb.execute("thbreak cpu_start_program")
        gdb.execute("continue")


def set_up() -> None:
    for command in (Quire, Segments, Segment, Fault, Start):
        command()
    gdb.execute("set breakpoint auto-hw on")
    gdb.execute("set print pretty on")
    gdb.execute("set confirm off")


set_up()
