"""Commands for gdb that show memory: page tables, frames, spans and what the drivers have done."""

from __future__ import annotations

import struct
from typing import Iterator, NamedTuple

import gdb

from gdb_constants import C
from gdb_core import (CR0_PAGING, PAGE, PAGE_NAMES, ROOT_LEVEL, Command, Segment, Segments, Tables, core_variable,
                      entry_index, is_leaf, leaf_frame, level_shift, number, paging_is_on, per_cpu, per_cpus, print_table,
                      read, register, size_text)  # fmt: skip
from tool import Failure

PAGE_SIZES = tuple(1 << level_shift(level) for level in range(len(PAGE_NAMES)))

# ---- quire-walk ----

ENTRY_NAMES = ("PTE", "PDE", "PDPTE", "PML4E")  # Intel SDM vol. 3, 4.5
COVERS = ("4 KiB", "2 MiB", "1 GiB", "512 GiB")
MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB", 7: "UC-"}
KNOWN_LEAF = ("PTE_PRESENT", "PTE_WRITE", "PTE_USER", "PTE_PWT", "PTE_PCD", "PTE_ACCESSED", "PTE_DIRTY", "PTE_LARGE",
              "PTE_GLOBAL", "PTE_NX", "PTE_KEPT", "PTE_BORROWED", "PTE_ADDRESS")  # fmt: skip
KNOWN_TABLE = ("PTE_PRESENT", "PTE_WRITE", "PTE_USER", "PTE_PWT", "PTE_PCD", "PTE_ACCESSED", "PTE_NX", "PTE_ADDRESS",
               "USED_MASK")  # fmt: skip


def has(entry: int, name: str) -> bool:
    return bool(entry & C[name])


def memory_type(entry: int, level: int) -> str:
    """By the page attribute table as arch/x86_64/cpu.c lays it out."""
    pat = has(entry, "PTE_PAT_4K" if level == 0 else "PTE_PAT_LARGE")
    index = 4 * pat + 2 * has(entry, "PTE_PCD") + has(entry, "PTE_PWT")
    return MEMORY_TYPES.get(C["PAT_LAYOUT"] >> 8 * index & 7, "?")


def flag_words(entry: int, level: int) -> str:
    """P W U/S A D PS G XD as in the SDM, `-` for what is not set, the memory type, and the core's own bits in words."""
    leaf = is_leaf(entry, level)
    words = [letter if has(entry, name) else "-" for name, letter in (("PTE_PRESENT", "P"), ("PTE_WRITE", "W"))]
    words += ["U" if has(entry, "PTE_USER") else "S", "A" if has(entry, "PTE_ACCESSED") else "-"]
    words.append("D" if leaf and has(entry, "PTE_DIRTY") else "-")
    words.append("PS" if leaf and level > 0 else "- ")
    words.append("G" if leaf and has(entry, "PTE_GLOBAL") else "-")
    words.append("XD" if has(entry, "PTE_NX") else "- ")
    words.append(memory_type(entry, level).ljust(2) if leaf else "  ")
    words += [word for name, word in (("PTE_KEPT", "kept"), ("PTE_BORROWED", "borrowed")) if leaf and has(entry, name)]
    unknown = entry & ~sum(C[name] for name in (KNOWN_LEAF if leaf else KNOWN_TABLE))
    return " ".join([*words, *([f"unknown bits {unknown:#x}"] if unknown else [])])


def leads_to(entry: int, level: int) -> str:
    if entry == 0:
        return "nothing"
    if is_leaf(entry, level):
        return f"page {leaf_frame(entry, level):#x}"
    used = (entry & C["USED_MASK"]) >> C["USED_SHIFT"]
    # The tables that the image was linked with, and those of the map of RAM, are not counted.
    return f"table {entry & C['PTE_ADDRESS']:#x}" + (f", {used} of 512 entries used" if used else "")


def way_to(tables: Tables, address: int) -> tuple[list[tuple[int, int, int]], str]:
    """(level, physical address of the entry, entry) on the way down, as the CPU goes; and why it breaks off, or ''."""
    table, way = tables.root, []
    for level in range(ROOT_LEVEL, -1, -1):
        index = entry_index(address, level)
        try:
            entry = tables.table(table)[index]
        except Failure as failure:
            return way, str(failure)
        way.append((level, table + 8 * index, entry))
        if entry == 0 or is_leaf(entry, level):
            break
        table = entry & C["PTE_ADDRESS"]
    return way, ""


def place_in_map(address: int) -> str:
    """The part of docs/address-map.md that has no segments of its own; nothing elsewhere."""
    if 0 <= address - C["PHYSMAP_BASE"] < C["PHYSMAP_SIZE"]:
        return f"the permanent map of RAM, where physical {address - C['PHYSMAP_BASE']:#x} is shown"
    if C["FIXMAP_BASE"] <= address < C["FIXMAP_BASE"] + (2 << 20):
        return "the core's short-lived windows on physical memory (fixmap)"
    return "where NULL pointers and small offsets from them point" if address < C["NULL_GUARD_END"] else ""


def describe_segment(segment: Segment) -> str:
    kind = f"({size_text(segment.size)}, {segment.protection}) of {segment.driver_name}"
    return f"the segment {segment.start:#x}-{segment.end:#x} {kind}"


def segment_line(segments: Segments, address: int) -> str:
    segment, next_one, place = segments.find(address), segments.above(address), place_in_map(address)
    if segment:
        offset = address - segment.start
        return f"{f'{offset:#x} bytes into' if offset else 'the start of'} {describe_segment(segment)}"
    behind = f"; the next one begins {size_text(next_one.start - address)} above" if next_one else ""
    return "in no segment" + (f": {place}" if place else behind)


def fault_lines(segment: Segment | None, leaf: int) -> Iterator[str]:
    """What vm_handle_fault (vm/fault.c) would do for an access that the page tables do not allow."""
    if segment is None:
        grows = number(core_variable("vm/fault.c", "vm_fault_outside"))
        unless = ", unless a stack of MAP_GROWSDOWN grows to it" if grows else ""
        yield f"any access is refused: no driver is there{unless}"
        return
    for flag, word, works in (
        ("VM_READ", "a read", has(leaf, "PTE_PRESENT")),
        ("VM_WRITE", "a write", has(leaf, "PTE_PRESENT") and has(leaf, "PTE_WRITE")),
        ("VM_EXEC", "execution", has(leaf, "PTE_PRESENT") and not has(leaf, "PTE_NX")),
    ):
        if works:
            continue
        refused = "is refused by the segment's protection"
        yield f"{word} {f'asks the driver {segment.driver_name}' if segment.flags & C[flag] else refused}"


class Walk(Command):
    """quire-walk ADDRESS: the page tables' way to an address, and what a fault there would mean.

    A line for each level: index and physical address of the entry, its value, its flags (P present, W writable, U/S user
    or supervisor, A accessed, D dirty, PS large page, G global, XD not executable, memory type; kept: inaccessible, but
    with its frame; borrowed: the frame is another's), and where it leads."""

    name = "quire-walk"
    completion = gdb.COMPLETE_EXPRESSION

    def run(self, argument: str) -> None:
        address = self.address(argument)
        if not register("cr0") & CR0_PAGING:
            print(f"paging is off: {address:#x} is a physical address")
            return
        if not paging_is_on():
            raise Failure("the CPU is not in 64-bit mode: these are not the core's page tables")
        if address >> 47 not in (0, (1 << 17) - 1):
            print(f"{address:#x} is not canonical: bits 63 to 47 differ, any access is a general protection exception")
            return
        self._print(address, Tables())

    def _print(self, address: int, tables: Tables) -> None:
        way, broken = way_to(tables, address)
        print(f"{address:#x} by the page tables at {tables.root:#x} ({tables.source})")
        print_table(
            ("level", "covers", "index", "entry at", "value", "flags", "leads to"),
            [(ENTRY_NAMES[level], COVERS[level], entry_index(address, level), f"{at:#x}", f"{entry:016x}",
              flag_words(entry, level) if entry else "-", leads_to(entry, level)) for level, at, entry in way],
            left=(5,),
        )  # fmt: skip
        if broken:
            raise Failure(broken)
        level, _, entry = way[-1]
        size = 1 << level_shift(level)
        if not entry:
            first = address & -size
            whole = f"{first:#x}-{first + size:#x} ({COVERS[level]})"
            print(f"not mapped: the {ENTRY_NAMES[level]} is missing, so nothing of {whole} is")
        else:
            physical = leaf_frame(entry, level) + address % size
            inaccessible = "" if has(entry, "PTE_PRESENT") else ", which cannot be accessed"
            print(f"physical {physical:#x}, in a page of {COVERS[level]}{inaccessible}")
        self._print_meaning(address, entry)

    def _print_meaning(self, address: int, leaf: int) -> None:
        try:
            segments = Segments()
        except Failure as failure:
            print(failure)
            return
        print(segment_line(segments, address))
        if leaf == 0 or segments.find(address):
            for line in fault_lines(segments.find(address), leaf):
                print(f"  {line}")
        segments.print_damage()


# ---- quire-frames ----

CHILD = 1 << C["CHILD_SHIFT"]
FRAME_NONE = (1 << 64) - 1
CHILDREN_A_LINE = 64
LINES_SHOWN = 64
CHILDREN_MAX = 64 << 40 >> C["CHILD_SHIFT"]
LEGEND = ". free   0-9 partly free: tenths in use   # in use   m in the CPU's magazine   - no RAM of the allocator's"


class Magazine(NamedTuple):
    name: str
    size: int  # bytes of a frame
    places: int
    count: int  # as it says
    frames: list[int]


class Store:
    """The frame allocator as it is (vm/frames/)."""

    def __init__(self) -> None:
        store = core_variable("vm/frames/store.c", "store")
        if paging_is_on():
            store.fetch_lazy()
        if not paging_is_on() or number(store["bits"]) == 0:
            raise Failure("the frame allocator is not up yet: quire-start runs to main")
        self.children = number(store["children"])
        if not 0 < self.children <= CHILDREN_MAX:
            raise Failure(f"the frame allocator is damaged: it says that it has {self.children} children of 2 MiB")
        count = min(number(store["range_count"]), store["ranges"].type.range()[1] + 1)
        self.ranges = [tuple(number(store["ranges"][i][edge]) for edge in ("start", "end")) for i in range(count)]
        self.metadata = number(store["metadata_start"]), number(store["metadata"])
        self.free = number(core_variable("vm/frames/stats.c", "frames_stored"))
        if any(field.name == "state" for field in store.type.fields()):
            self._read_groups(store)
        else:
            self._read_trees(store)
        self._read_magazines(per_cpu("vm/frames/magazines.c", "frame_magazines"))

    def _read_groups(self, store: gdb.Value) -> None:
        self.states = struct.unpack(f"<{self.children}H", read(number(store["state"]), 2 * self.children))
        self.group_children = C["GIB_CHILDREN"]
        groups = read(number(store["group"]), 4 * -(-self.children // C["GIB_CHILDREN"]))
        self.groups = list(struct.iter_unpack("<HH", groups))  # wholly free, partly free

    def _read_trees(self, store: gdb.Value) -> None:
        """Of a core for several CPUs: trees of children have counts of their own, and CPUs count by themselves for a while."""
        self.free = (self.free + sum(number(change) for change in per_cpus("vm/frames/stats.c", "stored_change"))) % (1 << 64)
        self.group_children = C["TREE_CHILDREN"]
        tree = store["tree"].type.target()
        at = {field.name: field.bitpos // 8 for field in tree.fields()}
        trees, groups, states = self.children // C["TREE_CHILDREN"], [], []
        for raw in struct.iter_unpack(f"{tree.sizeof}s", read(number(store["tree"]), tree.sizeof * trees)):
            groups.append(struct.unpack_from("<BB", raw[0], at["group"]))
            states += struct.unpack_from(f"<{C['TREE_CHILDREN']}H", raw[0], at["state"])
        self.groups, self.states = groups, tuple(states)

    def _read_magazines(self, magazines: gdb.Value) -> None:
        magazines.fetch_lazy()
        self.reserved = number(magazines["reserved"])
        self.magazines = []
        for size, (name, places) in enumerate(zip(PAGE_NAMES, (C["FRAME_MAGAZINE_MAX"], C["FRAME_MAGAZINE_2M"]))):
            for state, what in enumerate((name, f"{name}, zeros")):
                magazine = magazines["of"][size][state]
                count = number(magazine["count"])
                frames = [number(magazine["frames"][i]) for i in range(min(count, places))]
                self.magazines.append(Magazine(what, PAGE_SIZES[size], places, count, frames))
        # 2 MiB that the idle CPU is zeroing
        self.cleaning = number(magazines["cleaning"]) if number(magazines["uncleaned"]) else FRAME_NONE

    def held(self) -> int:
        """Bytes of the frames in magazines."""
        cleaning = 0 if self.cleaning == FRAME_NONE else CHILD
        return sum(len(magazine.frames) * magazine.size for magazine in self.magazines) + cleaning

    def child_free(self, child: int) -> int:
        return self.states[child] & C["COUNT_MASK"]

    def ours(self, child: int) -> int:
        """Frames of the child that are in a range."""
        first, last = child * CHILD, (child + 1) * CHILD
        return sum(max(0, min(end, last) - max(start, first)) for start, end in self.ranges) // PAGE

    def picture(self, child: int) -> str:
        free = self.child_free(child)
        if self.states[child] & C["FOREIGN"]:
            return "-"
        if free == C["CHILD_FRAMES"]:
            return "."
        if child * CHILD == self.cleaning or any(child * CHILD in m.frames for m in self.magazines if m.size == CHILD):
            return "m"
        total = max(self.ours(child), 1)
        return "#" if free == 0 else str(max(0, min(9, (total - free) * 10 // total)))

    def damage(self) -> Iterator[str]:
        counted = sum(map(self.child_free, range(self.children)))
        if counted != self.free:
            yield f"the children have {counted} free frames, and their sum is kept as {self.free}"
        for index, (whole, partial) in enumerate(self.groups):
            first = index * self.group_children
            free = [self.child_free(child) for child in range(first, min(first + self.group_children, self.children))]
            real = sum(f == C["CHILD_FRAMES"] for f in free), sum(0 < f < C["CHILD_FRAMES"] for f in free)
            if real != (whole, partial):
                counts = f"{real[0]} whole and {real[1]} partly free children"
                what = "GiB" if self.group_children == C["GIB_CHILDREN"] else "tree"
                yield f"the {what} at {first * CHILD:#x} has {counts}, and counts {whole} and {partial}"
        for magazine in self.magazines:
            if magazine.count > magazine.places:
                yield f"the magazine of {magazine.name} has {magazine.count} frames, and room for {magazine.places}"


class Frames(Command):
    """quire-frames [ADDRESS]: the frame allocator: RAM, what is free, the CPU's magazines, a picture of fragmentation.

    The picture has a character for each 2 MiB. Of much RAM it shows a part, from the physical address on that is given."""

    name = "quire-frames"
    completion = gdb.COMPLETE_EXPRESSION

    def run(self, argument: str) -> None:
        start, store = self.address(argument) if argument else 0, Store()
        if start >= store.children * CHILD:
            raise Failure(f"{start:#x} is above all RAM, which ends at {store.children * CHILD:#x}")
        self._print_ranges(store)
        self._print_sums(store)
        self._print_magazines(store)
        self._print_picture(store, start)
        for line in store.damage():
            print(f"damaged, or in the middle of an operation: {line}")

    def _print_ranges(self, store: Store) -> None:
        rows = [(f"{start:#x}-{end:#x}", size_text(end - start)) for start, end in store.ranges]
        rows.append(("sum", size_text(sum(end - start for start, end in store.ranges))))
        print_table(("RAM of the allocator", "size"), rows)
        at, size = store.metadata
        print(f"its own tables: {size_text(size)} at {at:#x}")

    def _print_sums(self, store: Store) -> None:
        total = sum(end - start for start, end in store.ranges) - store.metadata[1]
        held = store.held()
        free = store.free * PAGE + held
        whole, partial = (sum(group[i] for group in store.groups) for i in range(2))
        foreign = sum(bool(state & C["FOREIGN"]) for state in store.states)
        rows = [
            ("free", size_text(free), f"{store.free} frames of 4 KiB in children, {held // PAGE} in magazines"),
            ("in use", size_text(total - free), f"{(total - free) // PAGE} frames of 4 KiB"),
            ("sum", size_text(total), "without the allocator's own tables"),
        ]
        print_table(("frames", "size", ""), rows)
        used, gigabyte = store.children - whole - partial - foreign, C["GIB_CHILDREN"] // store.group_children
        gigabytes = [sum(group[0] for group in store.groups[i : i + gigabyte]) for i in range(0, len(store.groups), gigabyte)]
        print(f"children of 2 MiB: {whole} free, {partial} partly free, {used} in use, {foreign} without RAM; "
              f"of 1 GiB free: {gigabytes.count(C['GIB_CHILDREN'])}")  # fmt: skip
        if free:
            print(f"fragmentation: {100 * whole * CHILD // free} % of what is free lies in free children")

    def _print_magazines(self, store: Store) -> None:
        for magazine in store.magazines:
            top = f", the next is {magazine.frames[-1]:#x}" if magazine.frames else ""
            print(f"magazine of {magazine.name}: {magazine.count} of {magazine.places} frames{top}")
        if store.reserved < store.children:
            print(f"single frames come from the child at {store.reserved * CHILD:#x}")

    def _print_picture(self, store: Store, start: int) -> None:
        first = start // CHILD // CHILDREN_A_LINE * CHILDREN_A_LINE
        end = min(store.children, first + CHILDREN_A_LINE * LINES_SHOWN)
        print(f"2 MiB each: {LEGEND}")
        width = len(f"{store.children * CHILD:#x}")
        for line in range(first, end, CHILDREN_A_LINE):
            row = "".join(map(store.picture, range(line, min(line + CHILDREN_A_LINE, end))))
            print(f"{line * CHILD:#0{width}x}  {row}")
        if end < store.children:
            print(f"and {size_text((store.children - end) * CHILD)} more: quire-frames {end * CHILD:#x}")


# ---- quire-spans ----


def runs_of(tables: Tables, segment: Segment) -> list[tuple[int, int]]:
    """(physical start, size) of what backs the segment, pieces that follow each other as one."""
    runs: list[tuple[int, int]] = []
    for _, level, entry in tables.leaves(segment.start, segment.end):
        at, size = leaf_frame(entry, level), 1 << level_shift(level)
        if runs and sum(runs[-1]) == at:
            at, size = runs[-1][0], runs.pop()[1] + size
        runs.append((at, size))
    return runs


class Spans(Command):
    """quire-spans: the segments of the heap driver: where, how large, and whether their frames lie together.

    contiguous: a run of RAM, shown by the permanent map; scattered: single frames, mapped at once because no run was free;
    touched: a slot that is backed when it is touched (larger than 2 MiB, or at an address of the program's choice)."""

    name = "quire-spans"

    def run(self, argument: str) -> None:
        segments, tables = Segments(), Tables()
        rows: list[tuple[object, ...]] = []
        sums = {"contiguous": [0, 0], "scattered": [0, 0], "touched": [0, 0]}
        for segment in (segment for segment in segments.all if segment.driver_name == "heap"):
            kind, resident, where = self._kind(segment, tables)
            sums[kind][0] += 1
            sums[kind][1] += segment.size
            sizes = size_text(segment.size), size_text(resident)
            rows.append((f"{segment.start:#018x}", *sizes, kind, f"{segment.address:#x}", where))
        print_table(("span", "size", "resident", "kind", "segment", "physical"), rows, left=(3, 4))
        parts = ", ".join(f"{count} {kind} ({size_text(size)})" for kind, (count, size) in sums.items())
        print(f"sum: {len(rows)} spans, {size_text(sum(size for _, size in sums.values()))}: {parts}")
        segments.print_damage()

    def _kind(self, segment: Segment, tables: Tables) -> tuple[str, int, str]:
        if segment.in_ram_map:
            return "contiguous", segment.size, f"{segment.start - C['PHYSMAP_BASE']:#x}"
        runs = runs_of(tables, segment)
        scattered = segment.size <= C["VM_SPAN_MAX"] and segment.flags & C["VM_POPULATE"]
        where = f"{len(runs)} run{'s'[: len(runs) != 1]}" + (f" from {runs[0][0]:#x} on" if runs else "")
        return "scattered" if scattered else "touched", sum(size for _, size in runs), where


# ---- quire-statistics ----

COLUMNS = ("driver", "segments", "size", "resident", *PAGE_NAMES, "faults", *PAGE_NAMES, "refused", "fallbacks", "")


class Statistics(Command):
    """quire-statistics: what each driver has: segments, resident pages and served faults by size, as vm_driver_statistics.

    Faults, refused ones and fallbacks (to smaller pages, for want of frames) are of all segments that are and were."""

    name = "quire-statistics"

    def run(self, argument: str) -> None:
        segments, tables = Segments(), Tables()
        sums: dict[str, list[int]] = dict(self._past())
        for segment in segments.all:
            counts = sums.setdefault(segment.driver_name, [0] * 10)
            pages = segment.resident(tables)
            own = [1, segment.size, *pages, *segment.faults, segment.refused, segment.fallbacks]
            sums[segment.driver_name] = [a + b for a, b in zip(counts, own)]
        total = [sum(column) for column in zip(*sums.values())] or [0] * 10
        print_table(COLUMNS, [self._row(name, counts) for name, counts in [*sums.items(), ("sum", total)]])
        segments.print_damage()

    def _past(self) -> Iterator[tuple[str, list[int]]]:
        """What segments that are gone have counted (vm/drivers.c)."""
        drivers, past = core_variable("vm/drivers.c", "drivers"), core_variable("vm/drivers.c", "driver_past")
        for index in range(drivers.type.range()[1] + 1):
            if number(drivers[index]) == 0:
                return
            counts = past[index]
            faults = [number(counts["faults"][i]) for i in range(len(PAGE_NAMES))]
            yield drivers[index]["name"].string(errors="replace"), [
                0, 0, 0, 0, 0, *faults, number(counts["faults_refused"]), number(counts["fallbacks"])
            ]  # fmt: skip

    def _row(self, name: str, counts: list[int]) -> tuple[object, ...]:
        segments, size, *pages = counts[:5]
        resident = sum(count * size for count, size in zip(pages, PAGE_SIZES))
        faults = counts[5:8]
        return (name, segments, size_text(size), size_text(resident), *pages, sum(faults), *faults, *counts[8:], "")
