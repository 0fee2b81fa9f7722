"""
The profile and the timeline of programs that spend time and memory in known ways (tests/boot/images/observed): linked with
musl, and compiled for this machine with glibc and packed as an existing program. Instructions are counted, so that one takes
a nanosecond and runs repeat.
"""

import bisect
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from booting import IMAGES, ROOT, TIMEOUT, AppCase

import archive  # images/, through booting

SOURCE = ROOT / "tests/boot/images/observed/main.c"
RATE = 10000
MS, MIB = 1_000_000, 1 << 20


class Symbols:
    """Names of the addresses of a program."""

    def __init__(self, elf: Path):
        listed = subprocess.run(["nm", str(elf)], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        self.names = sorted((int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tTwWi")
        self.starts = [start for start, _ in self.names]

    def name(self, word: str, innermost: bool) -> str:
        """A return address may lie behind the end of its function."""
        if word.startswith("["):
            return word
        return self.names[bisect.bisect_right(self.starts, int(word, 16) - (not innermost)) - 1][1]

    def stack(self, words: list[str]) -> tuple[str, ...]:
        return tuple(self.name(word, index == 0) for index, word in enumerate(words))


class Record:
    """What one run recorded, checked for what holds in every run."""

    def __init__(self, path: Path, symbols: Symbols):
        self.lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.samples = [line for line in self.lines if line["kind"] == "sample"]
        self.stacks: Counter[tuple[str, ...]] = Counter()
        for line in self.lines:
            if line["kind"] == "stack":
                self.stacks[symbols.stack(line["stack"])] += line["weight"]
        (self.profile,) = (line for line in self.lines if line["kind"] == "profile")

    def weight(self, *names: str) -> int:
        """Of the stacks with these names anywhere, in this order from the innermost on."""
        return sum(weight for stack, weight in self.stacks.items() if in_order(names, stack))


def in_order(names: tuple[str, ...], stack: tuple[str, ...]) -> bool:
    left = iter(stack)
    return all(name in left for name in names)


class ObservedCase(AppCase):
    options: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="quire-observed-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.config = IMAGES / cls.app / "run.json"
        cls.symbols = Symbols(ROOT / json.loads(cls.config.read_text())["debug_elf"])

    def start(self, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        path = self.folder / "record.jsonl"
        path.unlink(missing_ok=True)
        command = [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(self.config), "--record", str(path)]
        command += ["--timeout", str(TIMEOUT), "--append", "quire.aslr=off", *self.options, *options, "--", *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False)

    def record(self, end: int = MS) -> Record:
        """Of the last run. end: ns in which nothing is sampled, at most."""
        record = Record(self.folder / "record.jsonl", self.symbols)
        samples, profile = record.samples, record.profile
        self.assertEqual((samples[0]["ns"], samples[0]["ticks"]), (0, 0))
        for key in ("ns", "ticks", "faults", "frames"):
            values = [sample[key] for sample in samples]
            self.assertEqual(values, sorted(values), key)
        self.assertEqual(sum(record.stacks.values()), profile["samples"], "nothing is lost")
        self.assertEqual((record.weight("[idle]"), profile["rate"]), (profile["idle"], RATE))
        counted = (profile["samples"] + profile["skipped"]) * 1_000_000_000 // RATE
        self.assertAlmostEqual(counted, samples[-1]["ns"], delta=end, msg="a period is a stack's or is skipped")
        return record

    def watch(self, way: str, status: int = 0, end: int = MS) -> Record:
        done = self.start(way, options=("--icount",))
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return self.record(end)

    def check_shares(self, record: Record) -> None:
        """A round is 101,234 instructions, and what it costs to observe them is in proportion."""
        total = record.profile["samples"]
        for share, names in ((0.75, ("spin", "large_share", "caller_of_large", "shares")),
                             (0.125, ("spin", "small_share", "caller_of_small", "shares")),
                             (0.125, ("spin_without_frame", "small_share", "caller_of_small", "shares"))):  # fmt: skip
            self.assertAlmostEqual(record.weight(*names) / total, share, delta=0.05, msg=names)


def resident(record: Record) -> list[list[int]]:
    """The levels of the timeline's curve above the first: those that it shows in three samples or more in a row."""
    first = record.samples[0]["resident"]
    curve = [[now - then for now, then in zip(sample["resident"], first)] for sample in record.samples]
    return [level for before, level, behind in zip(curve, curve[1:], curve[2:]) if before == level == behind]


def distinct(levels: list[list[int]]) -> list[list[int]]:
    return [level for index, level in enumerate(levels) if index == 0 or level != levels[index - 1]]


class LinkedTest(ObservedCase):
    app = "observed"

    def test_shares(self) -> None:
        self.check_shares(self.watch("shares"))
        first = self.folder / "record.jsonl"
        lines = first.read_text()
        self.watch("shares")
        self.assertEqual(lines, first.read_text(), "runs repeat")

    def test_long_and_many_stacks(self) -> None:
        record = self.watch("deep")
        (stack,) = (stack for stack in record.stacks if stack[0] == "spin" and "deep" in stack)
        self.assertEqual((stack[-1], set(stack[1:-1])), ("[deeper]", {"deep"}))
        self.assertGreater(len(stack), 60)
        record = self.watch("wide")
        self.assertGreater(record.profile["flushes"], 0)
        self.assertGreater(sum(line["kind"] == "stack" for line in record.lines), 2048)
        self.assertGreater(record.weight("spin", *["wide"] * 11, "run_wide") / record.profile["samples"], 0.99)

    def test_steps(self) -> None:
        levels = resident(self.watch("steps"))
        base = levels[0]
        # Some pages of the image are touched for the first time on the way.
        rises = distinct([[(now - then) // (64 << 10) * (64 << 10) for now, then in zip(level, base)] for level in levels])
        expected = [[step * MIB, 0, 0] for step in range(5)]
        expected += [[4 * MIB, step * 2 * MIB, 0] for step in range(1, 5)]
        expected += [[4 * MIB, 0, 0], [0, 0, 0]]
        self.assertEqual(rises, expected)

    def test_inside_of_the_core(self) -> None:
        record = self.watch("populate")
        zeroing = (512 * MIB // 1024) * 35 / (1_000_000_000 / RATE)  # arch/x86_64/zero.S
        self.assertAlmostEqual(record.weight("[system call 9]") / zeroing, 1, delta=0.02)
        self.assertEqual(record.samples[-1]["resident"][1], 512 * MIB)
        record = self.watch("faults")
        self.assertGreater(record.weight("[page fault]", "touch", "faults") / record.profile["samples"], 0.85)  # the rest is the touching
        first, last = record.samples[0], record.samples[-1]
        self.assertGreaterEqual(last["resident"][0] - first["resident"][0], 64 * MIB)
        self.assertGreaterEqual(last["faults"] - first["faults"], 64 * MIB // (2 * MIB))  # in windows of up to 512 pages
        record = self.watch("calls")
        self.assertGreater(record.weight("[system call 110]", "calls") / record.profile["samples"], 0.7)

    def test_core_called_directly(self) -> None:
        """No sample is taken while the core works, but the profile sees it."""
        record = self.watch("direct")
        first = record.samples[0]["resident"][1]
        self.assertEqual({sample["resident"][1] - first for sample in record.samples}, {0, 32 * MIB})
        self.assertGreater(len(record.samples), 10)
        self.assertGreater(record.weight("vm_segment_populate", "direct") / record.profile["samples"], 0.7)

    def test_sleep(self) -> None:
        record = self.watch("sleeps")
        self.assertAlmostEqual(record.weight("[idle]", "sleeps"), 50 * RATE // 1000, delta=2)
        self.assertGreaterEqual(record.weight("spin", "sleeps"), 19 * RATE // 1000)
        self.assertGreaterEqual(sum(12 * MS < sample["ns"] < 58 * MS for sample in record.samples), 45, "samples go on")

    def test_timer_of_the_program(self) -> None:
        done = self.start("timer", options=("--icount",))
        self.assertEqual(done.stdout.replace("\r", ""), "50 signals in 100 ms\nblocked: 0, pending 1\nthen: 1\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        record = self.record()
        self.assertAlmostEqual(record.weight("spin", "spin", "timer"), 51 * 5, delta=15, msg="a handler, on what it interrupted")

    def test_ends(self) -> None:
        for way, status in (("signalled", 137), ("crashed", 139)):
            record = self.watch(way, status, 3 * MS)  # a report looks up names
            self.assertGreaterEqual(record.weight("spin", way), 49)
            self.assertGreaterEqual(record.samples[-1]["ns"], 5 * MS)

    def test_no_timer(self) -> None:
        done = self.start("shares", options=("--cpu", "max,-apic"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("has no timer that interrupts the program"), 1, done.stdout)
        kinds = [line["kind"] for line in map(json.loads, (self.folder / "record.jsonl").read_text().splitlines())]
        self.assertEqual((kinds.count("sample"), kinds.count("stack"), kinds.count("profile")), (2, 0, 1))


class MicrovmTest(ObservedCase):
    app = "observed"
    options = ("--machine", "microvm")

    def test_shares(self) -> None:
        self.check_shares(self.watch("shares"))


class ProgramTest(ObservedCase):
    """An existing program: of this machine's glibc, with addresses of its own."""

    app = "observed-program"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.pack(SOURCE)
        cls.symbols = Symbols(cls.program)

    @classmethod
    def pack(cls, source: Path) -> None:
        """Compiles the program and has it packed in the place of the image's own."""
        values = json.loads((IMAGES / cls.app / "run.json").read_text())
        cls.program, cls.config = cls.folder / source.parent.name, cls.folder / "run.json"
        command = ["clang", "-std=gnu11", "-O2", "-fno-omit-frame-pointer", "-w", "-static", "-I", str(ROOT), str(source)]
        subprocess.run([*command, "-o", str(cls.program)], check=True)
        packed = archive.pack(archive.collect([(cls.program, Path(values["program"]["file"]).name)]))
        (cls.folder / "files").write_bytes(packed)
        cls.config.write_text(json.dumps(values | {"files": str(cls.folder / "files")}))

    def test_shares(self) -> None:
        record = self.watch("shares")
        self.check_shares(record)
        self.assertEqual(int(record.profile["entry"], 16), dict(map(reversed, self.symbols.names))["_start"])

    def test_inside_of_the_core(self) -> None:
        record = self.watch("faults")
        self.assertGreater(record.weight("[page fault]", "touch", "faults") / record.profile["samples"], 0.8)  # the rest is the touching; of some 30 samples


class TimersTest(ProgramTest):
    """The program's own timers are as on Linux, though it is interrupted for others."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.pack(ROOT / "tests/boot/images/timers/main.c")

    test_shares = test_inside_of_the_core = None

    def test_timers(self) -> None:
        here = self.start()
        there = subprocess.run([str(self.program)], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        self.assertEqual(here.stdout.replace("\r", ""), there.stdout)
        self.assertEqual((here.returncode, there.returncode), (0, 0), here.stderr)
