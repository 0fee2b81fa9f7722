#!/usr/bin/python3
"""
Makes files and pictures of what an image has recorded about itself (images/qemu.py run --record FILE).

    images/observe.py RECORD --elf build/APP/APP.debug [--program FILE --base ADDRESS] [--output FOLDER]

    stats.json                      the counters at the end
    timeline.json, .png, .html      memory by size of page, faults and allocation over time
    profile.folded                  the profiler's stacks, a line each: main;function;function 12
    flame.html                      the same as a flame graph

A record is JSON lines, each of a kind: "stats" (once, at exit), "sample" (memory now; faults and bytes of frames taken
so far), "stack" (addresses, innermost first, or names in brackets) and "profile" (once: how it was sampled). All
addresses of a stack but the innermost are return addresses, and the call is just before. What is whole in a record
counts, and how much is not is said.

Only the timeline's picture needs matplotlib; Debian's belongs to Debian's Python, hence the first line.
"""

from __future__ import annotations

import argparse
import bisect
import json
import re
import struct
import subprocess
import sys
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any, Callable, Hashable, Iterable, Iterator, NamedTuple

import charts
from calls import LIST, Interface
from charts import LIGHT, WIDE, Chart, bytes_text, number_text
from elf import PAGE, read_program
from flame import flame_page
from symbols import SHF_EXECINSTR, read_functions, read_sections
from tool import Failure, read_input, require, run_main, write_output

ROOT = Path(__file__).resolve().parent.parent
PAGE_NAMES = ("4 KiB pages", "2 MiB pages", "1 GiB pages")
PAGE_COLOURS = ("other1", "here", "other4")
HINT = (
    "run an image that was configured with --stats, --timeline or --profile, and its record is build/APP/record.jsonl"
)
UNKNOWN = "[unknown]"
ADDRESS = re.compile(r"0x[0-9a-fA-F]{1,16}")


class Sample(NamedTuple):
    ns: int
    ticks: int
    resident: tuple[int, int, int]  # bytes, by size of page
    faults: int  # so far, as frames
    frames: int  # bytes
    segments: int
    busy: tuple[int, ...] = ()  # ns by CPU, so far; of a core with threads, as the next two, which are of all CPUs
    contended: int = 0
    shootdowns: int = 0


class Record(NamedTuple):
    stats: dict[str, Any] | None
    samples: list[Sample]
    stacks: Counter[tuple[str, ...]]  # innermost first
    profile: dict[str, int]  # what the profiler says of itself; "entry": where the program began
    damaged: int  # lines that were left out


class Module(NamedTuple):
    """A program in memory: its functions, ascending, and where its code is."""

    name: str
    base: int
    entry: int
    addresses: list[int]
    names: list[str]
    code: list[tuple[int, int]]

    def holds(self, address: int) -> bool:
        return any(start <= address < end for start, end in self.code)

    def function(self, address: int) -> str:
        index = bisect.bisect_right(self.addresses, address) - 1
        return self.names[index] if index >= 0 else f"[{self.name}+{address - self.base:#x}]"


# Reading a record: whatever is whole counts.


def counts(values: dict, *keys: Hashable) -> list[int]:
    found = [values[key] for key in keys]
    if not all(type(value) is int and 0 <= value < 1 << 64 for value in found):
        raise ValueError(keys)
    return found


def read_sample(values: dict) -> Sample:
    ns, ticks, faults, frames, segments = counts(values, "ns", "ticks", "faults", "frames", "segments")
    small, large, huge = values["resident"]
    counts({"small": small, "large": large, "huge": huge}, "small", "large", "huge")
    sample = Sample(ns, ticks, (small, large, huge), faults, frames, segments)
    if "busy" not in values:
        return sample
    busy = tuple(counts(dict(enumerate(values["busy"])), *range(len(values["busy"]))))
    contended, shootdowns = counts(values, "contended", "shootdowns")
    return sample._replace(busy=busy, contended=contended, shootdowns=shootdowns)


def read_stack(values: dict) -> tuple[tuple[str, ...], int]:
    [weight] = counts(values, "weight")
    stack = tuple(values["stack"])
    if not all(
        isinstance(frame, str) and (ADDRESS.fullmatch(frame) or re.fullmatch(r"\[.+\]", frame)) for frame in stack
    ):
        raise ValueError(stack)
    return stack or (UNKNOWN,), weight


def read_profile(values: dict) -> dict[str, int]:
    keys = ("rate", "samples", "idle", "skipped")
    return dict(zip(keys, counts(values, *keys))) | {"entry": int(values["entry"], 16)}


def read_record(lines: Iterable[bytes]) -> Record:
    stats, samples, stacks, profile, damaged = None, [], Counter(), {}, 0
    for line in lines:
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            kind = values["kind"]
            if kind == "stats":
                stats = values
            elif kind == "sample":
                samples.append(read_sample(values))
            elif kind == "stack":
                stack, weight = read_stack(values)
                stacks[stack] += weight
            elif kind == "profile":
                profile = read_profile(values)
            elif not isinstance(kind, str):
                raise ValueError(kind)
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged += 1
    return Record(stats, sorted(samples), stacks, profile, damaged)


def open_record(path: Path) -> Record:
    try:
        with path.open("rb") as lines:
            record = read_record(lines)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; {HINT}") from None
    if not (record.stats or record.samples or record.stacks):
        what = f"none of its {record.damaged} lines is part of a record" if record.damaged else "it is empty"
        raise Failure(f"{path}: {what}; {HINT}")
    return record


# Names for addresses.


def demangle(names: list[str]) -> list[str]:
    """C++ names as they are written, without parameters."""
    if not any(name.startswith("_Z") for name in names):
        return names
    done = subprocess.run(
        [require("c++filt"), "-p"], input="\n".join(names), capture_output=True, text=True, check=False
    )
    plain = done.stdout.split("\n")
    return plain[: len(names)] if len(plain) >= len(names) else names


def read_module(path: Path, base: int = 0) -> Module:
    elf = read_input(path)
    try:
        code = [(s.address + base, s.address + s.size + base) for s in read_sections(elf) if s.flags & SHF_EXECINSTR]
        functions, _ = read_functions(elf)
        [entry] = struct.unpack_from("<24xQ", elf)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise Failure(f"{path}: damaged ELF file: {error}") from None
    except Failure as failure:
        raise Failure(f"{path}: {failure}") from None
    names = [name.replace(";", ":") for name in demangle([function.name for function in functions])]
    return Module(path.name, base, base + entry, [function.address + base for function in functions], names, code)


def name_of(address: int, modules: list[Module]) -> str:
    module = next((module for module in modules if module.holds(address)), None)
    return module.function(address) if module else f"[{address:#x}]"


def call_names() -> dict[str, str]:
    return {f"[system call {call.number}]": f"[{call.name}]" for call in Interface.read(ROOT / LIST).calls}


def stack_names(stack: tuple[str, ...], modules: list[Module], calls: dict[str, str]) -> Iterator[str]:
    """Innermost first. The first address is where the program was, and all others are behind a call or system call."""
    behind = False
    for frame in stack:
        if frame.startswith("["):
            yield calls.get(frame, frame).replace(";", ":")
            behind = behind or frame in calls
        else:
            yield name_of(int(frame, 16) - behind, modules)
            behind = True


def fold(stacks: Counter[tuple[str, ...]], modules: list[Module]) -> Counter[tuple[str, ...]]:
    """The same stacks by names, outermost first."""
    folded: Counter[tuple[str, ...]] = Counter()
    calls = call_names() if stacks else {}
    for stack, weight in stacks.items():
        folded[tuple(reversed([*stack_names(stack, modules, calls)]))] += weight
    return folded


def folded_text(folded: Counter[tuple[str, ...]]) -> str:
    return "".join(f"{';'.join(names)} {weight}\n" for names, weight in sorted(folded.items()))


# The timeline.


def rates(samples: list[Sample], count: Callable[[Sample], int]) -> tuple[list[int], list[float]]:
    """What a counter grew by per second between samples: the time that each interval ends, and its rate."""
    steps = [(a, b) for a, b in zip(samples, samples[1:]) if b.ns > a.ns]
    return [b.ns for _, b in steps], [max(0, count(b) - count(a)) * 1e9 / (b.ns - a.ns) for a, b in steps]


def draw_resident(axes: Any, samples: list[Sample], scale: float) -> None:
    most = max(sum(sample.resident) for sample in samples)
    size, unit = charts.bytes_unit(most)
    times, below = [sample.ns / scale for sample in samples], [0.0] * len(samples)
    for name, colour, part in zip(PAGE_NAMES, PAGE_COLOURS, zip(*(sample.resident for sample in samples))):
        if any(part):
            top = [low + bytes / size for low, bytes in zip(below, part)]
            axes.fill_between(times, below, top, step="post", color=LIGHT[colour], linewidth=0, label=name)
            below = top
    axes.set(ylabel=unit, title="Resident memory")
    axes.set_ylim(0)
    if most:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1.08), ncol=3, borderaxespad=0)


class Rate(NamedTuple):
    """A counter that is drawn by how fast it grows."""

    title: str
    colour: str
    count: Callable[[Sample], int]
    unit: str = "per second"  # "": bytes
    size: float = 1  # of the unit


RATES = (
    Rate("Page faults", "other3", lambda sample: sample.faults),
    Rate("Memory taken from the frame allocator", "here", lambda sample: sample.frames, ""),
)
CPU_RATES = (
    Rate("CPUs that run threads", "other1", lambda sample: sum(sample.busy), "CPUs", 1e9),
    Rate("Locks of the core that a CPU found taken", "other4", lambda sample: sample.contended),
    Rate("Flushes asked of other CPUs", "other2", lambda sample: sample.shootdowns),
)


def has_cpus(samples: list[Sample]) -> bool:
    return len(samples[-1].busy) > 1


def draw_rate(axes: Any, samples: list[Sample], scale: float, rate: Rate) -> None:
    times, values = rates(samples, rate.count)
    size, unit = (rate.size, rate.unit) if rate.unit else charts.bytes_unit(max(values, default=0))
    values = [value / size for value in values]
    start = [samples[0].ns / scale] + [ns / scale for ns in times]
    axes.stairs(values, start, fill=True, color=LIGHT[rate.colour], alpha=0.25, linewidth=0)
    axes.stairs(values, start, color=LIGHT[rate.colour], linewidth=1.4)
    charts.number_axis(axes.yaxis)
    axes.set(ylabel=unit if rate.unit else f"{unit}/s", title=rate.title)
    axes.set_ylim(0, max(values, default=0) * 1.1 or 1)


def timeline_figure(plot: Any, samples: list[Sample], width: float) -> Any:
    scale, unit = charts.time_unit(samples[-1].ns)
    samples = charts.thin(samples, lambda sample: sum(sample.resident))
    drawn = [*RATES, *(CPU_RATES if has_cpus(samples) else ())]
    figure, (memory, *below) = plot.subplots(
        1 + len(drawn), 1, figsize=(width, 3.3 + 1.65 * len(drawn)), sharex=True, height_ratios=(2, *[1] * len(drawn))
    )
    draw_resident(memory, samples, scale)
    for axes, rate in zip(below, drawn):
        draw_rate(axes, samples, scale, rate)
    below[-1].set_xlabel(f"guest time, {unit}")
    first, last = samples[0].ns / scale, samples[-1].ns / scale
    below[-1].set_xlim(first, last if last > first else first + 1)
    return figure


def timeline_chart(plot: Any, samples: list[Sample]) -> Chart:
    most = max(samples, key=lambda sample: sum(sample.resident))
    what = f"Resident memory, faults and allocation over time; at most {bytes_text(sum(most.resident))} resident."
    return Chart(
        "timeline", what, timeline_figure(plot, samples, charts.NARROW), wide=timeline_figure(plot, samples, WIDE)
    )


def timeline_page(title: str, samples: list[Sample], chart: Chart) -> bytes:
    most, last = max(samples, key=lambda sample: sum(sample.resident)), samples[-1]
    about = [
        ("samples", f"{len(samples):,} in {charts.time_text(last.ns - samples[0].ns)}"),
        ("most resident", f"{bytes_text(sum(most.resident))} at {charts.time_text(most.ns)}"),
        *((f"of it in {name}", bytes_text(part)) for name, part in zip(PAGE_NAMES, most.resident) if part),
        ("faults", number_text(last.faults)),
        ("frames taken", bytes_text(last.frames)),
        ("segments at the end", number_text(last.segments)),
    ]
    if has_cpus(samples):
        about += [
            *((f"CPU {number} busy", charts.time_text(busy)) for number, busy in enumerate(last.busy)),
            ("locks found taken", number_text(last.contended)),
            ("flushes asked of other CPUs", number_text(last.shootdowns)),
        ]
    body = f"<h1>{escape(title)}: memory over time</h1>{charts.definitions(about)}{charts.chart_html(chart)}"
    return charts.page(f"{title}: memory over time", body)


def timeline_json(samples: list[Sample]) -> bytes:
    fields = Sample._fields if samples[-1].busy else Sample._fields[: Sample._fields.index("busy")]
    rows = [json.dumps({field: getattr(sample, field) for field in fields}) for sample in samples]
    return ('{"samples": [\n' + ",\n".join(rows) + "\n]}\n").encode()


# All of it.


def number(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"'{text}' is no address: write 0x555555554000")
    return value


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_output(folder / name, content)
        print(folder / name)


def profile_text(profile: dict[str, int]) -> str:
    """What the profiler says of itself, in words."""
    if not profile:
        return ""
    skipped = f", and {profile['skipped']:,} more were before the program began" if profile["skipped"] else ""
    return f"{profile['rate']:,} samples a second, {profile['idle']:,} of them while it waited{skipped}."


def plain_files(record: Record, modules: list[Module], title: str) -> dict[str, bytes]:
    """What needs nothing but Python."""
    files = {}
    if record.stats:
        files["stats.json"] = json.dumps(record.stats, indent=2).encode() + b"\n"
    if record.samples:
        files["timeline.json"] = timeline_json(record.samples)
    folded = fold(record.stacks, modules)
    if sum(folded.values()):
        files["profile.folded"] = folded_text(folded).encode(errors="replace")
        files["flame.html"] = flame_page(title, folded, profile_text(record.profile))
    return files


def program_module(path: Path, base: int | None, entry: int | None) -> Module:
    """The packed program where it was in this run: as told, as its first instruction says, or as with quire.aslr=off."""
    program = read_program(path)
    if base is None and entry is not None:
        base = entry - read_module(path).entry
        if base % PAGE or base < 0 or (base and not program.position_independent):
            raise Failure(f"{path} is not the program of this record, which began at {entry:#x}")
    return read_module(path, program.base if base is None else base)


def say(text: str) -> None:
    print(f"observe.py: {text}", file=sys.stderr)


def remarks(record: Record, modules: list[Module]) -> Iterator[str]:
    """What is to be known of a record that was not whole, or not of these files."""
    if record.damaged:
        lines = "1 line was" if record.damaged == 1 else f"{record.damaged} lines were"
        yield f"{lines} left out: cut off, or no part of a record"
    kinds = {"stats at the end": record.stats, "samples": record.samples, "stacks": record.stacks}
    absent = [kind for kind, found in kinds.items() if not found]
    if absent:
        yield f"the record has no {' and no '.join(absent)}"
    entry = record.profile.get("entry")
    if entry is not None and not any(entry == module.entry or entry in module.addresses for module in modules):
        what = "" if len(modules) > 1 else "; one that was packed into the image is named with --program"
        yield f"names may be wrong: the program of the record began at {entry:#x}, and no file has a beginning there{what}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Makes files and pictures of an image's record.")
    parser.add_argument("record", type=Path, help="the file that images/qemu.py run --record has written")
    parser.add_argument("--elf", type=Path, required=True, help="the image with its symbols, build/APP/APP.debug")
    parser.add_argument("--program", type=Path, metavar="FILE", help="the existing program that is packed in it")
    parser.add_argument(
        "--base", type=number, metavar="ADDRESS", help="where the program lay (default: what the record says)"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: where the record is")
    options = parser.parse_args(arguments)
    folder = options.output or options.record.parent
    record = open_record(options.record)
    modules = [read_module(options.elf)]
    if options.program:
        modules.append(program_module(options.program, options.base, record.profile.get("entry")))
    title = (options.program or options.elf).stem
    for remark in remarks(record, modules):
        say(remark)
    write_files(folder, plain_files(record, modules, title))
    if record.samples:
        chart = timeline_chart(charts.pyplot(), record.samples)
        write_files(
            folder, charts.chart_files([chart]) | {"timeline.html": timeline_page(title, record.samples, chart)}
        )
    return 0


if __name__ == "__main__":
    run_main("observe.py", main)
