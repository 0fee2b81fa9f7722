"""What the commands for gdb share: the machine's memory, page tables and segments, wherever it was stopped.

The machine may stand before paging, in the middle of an operation, or be damaged. So nothing of it is called, every
loop has a bound, and what does not fit is put down as damage and passed over.

Structures are read by their addresses, page tables by physical ones: QEMU shows physical memory at any time (its packet
PhyMemMode); another stub is asked for the permanent map of RAM instead, once that is there.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Iterator, NamedTuple

import gdb

from gdb_constants import C
from report import format_size
from tool import Failure

PAGE = 4096
ROOT_LEVEL = 3
CR0_PAGING = 1 << 31
EFER_LONG_MODE = 1 << 10
SEGMENTS_MAX = 1 << 20
TABLES_MAX = 1 << 16
DAMAGE_SHOWN = 10
PAGE_NAMES = ("4 KiB", "2 MiB", "1 GiB")


def number(value: gdb.Value) -> int:
    return int(value.cast(gdb.lookup_type("unsigned long")))


def size_text(size: int) -> str:
    return format_size(size) if size else "0"


def core_variable(file: str, name: str) -> gdb.Value:
    """A variable of the core by the file that defines it: the program may have one of the same name."""
    try:
        return gdb.parse_and_eval(f"'{file}'::{name}")
    except gdb.MemoryError:
        raise
    except gdb.error as error:
        raise Failure(f"{error} Start gdb with build/APP/APP.debug, as ninja debug does.") from error


def need_machine() -> None:
    if gdb.selected_thread() is None:
        raise Failure("there is no machine: ninja debug starts one, or type   target remote HOST:PORT")


def register(name: str) -> int:
    need_machine()
    value = gdb.parse_and_eval(f"${name}")
    if value.type.code == gdb.TYPE_CODE_VOID:
        raise Failure(f"the machine's stub does not show the register {name}: QEMU 4.1 and later do")
    return number(value)


def paging_is_on() -> bool:
    return bool(register("cr0") & CR0_PAGING and register("efer") & EFER_LONG_MODE)


def per_cpu(file: str, name: str) -> gdb.Value:
    """The copy of the selected CPU (gdb's thread) of a per-CPU variable (core/percpu.h): gs holds the distance."""
    variable = core_variable(file, name)
    address = (number(variable.address) + register("gs_base")) % (1 << 64)
    return gdb.Value(address).cast(variable.type.pointer()).dereference()


def per_cpus(file: str, name: str) -> list[gdb.Value]:
    """The copies of all CPUs, where there may be several."""
    variable, offsets = core_variable(file, name), core_variable("arch/x86_64/cpu.c", "percpu_offsets")
    low, high = offsets.type.range()
    distances = {number(offsets[i]) for i in range(low, high + 1)}  # one that does not run is CPU 0's, 0
    address, pointer = number(variable.address), variable.type.pointer()
    return [gdb.Value((address + distance) % (1 << 64)).cast(pointer).dereference() for distance in distances]


def read(address: int, size: int) -> bytes:
    return bytes(gdb.selected_inferior().read_memory(address, size))


def words(address: int) -> tuple[int, ...]:
    """The 512 words of a page."""
    return struct.unpack("<512Q", read(address, PAGE))


# ---- physical memory and page tables ----


def packet(text: str) -> bytes:
    """The stub's answer; nothing if it does not know the packet, or is no remote one."""
    connection = gdb.selected_inferior().connection
    return connection.send_packet(text) if isinstance(connection, gdb.RemoteTargetConnection) else b""


@contextlib.contextmanager
def addresses(physical: bool) -> Iterator[bool]:
    """While it lasts, addresses of memory are physical, or are not; False if the stub cannot do that."""
    before = packet("qqemu.PhyMemMode")
    if before not in (b"0", b"1"):
        yield not physical
        return
    packet(f"Qqemu.PhyMemMode:{physical:d}")
    try:
        yield True
    finally:
        packet(f"Qqemu.PhyMemMode:{before.decode()}")


class Tables:
    """The page tables, as they were when each was first looked at. Where CPUs have roots of their own, the ones they have in common."""

    def __init__(self) -> None:
        cr3 = register("cr3") & C["PTE_ADDRESS"]
        self.root, self.source = cr3, "CR3"
        with contextlib.suppress(Failure):  # a core without threads has no such file
            file = "arch/x86_64/cpu_tables.c"
            if number(core_variable(file, "owners")) > 0:
                self.root = number(core_variable(file, "common_root")) - C["PHYSMAP_BASE"]
                self.source = f"common to all CPUs; CR3 {cr3:#x}"
        self._read: dict[int, tuple[int, ...]] = {}
        self._visits = 0

    def table(self, physical: int) -> tuple[int, ...]:
        if physical not in self._read:
            try:
                with addresses(physical=True) as works:
                    self._read[physical] = words(physical if works else C["PHYSMAP_BASE"] + physical)
            except gdb.MemoryError as error:
                raise Failure(f"the page table at physical {physical:#x} cannot be read") from error
        return self._read[physical]

    def leaves(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(address, level, entry) of the pages of [start, end), which lies in one half of the address space."""
        yield from self._leaves(self.root, ROOT_LEVEL, start, end)

    def _leaves(self, table: int, level: int, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        self._visits += 1
        if self._visits > TABLES_MAX:
            raise Failure(f"more than {TABLES_MAX} page tables are in use, or they are damaged: given up")
        size = 1 << level_shift(level)
        entries = self.table(table)[entry_index(start, level) : entry_index(end - 1, level) + 1]
        for index, entry in enumerate(entries):
            address = (start & -size) + index * size
            if entry and is_leaf(entry, level):
                yield address, level, entry
            elif entry:
                first, last = max(address, start), min(address + size, end)
                yield from self._leaves(entry & C["PTE_ADDRESS"], level - 1, first, last)

    def count(self, start: int, end: int) -> list[int]:
        """The pages of a range by size, as mmu_count counts them."""
        pages = [0] * len(PAGE_NAMES)
        for _, level, entry in self.leaves(start, end):
            pages[min(level, 2)] += bool(entry & C["PTE_ACCESSED"])
        return pages


def level_shift(level: int) -> int:
    return 12 + 9 * level


def entry_index(address: int, level: int) -> int:
    return address >> level_shift(level) & 511


def is_leaf(entry: int, level: int) -> bool:
    return level == 0 or bool(entry & C["PTE_LARGE"])


def leaf_frame(entry: int, level: int) -> int:
    return entry & C["PTE_ADDRESS"] & -(1 << level_shift(level))


# ---- segments ----


class Segment(NamedTuple):
    """A segment structure and its address."""

    address: int
    start: int
    size: int
    driver: int
    driver_name: str
    flags: int
    magic: int
    faults: tuple[int, ...]
    refused: int
    fallbacks: int

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def in_ram_map(self) -> bool:
        return 0 <= self.start - C["PHYSMAP_BASE"] < C["PHYSMAP_SIZE"]

    @property
    def protection(self) -> str:
        letters = (("VM_READ", "r"), ("VM_WRITE", "w"), ("VM_EXEC", "x"))
        return "".join(letter if self.flags & C[name] else "-" for name, letter in letters)

    def resident(self, tables: Tables) -> list[int]:
        """As segment_resident of vm/backing.c."""
        return [self.size // PAGE, 0, 0] if self.in_ram_map else tables.count(self.start, self.end)


def the_space() -> gdb.Value:
    """The address space that vm_space() answers, without calling it: the machine may be anywhere."""
    pointer = core_variable("vm/segments.c", "current_space")
    need_machine()
    try:
        if paging_is_on() and number(pointer) != 0:
            return pointer.dereference()
    except gdb.MemoryError:
        pass  # the image is not mapped yet
    raise Failure("the address space is not up yet: quire-start runs to main")


class Segments:
    """All segments in address order, and what is wrong with them. Found by regions and slots (vm/segments.c)."""

    def __init__(self) -> None:
        self.damage: list[str] = []
        self._names: dict[int, str] = {}
        self._seen: set[int] = set()
        space = the_space()
        self._pointer = space["last"].type
        found: list[Segment] = []
        for region in self._regions(space):
            for root in self._roots(*region):
                found += self._in_tree(root)
        self.all = sorted(found, key=lambda segment: segment.start)
        for low, high in zip(self.all, self.all[1:]):
            if low.end > high.start:
                self.damage.append(f"the segments at {low.start:#x} and {high.start:#x} overlap")

    def find(self, address: int) -> Segment | None:
        return next((segment for segment in self.all if segment.start <= address < segment.end), None)

    def above(self, address: int) -> Segment | None:
        return next((segment for segment in self.all if segment.start > address), None)

    def structure(self, segment: Segment) -> gdb.Value:
        return gdb.Value(segment.address).cast(self._pointer).dereference()

    def print_damage(self) -> None:
        for line in self.damage[:DAMAGE_SHOWN]:
            print(f"damaged, or in the middle of an operation: {line}")
        if len(self.damage) > DAMAGE_SHOWN:
            print(f"and {len(self.damage) - DAMAGE_SHOWN} more of that kind")

    def _regions(self, space: gdb.Value) -> Iterator[tuple[int, int]]:
        """The slot of each region that has one slot, and the directory of the others; 0: none."""
        try:
            regions = space["regions"]
            regions.fetch_lazy()
        except gdb.MemoryError as error:
            raise Failure(f"the address space at {space.address} cannot be read: {error}") from error
        for index in range(C["VM_REGIONS"]):
            yield number(regions[index]["only"]), number(regions[index]["directory"])

    def _roots(self, only: int, directory: int) -> Iterator[int]:
        """The roots of trees: a slot is one, or a link of the free list (bit 0), or nothing."""
        if only:
            yield from filter(None, self._words(only, 1))
            return
        for page in filter(None, self._words(directory, C["SLOTS_PER_PAGE"]) if directory else ()):
            yield from (slot for slot in self._words(page, C["SLOTS_PER_PAGE"]) if slot and not slot & 1)

    def _words(self, address: int, count: int) -> tuple[int, ...]:
        try:
            return struct.unpack(f"<{count}Q", read(address, 8 * count))
        except (gdb.MemoryError, OverflowError):
            self.damage.append(f"a table of slots at {address:#x} cannot be read")
            return ()

    def _in_tree(self, root: int) -> Iterator[Segment]:
        waiting = [root]
        while waiting and len(self._seen) < SEGMENTS_MAX:
            address = waiting.pop()
            if address in self._seen:
                self.damage.append(f"the segment structure at {address:#x} is linked twice")
                continue
            self._seen.add(address)
            try:
                value = gdb.Value(address).cast(self._pointer).dereference()
                value.fetch_lazy()
            except gdb.MemoryError:
                self.damage.append(f"a segment structure at {address:#x} cannot be read")
                continue
            segment = self._segment(address, value)
            if segment.magic != C["VM_SEGMENT_ALIVE"]:
                self.damage.append(f"the segment structure at {address:#x} is not alive")
                continue
            yield segment
            waiting += filter(None, (number(value["child"][side]) for side in range(2)))

    def _segment(self, address: int, value: gdb.Value) -> Segment:
        return Segment(
            address=address,
            driver_name=self._driver_name(value["driver"]),
            faults=tuple(number(value["faults"][i]) for i in range(len(PAGE_NAMES))),
            refused=number(value["faults_refused"]),
            **{name: number(value[name]) for name in ("start", "size", "driver", "flags", "magic", "fallbacks")},
        )

    def _driver_name(self, driver: gdb.Value) -> str:
        address = number(driver)
        if address not in self._names:
            try:
                self._names[address] = driver["name"].string(errors="replace", length=-1)[:32]
            except (gdb.error, gdb.MemoryError):
                self._names[address] = "?"
        return self._names[address]


# ---- output ----


def print_table(heads: tuple[str, ...], rows: list[tuple[object, ...]], left: tuple[int, ...] = ()) -> None:
    """Columns as wide as they have to be; the first, the last and those of `left` hold text, the others numbers."""
    table = [heads, *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        cells = (
            cell.ljust(width) if index in (0, len(widths) - 1, *left) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths))
        )
        print("  ".join(cells).rstrip())


class Command(gdb.Command):
    """A command; what it cannot do is one line. The documentation's first line stands in `help quire`."""

    name: str
    kind = gdb.COMMAND_DATA
    completion = gdb.COMPLETE_NONE

    def __init__(self) -> None:
        super().__init__(self.name, self.kind, self.completion)

    def invoke(self, argument: str, from_tty: bool) -> None:
        try:
            with addresses(physical=False):  # whatever the user has set
                self.run(argument)
        except (Failure, gdb.error) as error:
            raise gdb.GdbError(f"{self.name}: {error}") from error

    def run(self, argument: str) -> None:
        raise NotImplementedError

    def address(self, argument: str) -> int:
        if not argument:
            raise Failure("which ADDRESS? A number, a symbol or another expression of gdb's")
        return number(gdb.parse_and_eval(argument))
