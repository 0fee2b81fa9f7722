"""images/gdb.py and images/panic.py: what the debugger shows agrees with what an image knows of its own memory, and the
reports of misdeeds lead back to the lines that did them. Images run emulated in QEMU, with gdb in batch mode.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import IMAGES, ROOT, FolderCase

import panic
import qemu
import symbols
from gdb_constants import CONSTANTS, C

LOOKING_IN = ROOT / "build/test/looking-in/run.json"
MISDEEDS = ROOT / "build/test/misdeeds/run.json"
EXISTING = ROOT / "build/test/linux-program/run.json"
THREADS = ROOT / "build/test/thread-report/run.json"
CLOCK = ROOT / "build/test/clock-cpus/run.json"
THREADS_C = "tests/boot/images/thread-report/main.c"
MISDEEDS_C = "tests/boot/images/misdeeds/main.c"
MARK = 0x6B726F77206F6E21  # of looking-in
MIB = 1 << 20
SEPARATOR = "=== next ==="
MEMORY_COMMANDS = ("quire-segments", "quire-segment main", "quire-fault", "quire-frames", "quire-spans", "quire-statistics")


def debug(config: Path, *commands: str, machine: bool = True, memory: str = "64M", cpus: str = "1") -> tuple[list[str], str]:
    """What each of gdb's commands printed, and what the image did."""
    description = qemu.load_config(config)
    port = qemu.free_port()
    options = qemu.make_parser().parse_args(["run", "--config", str(config), "--memory", memory, "--cpus", cpus])
    options.arguments = None
    gdb = [*qemu.gdb_command(description), "-batch", "-nx"]
    if machine:
        gdb += ["-ex", f"target remote 127.0.0.1:{port}"]
    for command in commands:
        gdb += ["-ex", f"echo \\n{SEPARATOR}\\n", "-ex", command]
    gdb += ["-ex", f"echo \\n{SEPARATOR}\\n"]
    with tempfile.TemporaryFile() as console:
        guest = None
        if machine:
            command = qemu.build_command(description, options, "tcg", port)
            guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console)
        try:
            done = subprocess.run(gdb, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=120, check=False, cwd=ROOT)  # fmt: skip
        finally:
            if guest:
                guest.kill()
                guest.wait()
        console.seek(0)
        return [part.strip("\n") for part in done.stdout.split(SEPARATOR)[1:-1]], console.read().decode(errors="replace")


def row_of(table: str, *beginnings: str) -> list[str]:
    """The cells of the first row that begins like that; two spaces or more part them."""
    for row in table.split("\n"):
        if row.startswith(beginnings):
            return re.split(r" {2,}", row)
    raise AssertionError(f"no row {beginnings} in:\n{table}")


class ConstantsTest(unittest.TestCase):
    def test_constants(self) -> None:
        """Those of images/gdb_constants.py are those of the C sources."""
        for file, values in CONSTANTS.items():
            command = ["clang", "--target=x86_64-linux-gnu", "-ffreestanding", "-E", "-dM", "-I.", "-Iarch/x86_64", file]
            macros = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            prints = "".join(f'printf("%lu\\n", (unsigned long)({name}));' for name in values)
            code = f"typedef unsigned long size_t, uint64_t, vaddr_t; int printf(const char *, ...);\n{macros}\nint main(void) {{ {prints} }}\n"
            with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
                program = Path(folder) / "constants"
                subprocess.run(["clang", "-w", "-xc", "-", "-o", program], input=code, text=True, check=True)
                found = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
            self.assertEqual(dict(zip(values, map(int, found), strict=True)), values, file)


class MemoryTest(unittest.TestCase):
    """One run of looking-in: before paging, in the fault of a driver of its own, and where it waits."""

    WALKS = (
        "small + 0x5120", "large + 0x200120", "kept", "gone", "window + 0x1234", "scattered", "span", "lent",
        "small + 0x400000", "own + 0x1234",
    )  # fmt: skip
    shown: dict[str, str]
    counts: dict[str, list[int]]
    free: int

    @classmethod
    def setUpClass(cls) -> None:
        places = [f"quire-walk places.{place}" for place in cls.WALKS]
        # The word at the physical address of a walk, by the map of RAM.
        look = "import re; at = lambda text: int(re.search(r'^physical (0x[0-9a-f]+)', text, re.M)[1], 16)"
        word = "print(gdb.parse_and_eval(f'*(unsigned long *)(0xffff800000000000 + {at(gdb.execute(\"quire-walk places.%s\", to_string=True))})'))"
        commands = [
            "help quire", *MEMORY_COMMANDS, "quire-walk 0x1234", f"python {look}", "hbreak in_fault", "continue",
            "quire-fault", "quire-statistics", "hbreak here", "continue", *MEMORY_COMMANDS, *places, "quire-walk main",
            "quire-walk 0", "quire-walk 0x8000000000000000", "quire-walk", "quire-walk no_such_name", "quire-segment places.gone",
            "quire-segment places.small + 1", f"python {word % 'small + 0x5120'}", f"python {word % 'large + 0x200120'}",
            "python print([hex(getattr(v, '__int__')()) for v in [gdb.parse_and_eval('places')[f] for f in "
            "('scattered', 'span', 'span_large')]])",
            "quire-frames 0x3ffffff", "quire-frames 0x4000000",
        ]  # fmt: skip
        outputs, console = debug(LOOKING_IN, *commands)
        assert len(outputs) == len(commands), outputs
        cls.before = dict(zip(commands, outputs[:8]))
        cls.in_fault = dict(zip(commands[9:13], outputs[9:13]))
        cls.shown = dict(zip(commands[13:], outputs[13:]))
        cls.word_small, cls.word_large, cls.spans = outputs[-5:-2]
        cls.counts = {name: list(map(int, rest.split())) for name, rest in re.findall(r"^counts (\w+) (.*?)\r?$", console, re.M)}
        cls.free = int(re.findall(r"^free 0x([0-9a-f]+)", console, re.M)[-1], 16)

    def walk(self, place: str) -> str:
        return self.shown[f"quire-walk places.{place}"]

    def test_help(self) -> None:
        lines = [row.split()[0] for row in self.before["help quire"].split("\n") if row.startswith("quire-")]
        self.assertEqual(lines, ["quire-start", "quire-segments", "quire-segment", "quire-fault", "quire-walk", "quire-frames",
                                 "quire-spans", "quire-statistics", "quire-threads", "quire-thread", "quire-report"])  # fmt: skip

    def test_before_paging(self) -> None:
        for command in MEMORY_COMMANDS:
            self.assertRegex(self.before[command], r"^quire-[a-z]+: the (address space|frame allocator) is not up yet: .*$")
        self.assertEqual(self.before["quire-walk 0x1234"], "paging is off: 0x1234 is a physical address")

    def test_fault(self) -> None:
        rows = self.in_fault["quire-fault"].split("\n")
        self.assertRegex(rows[0], r"^0x[0-9a-f]+1234: write, no entry$")
        self.assertRegex(rows[1], r"^0x1234 bytes into the segment .* \(64 KiB, rw-\) of own$")
        self.assertEqual(self.shown["quire-fault"], "no page fault is being served")
        self.assertEqual(row_of(self.in_fault["quire-statistics"], "own")[1:4], ["1", "64 KiB", "0"])

    def test_walk_of_small_pages(self) -> None:
        text = self.walk("small + 0x5120")
        self.assertEqual([row.split()[0] for row in text.split("\n")[2:6]], ["PML4E", "PDPTE", "PDE", "PTE"])
        self.assertIn("P W S A - -  - -      table", text)
        self.assertRegex(text, r"PDE .* 3 of 512 entries used\n")
        self.assertRegex(text, r"PTE .* P W S A D -  - XD WB  page 0x[0-9a-f]+000\n")
        self.assertRegex(text, r"\nphysical 0x[0-9a-f]+120, in a page of 4 KiB\n0x5120 bytes into .*\(8 MiB, rw-\) of anon\n")
        self.assertIn("execution is refused", text)
        self.assertEqual(int(self.word_small), MARK)

    def test_walk_of_large_page(self) -> None:
        text = self.walk("large + 0x200120")
        self.assertRegex(text, r"PDE +2 MiB .* P W S A D PS - XD WB  page 0x[0-9a-f]+00000\n")
        self.assertIn("120, in a page of 2 MiB", text)
        self.assertEqual(int(self.word_large), MARK)

    def test_walk_of_kept_page(self) -> None:
        text = self.walk("kept")
        self.assertRegex(text, r"PTE .*  - - S A D -  - XD WB kept  page 0x")
        self.assertIn("in a page of 4 KiB, which cannot be accessed\n", text)
        for access in ("a read", "a write", "execution"):
            self.assertIn(f"{access} is refused by the segment's protection", text)

    def test_walk_of_nothing(self) -> None:
        self.assertRegex(self.walk("gone"), r"\nnot mapped: the P[A-Z0-9]+ is missing.*\nin no segment; .*\n  any access is refused: no driver is there$")
        text = self.walk("small + 0x400000")
        self.assertRegex(text, r"not mapped: the PDE is missing, so nothing of 0x[0-9a-f]+400000-0x[0-9a-f]+600000 \(2 MiB\) is\n")
        self.assertIn("a write asks the driver anon", text)
        self.assertIn("NULL pointers", self.shown["quire-walk 0"])
        self.assertIn("not canonical", self.shown["quire-walk 0x8000000000000000"])

    def test_walk_of_window_span_and_file(self) -> None:
        self.assertRegex(self.walk("window + 0x1234"), r" WC  page 0xfd001000\nphysical 0xfd001234, ")
        span = int(json.loads(self.spans.replace("'", '"'))[1], 16)
        self.assertIn(f"\nphysical {span - C['PHYSMAP_BASE']:#x}, ", self.walk("span"))
        self.assertRegex(self.walk("lent"), r"PTE .*  P - S A D -  - XD WB borrowed  page 0x")
        self.assertIn("a write asks the driver file", self.walk("lent"))

    def test_walk_of_text(self) -> None:
        text = self.shown["quire-walk main"]
        self.assertRegex(text, r"PTE .* P - S A - -  G -  WB  page")
        self.assertRegex(text, r"of image\n  a write is refused by the segment's protection$")

    def test_bad_arguments(self) -> None:
        self.assertRegex(self.shown["quire-walk"], r"^quire-walk: which ADDRESS\?.*$")
        self.assertEqual(self.shown["quire-walk no_such_name"], 'quire-walk: No symbol "no_such_name" in current context.')

    def test_segments(self) -> None:
        self.assertRegex(self.shown["quire-segments"], r"\nsum: 18 segments, 15(\.\d)? MiB$")
        self.assertIn("8 MiB rw- anon       faults 3/0/0", self.shown["quire-segments"])
        self.assertIn("in no segment", self.shown["quire-segment places.gone"])
        self.assertRegex(self.shown["quire-segment places.small + 1"], r"(?s)8 MiB rw- anon.*\n  size = 8388608,\n.*faults = \{3, 0, 0\}")

    def test_statistics(self) -> None:
        """As the image's own vm_driver_statistics."""
        self.assertEqual(len(self.counts), 8)
        for name, (segments, *rest) in self.counts.items():
            row = row_of(self.shown["quire-statistics"], name)
            pages, faults = rest[:3], rest[3:6]
            wanted = [segments, *pages, sum(faults), *faults, *rest[6:]]
            self.assertEqual([int(cell) for cell in [row[1], *row[4:]]], wanted, name)
        total = row_of(self.shown["quire-statistics"], "sum")
        self.assertEqual(int(total[4]), sum(counts[1] for counts in self.counts.values()))
        self.assertEqual(int(total[1]), 18)

    def test_spans(self) -> None:
        addresses = [int(word, 16) for word in json.loads(self.spans.replace("'", '"'))]
        kinds = ("scattered", "contiguous", "contiguous")
        for address, kind, size in zip(addresses, kinds, ("64 KiB", "64 KiB", "2 MiB")):
            row = row_of(self.shown["quire-spans"], f"{address:#018x}")
            self.assertEqual(row[1:4], [size, size, kind])
            if kind == "contiguous":
                self.assertEqual(row[-1], f"{address - C['PHYSMAP_BASE']:#x}")
        self.assertRegex(self.shown["quire-spans"], r"\nsum: 3 spans, 2.1 MiB: 2 contiguous \(2.1 MiB\), 1 scattered \(64 KiB\), 0 touched \(0\)$")

    def test_frames(self) -> None:
        text = self.shown["quire-frames"]
        counts = re.search(r"(\d+) frames of 4 KiB in children, (\d+) in magazines\n", text)
        self.assertEqual((int(counts[1]) + int(counts[2])) * 4096, self.free)
        picture = "".join(re.findall(r"^0x[0-9a-f]+  ([.0-9#m-]+)$", text, re.M))
        self.assertEqual(len(picture), 64 * MIB // (2 * MIB))
        summary = re.search(r"(\d+) free, (\d+) partly free, (\d+) in use, (\d+) without RAM", text)
        shown = picture.count("."), len(re.findall("[0-9]", picture)), len(re.findall("[#m]", picture)), picture.count("-")
        self.assertEqual(tuple(map(int, summary.groups())), shown)
        span_large = int(json.loads(self.spans.replace("'", '"'))[2], 16) - C["PHYSMAP_BASE"]
        self.assertEqual(picture[span_large // (2 * MIB)], "#")
        self.assertNotIn("damaged", text)
        self.assertIn("0x0000000  ", self.shown["quire-frames 0x3ffffff"])
        self.assertRegex(self.shown["quire-frames 0x4000000"], "^quire-frames: 0x4000000 is above all RAM, which ends at 0x4000000$")


class DamageTest(unittest.TestCase):
    """Whatever is wrong, there is an answer, and an end."""

    REGIONS = "'vm/segments.c'::current_space->regions"

    def at_here(self, *commands: str, **options: str) -> list[str]:
        outputs = debug(LOOKING_IN, "hbreak here", "continue", *commands, **options)[0][2:]
        self.assertEqual(len(outputs), len(commands), outputs)
        for output in outputs:
            self.assertNotIn("Python Exception", output)
            self.assertNotIn("Traceback", output)
        return outputs

    def test_segments(self) -> None:
        root = f"{self.REGIONS}[0].only->root"
        outputs = self.at_here(
            f"set var {root}->child[0] = {root}", "quire-segments",
            f"set var {root}->child[0] = (struct vm_segment *)0x5a5a5a5a5a5a", "quire-spans",
            f"set var {root}->driver = (const struct vm_segment_driver *)0x10", "quire-segments",
            f"set var {root}->magic = 0", "quire-statistics",
            f"set var {root} = (struct vm_segment *)0x5a5a5a5a5a58", "quire-segment main",
            "set var 'vm/segments.c'::current_space = (struct address_space *)0x5a5a5a5a5a5a5a5a", *MEMORY_COMMANDS, "quire-walk main",
        )  # fmt: skip
        self.assertIn("is linked twice", outputs[1])
        self.assertIn("sum: 18 segments", outputs[1])
        self.assertIn("cannot be read", outputs[3])
        self.assertIn("64 KiB rw- ?  ", outputs[5])
        self.assertIn("is not alive", outputs[7])
        self.assertRegex(outputs[9], r"(?s)^[0-9a-f-]+ .* r-x image .*\ndamaged, .* cannot be read$")
        for output in outputs[11:14]:
            self.assertRegex(output, r"^quire-[a-z]+: the address space at 0x5a5a5a5a5a5a5a5a cannot be read: .*$")
        self.assertIn("in a page of 4 KiB", outputs[-1])

    def test_frames(self) -> None:
        store = "'vm/frames/store.c'::store"
        outputs = self.at_here(
            "set var 'vm/frames/stats.c'::frames_stored += 5", "quire-frames",
            f"set var {store}.group[0].whole = 1", "quire-frames",
            "set var 'vm/frames/magazines.c'::frame_magazines.of[0][0].count = 1000", "quire-frames",
            f"set var {store}.range_count = 100000", "quire-frames",
            f"set var {store}.children = 1ul << 60", "quire-frames",
        )  # fmt: skip
        self.assertRegex(outputs[1], r"\ndamaged, or in the middle of an operation: the children have \d+ free frames, and")
        self.assertRegex(outputs[3], r"the GiB at 0x0 has \d+ whole and \d+ partly free children, and counts 1 and")
        self.assertIn("the magazine of 4 KiB has 1000 frames, and room for 64", outputs[5])
        self.assertRegex(outputs[9], r"^quire-frames: the frame allocator is damaged: it says that it has 1152921504606846976 children")

    def test_tables(self) -> None:
        """Entries that hold anything, and tables that hold themselves."""
        entry = "*(unsigned long *)(0xffff800000000000 + ($cr3 & ~0xffful) + 8 * ((places.small >> 39) & 511))"
        outputs = self.at_here(
            f"set var {entry} = 0x5a5a5a5a5a5a5a5b", "quire-walk places.small", "quire-statistics",
            f"set var {entry} = ($cr3 & ~0xffful) | 0x23", "quire-walk places.small", "quire-statistics", "quire-segments",
        )  # fmt: skip
        for output in outputs[1:3] + outputs[4:]:
            self.assertTrue(output)
        self.assertIn("sum: 18 segments", outputs[-1])

    def test_physical_memory(self) -> None:
        """A stub without physical addresses is asked for the map of RAM; one with them is left as it was."""
        walk, mode = "quire-walk places.small", "python import gdb_core; print(gdb_core.packet('qqemu.PhyMemMode'))"
        none = "python gdb_core.packet = lambda text: b''"
        outputs = self.at_here(walk, mode, "maintenance packet Qqemu.PhyMemMode:1", walk, mode,
                               "maintenance packet Qqemu.PhyMemMode:0", none, walk)  # fmt: skip
        self.assertIn("in a page of 4 KiB", outputs[0])
        self.assertEqual((outputs[1], outputs[4]), ("b'0'", "b'1'"))
        self.assertEqual(outputs[7], outputs[0])
        self.assertEqual(outputs[3], outputs[0])

    def test_much_memory(self) -> None:
        """A part of the picture, and how to see the rest."""
        first, rest = self.at_here("quire-frames", "quire-frames 0x200000000", memory="12G")
        self.assertRegex(first, r"\nand [0-9.]+ GiB more: quire-frames 0x200000000$")
        self.assertEqual(len(re.findall(r"^0x[0-9a-f]+  [.0-9#m-]+$", first, re.M)), 64)
        self.assertRegex(rest, r"\n0x200000000  ")
        self.assertNotIn("more:", rest)

    def test_start(self) -> None:
        """At main, or without names where the core enters the program."""
        self.assertRegex(debug(LOOKING_IN, "quire-start")[0][0], r"at 0x[0-9a-f]+: file \S+/looking-in/main.c, line \d+.(?s:.*)Temporary breakpoint 1, ")
        self.assertRegex(debug(EXISTING, "quire-start")[0][0], r"(?s)Temporary breakpoint 1, cpu_start_program \(")

    def test_without_machine(self) -> None:
        commands = ("quire-walk main", "quire-frames", "quire-segments", "quire-spans", "quire-statistics", "quire-fault")
        for output in debug(LOOKING_IN, *commands, machine=False)[0]:
            self.assertRegex(output, r"^quire-[a-z]+: there is no machine: .*$")


def source_line_of(text: str, file: str = MISDEEDS_C) -> int:
    """The number of the line that holds the text, of which there is one."""
    source = (ROOT / file).read_text()
    assert source.count(text) == 1, text
    return source[: source.index(text)].count("\n") + 1


class ThreadsTest(unittest.TestCase):
    """Threads that run and wait, at a breakpoint of one of them."""

    def at_crash(self, *commands: str, cpus: str = "2") -> list[str]:
        outputs, _ = debug(THREADS, "quire-threads", "hbreak crash_here", "continue", *commands, memory="128M", cpus=cpus)
        self.assertEqual(outputs[0], "quire-threads: there are no threads yet: quire-start runs to main")
        for output in outputs:
            self.assertNotRegex(output, "Traceback|Python Exception")
        return outputs[3:]

    def test_list(self) -> None:
        table, *rest = self.at_crash("quire-threads", "set var linux_first_thread.next.next.next = (void *)0x5a5a5a5a5a5a5a5a", "quire-threads",
                                     "set var linux_first_thread.next.next.next = &linux_first_thread", "quire-threads")  # fmt: skip
        for row, state, where in (("1 ", "waits", r"futex\(0x[0-9a-f]+\)"), ("2 ", "waits", r"nanosleep\(0x[0-9a-f]+\)"),
                                  ("3 ", "waits", r"futex\(0xf{8}[0-9a-f]{8}\)"), ("4 ", "runs", "spins"), ("5 ", "runs", "crash_here")):  # fmt: skip
            cells = row_of(table, row)
            self.assertEqual(cells[2], state)
            self.assertRegex(cells[5], f"^{where}$")
        self.assertEqual([row_of(table, row)[1] for row in "2345"], ["sleeper", "waiter", "spinner", "crasher?[1m"])
        self.assertEqual({row_of(table, row)[3] for row in "45"}, {"0", "1"})
        self.assertRegex(rest[1], r"\n3 +waiter .*\ndamaged, .*: the thread at 0x5a5a5a5a5a5a5a5a cannot be read$")
        self.assertRegex(rest[3], r"\n3 +waiter .*\ndamaged, .*: the list of threads leads back to 0x[0-9a-f]+$")

    def test_ready(self) -> None:
        table, chosen, trace = self.at_crash("quire-threads", "quire-thread 4", "backtrace", cpus="1")
        self.assertEqual(row_of(table, "4 ")[2::3], ["ready", "interrupted"])
        self.assertRegex(chosen, r"^thread 4 \(spinner\) ready, was interrupted\n#1 ")
        self.assertRegex(trace, rf"<signal handler called>.*\n#\d+ .* spins \(unused=.*\) at {THREADS_C}:\d+")

    def test_frame_allocator(self) -> None:
        """Each CPU counts by itself for a while what came to the store and left it."""
        for cpus in ("1", "2"):
            text = self.at_crash("quire-frames", cpus=cpus)[0]
            self.assertNotIn("damaged", text)
            free = re.search(r"(\d+) frames of 4 KiB in children, \d+ in magazines\n", text)
            self.assertGreater(int(free[1]) if free else 0, (64 << 20) // 4096)
            self.assertLess(int(free[1]) if free else 0, (128 << 20) // 4096)

    def test_frames(self) -> None:
        """Of one that waits, into the program; of one that runs; and nothing of it is left."""
        before, chosen, trace, caller, _, spinner, none, wrong = self.at_crash(
            "backtrace", "quire-thread 3", "backtrace", "up", "quire-thread", "quire-thread 4", "quire-thread 77", "quire-thread x")  # fmt: skip
        self.assertRegex(before, rf"^#0  crash_here .*\n#1 .* crashes \(unused=0x0\) at {THREADS_C}:\d+\n")
        self.assertRegex(chosen, r"^thread 3 \(waiter\) waits in futex\(0xf+[0-9a-f]+\)\n#1  0xf+[0-9a-f]+ in switch_to \(")
        self.assertRegex(trace, r"^#1 .* switch_to (?s:.*) in thread_park (?s:.*) in futex_wait (?s:.*)\n#\d+ +<signal handler called>.*\n#\d+ +0xf+[0-9a-f]+ in ")
        self.assertRegex(caller, r"^#2  0xf+[0-9a-f]+ in ")
        self.assertRegex(spinner, rf"^thread 4 \(spinner\) runs on CPU \d\n#0  (0x[0-9a-f]+ in )?spins \(unused=.*\) at {THREADS_C}:\d+\n")
        self.assertEqual(none, "quire-thread: there is no thread 77: quire-threads shows those there are")
        self.assertRegex(wrong, "^quire-thread: which thread\\? ")

    def test_goes_on(self) -> None:
        """The choice ends; a trap's frames lead to what it interrupted."""
        outputs = self.at_crash("quire-thread 3", "hbreak panic_begin", "continue", "backtrace")
        self.assertRegex(outputs[-1], rf"^#0  panic_begin .*(?s:.*)#3  <signal handler called>.*\n#4 .*crash_here \(\) at {THREADS_C}:\d+\n#5 .* crashes ")

    def test_core_without_threads(self) -> None:
        self.assertEqual(debug(LOOKING_IN, "quire-start", "quire-threads")[0][1], "quire-threads: the core of this image is without threads")


class CounterTest(unittest.TestCase):
    """Time-stamp counters that do not agree, pretended in the samples by which that is seen (arch/x86_64/tsc.c)."""

    def boot(self, skew: int, cpus: str) -> tuple[list[str], str]:
        pretend = "\n".join((
            "python", "class Skew(gdb.Breakpoint):", "    def stop(self):", "        for i in range(int(gdb.parse_and_eval('$rsi'))):",
            f"            gdb.execute('set var ((struct tsc_sample *)$rdi)[%d].there += {skew}' % i)", "        return False",
            "Skew('*tsc_agree', type=gdb.BP_HARDWARE_BREAKPOINT)", "end"))  # fmt: skip
        with tempfile.NamedTemporaryFile("w", suffix=".gdb") as script:
            script.write(pretend)
            script.flush()
            return debug(CLOCK, f"source {script.name}", "hbreak power_off", "continue", "print clock_scale.valid_until",
                         "print 'arch/x86_64/clock.c'::apart", "continue", memory="64M", cpus=cpus)  # fmt: skip

    def test_agree(self) -> None:
        outputs, console = self.boot(0, "2")
        valid, apart = (output.split(" = ")[1] for output in outputs[3:5])
        self.assertGreater(int(valid), 0)
        self.assertEqual(apart, "false")
        self.assertNotIn("time-stamp counter", console)

    def test_skew(self) -> None:
        """Each of two CPUs is ahead of the first one, or behind: the clock does not go back, and is read by calls."""
        for skew in (100000000, -100000000):
            outputs, console = self.boot(skew, "3")
            self.assertEqual([output.split(" = ")[1] for output in outputs[3:5]], ["0", "true"], outputs)
            told = sorted(re.findall(r"the time-stamp counter of CPU (\d) is (-?)\d+ ticks from", console))  # whoever is first
            self.assertEqual(told, [("1", "-" * (skew > 0)), ("2", "-" * (skew > 0))])
            self.assertIn("clock gone back: 0 times", console)
            self.assertIn("sleeps too short: 0", console)


class ReportTest(FolderCase):
    saved: dict[str, bytes] = {}

    def console_of(self, misdeed: str, config: Path = MISDEEDS, *options: str) -> bytes:
        """What the image printed while it did it."""
        if misdeed not in self.saved:
            command = ["run", "--config", config, "--accelerator", "tcg", *options, "--", misdeed]
            self.saved[misdeed] = self.tool("qemu.py", *command, stdin=subprocess.DEVNULL).stdout.encode()
        return self.saved[misdeed]

    def read(self, console: bytes, *options: str, config: Path = MISDEEDS) -> str:
        done = self.tool("qemu.py", "report", self.write("console.txt", console), "--config", config, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def refused(self, console: bytes, *words: str, options: tuple[str, ...] = (), config: Path = MISDEEDS) -> None:
        file = self.write("console.txt", console)
        self.assert_refused(self.tool("qemu.py", "report", file, "--config", config, *options), *words)

    def test_null_pointer(self) -> None:
        text, line = self.read(self.console_of("write-null")), source_line_of("*(volatile int *volatile)NULL = 1;")
        build = symbols.read_build((ROOT / "build/test/misdeeds/misdeeds.debug").read_bytes())
        self.assertEqual(text.split("\n")[:2], [f"report 1 of 1: image misdeeds, build {build:016x}", "program: null pointer write at 0x0"])
        self.assertRegex(text, rf"\n  #0   0xffffffff[0-9a-f]{{8}}  write_null at {MISDEEDS_C}:{line}\n +{line}    \*\(volatile int \*volatile\)NULL = 1;\n")
        call = source_line_of("misdeeds[i].act();")
        self.assertRegex(text, rf"\n  #1   0xffffffff[0-9a-f]{{8}}  main at {MISDEEDS_C}:{call}\n")
        self.assertRegex(text, r"\n  rip    f{8}[0-9a-f]{8}  0x[0-9a-f]+ bytes into 0x[0-9a-f]+-0x[0-9a-f]+ image r-x \(text\)\n")
        self.assertRegex(text, r"\n  rsp    [0-9a-f]{16}  0x[0-9a-f]+ bytes into 0x[0-9a-f]+-0x[0-9a-f]+ stack rw- \(guard below ")

    def test_stack_overflow(self) -> None:
        text, line = self.read(self.console_of("stack-overflow")), source_line_of("recurse(frame, levels - 1)")
        self.assertIn("\nprogram: stack overflow: the guard of the stack ", text)
        self.assertRegex(text, rf"\n  #1   \S+  recurse at {MISDEEDS_C}:{line}\n")
        self.assertRegex(text, r"\n  the same \d+ times more\n")
        self.assertRegex(text, r"\nthe address 0x[0-9a-f]+ is 0x[0-9a-f]+ bytes into the segment .* stack guard below ")

    def test_threads(self) -> None:
        """Other CPUs and threads, with the lines where they are, or wait."""
        text = self.read(self.console_of("crash", THREADS, "--cpus", "2"), config=THREADS)
        crash, spin, lock = (source_line_of(words, THREADS_C) for words in ("(volatile char *)64", "fetch_add(", "lock(&taken);\n    puts"))
        self.assertRegex(text, rf"\n  #0   \S+  crash_here at {THREADS_C}:{crash}\n")
        self.assertRegex(text, rf"\nCPU \d: thread 4 \(spinner\)\n  #0   \S+  spins at {THREADS_C}:{spin}\n")
        waiter = re.search(r"\nthread 3 \(waiter\): waits in futex\(0x[0-9a-f]+\), .*\n((  .*\n)*)thread 4 ", text)
        self.assertRegex(waiter[1], rf"  (perhaps )?wants_lock at {THREADS_C}:{lock}\n")
        self.assertRegex(text, r"\nthread 4 \(spinner\): runs on CPU \d, .*\nthread 5 \(crasher\?\[1m\): this one, on CPU \d, .*\n\Z")

    def test_double_free(self) -> None:
        """A panic of the core, which is compiled for size there: calls have no lines that were made one; and the second of two equal lines."""
        text = self.read(self.console_of("double-free"))
        lines = (ROOT / MISDEEDS_C).read_text().split("\n")
        second = next(i for i, line in enumerate(lines, 1) if line == "    vm_free(vm_space(), segment);" == lines[i - 2])
        self.assertRegex(text, r"\npanic: vm_free: 0x[0-9a-f]+ is not a segment that is allocated now")
        self.assertRegex(text, r"\n  #0   \S+  (check_alive at vm/space.c:\d+\n.*\n +inlined in )?vm_free\b")
        self.assertRegex(text, rf"\n  #1   \S+  double_free at {MISDEEDS_C}:{second}\n +{second}    vm_free\(vm_space\(\), segment\);\n")

    def test_report_that_broke(self) -> None:
        """Or that lacks something, as what it is about is damaged."""
        for misdeed, words in (("damage-space", "null pointer read at 0x8"), ("damage-space-pointer", "at vm/")):
            text = self.read(self.console_of(misdeed))
            self.assertIn(words, text)
            self.assertIn(f"  main at {MISDEEDS_C}:{source_line_of('misdeeds[i].act();')}\n", text)
        cut = self.console_of("write-null").split(b"quire: image")[0] + b"\nquire: and while this was reported: panic: read at 0x10\n"
        self.assertIn("it ended before it said of which build", self.read(cut))
        self.assertIn("while this was reported: panic: read at 0x10", self.read(cut))

    def test_serial_line_and_surroundings(self) -> None:
        """Ends of lines, escape sequences, the status line, what programs print, and several reports."""
        null, double = self.console_of("write-null"), self.console_of("double-free")
        noise = b"\x1b[2J\x1b[01;01HSeaBIOS\r\n\x1equire: misdeeds\nquire: program: is my name\r\nand more\nquire: segments\n"
        log = noise + null.replace(b"\n", b"\r\n") + b"\x1equire: exit 139\r\n" + noise + double + b"\x1equire: exit 134\n\xff\x80bye\n"
        last, first = self.read(log), self.read(log, "--number", "1")
        self.assertEqual(last, self.read(double).replace("report 1 of 1", "report 2 of 2"))
        self.assertEqual(first, self.read(null).replace("report 1 of 1", "report 1 of 2"))
        for number in ("0", "3"):
            self.refused(log, "console.txt", "holds 2 reports", f"no number {number}", options=("--number", number))
        self.refused(null, "holds 1 report:", options=("--number", "2"))

    def test_refusals(self) -> None:
        null = self.console_of("write-null")
        self.refused(b"", "console.txt", "holds no crash report")
        self.refused(b"hello\nquire: program: no more\n", "holds no crash report")
        self.refused(null, "of image misdeeds, build", "looking-in.debug is build", config=LOOKING_IN)
        other = re.sub(rb"build [0-9a-f]{16}", b"build 0123456789abcdef", null)
        self.refused(other, "build 0123456789abcdef")
        done = self.tool("qemu.py", "report", self.folder / "absent", "--config", MISDEEDS)
        self.assert_refused(done, "absent", "No such file")
        self.assert_refused(self.tool("qemu.py", "report", "--config", MISDEEDS), "FILE", "qemu.py report --help")

    def test_in_gdb(self) -> None:
        """The same, without a machine; wrong words are told."""
        file, empty = self.write("a console.txt", self.console_of("double-free")), self.write("empty")
        outputs, _ = debug(MISDEEDS, f"quire-report '{file}'", f"quire-report '{file}' --number 1", f"quire-report '{file}' --number 2",
                           f"quire-report {empty}", "quire-report", "quire-report a b", "quire-report 'open", machine=False)  # fmt: skip
        self.assertEqual(outputs[0] + "\n", self.read(self.console_of("double-free")))
        self.assertEqual(outputs[1], outputs[0])
        self.assertRegex(outputs[2], r"^quire-report: .*holds 1 report: there is no number 2$")
        self.assertRegex(outputs[3], r"^quire-report: .*holds no crash report: .*$")
        for output in outputs[4:]:
            self.assertRegex(output, r"^quire-report: .*$")

    def test_existing_program(self) -> None:
        """A position-independent one at a random address: the report says where it is."""
        source = self.write("crash.c", b"static int *volatile where;\nstatic void deed(int value)\n{\n    *where = value;\n}\n"
                            b"int main(void)\n{\n    where = (int *)8;\n    deed(1);\n    return 0;\n}\n")  # fmt: skip
        program, files = self.folder / "crash", self.folder / "crash.files"
        flags = ["-static-pie", "-g", "-O1", "-fno-inline", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]
        subprocess.run(["gcc", *flags, str(source), "-o", str(program)], check=True)
        listing = self.write("list", json.dumps([[str(program), "busybox"]]).encode())
        self.assertEqual(self.tool("archive.py", "--output", files, "--list", listing).returncode, 0)
        config = json.loads(EXISTING.read_text())
        config |= {"files": str(files), "program": {"file": str(program), "base": 0x555555554000}}
        description = self.write("run.json", json.dumps(config).encode())
        done = self.tool("qemu.py", "run", "--config", description, "--accelerator", "tcg", stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 139, done.stdout)
        text = self.read(done.stdout.encode(), config=description)
        self.assertRegex(text, rf"\n  #0   0x[0-9a-f]{{16}}  deed at {source}:4\n +4    \*where = value;\n")
        self.assertRegex(text, rf"  (perhaps )?main at {source}:9\n")
        outputs, _ = debug(description, f"quire-report {self.write('console', done.stdout.encode())}", machine=False)
        self.assertEqual(outputs[0] + "\n", text)


class ParseTest(unittest.TestCase):
    def test_cut_map(self) -> None:
        text = b"quire: panic: x\nquire: image a b, build 00000000000000ff\nquire: segments\nquire:   and 7 more\n"
        [report] = panic.parse(text)
        self.assertEqual((report.name, report.build, report.segments_missing), ("a b", 255, "7"))
        self.assertIn("7 are not in it", panic.render(report, "report", {}))

    def test_every_cut(self) -> None:
        """A report may end anywhere."""
        text = (b"quire: program: stack overflow\nquire: image a, build 00000000000000ff, program entered at 0x401000\n"
                b"quire: registers (CPU)\nquire:   rip 0000000000401000 rsp 0000000000000001 rflags 00000002\n"
                b"quire: backtrace (?)\nquire:   0x0000000000401000\nquire:   0x0000000000401010 ? f+0x10\nquire:   the same 3 times more\n"
                b"quire: segments\nquire:   0000000000400000-0000000000402000 8 KiB r-x file 8 KiB resident (2/0/0) faults 1  page 0 of /x\n"
                b"quire: CPU 1: thread 2 (a)\nquire:   0x0000000000401020 g+0x10\nquire: thread 1 (quire: CPU 2): waits in futex(0x1), 0.000 s of CPU time\n"
                b"quire:   0x0000000000401030\nquire:   0x0000000000401040 ?\nquire: thread 3 (b): this one, on CPU 0, 1.000 s of CPU time\nquire: and 7 more threads\n")  # fmt: skip
        for end in range(len(text) + 1):
            for report in panic.parse(text[:end]):
                panic.render(report, "report", {})
        [report] = panic.parse(text)
        self.assertEqual((report.entered, report.registers["rsp"], report.trace[2]), (0x401000, 1, 3))
        self.assertEqual(report.trace[1], panic.Place(0x401010, False, "f"))
        self.assertEqual([(other.title[:8], len(other.trace), other.instruction) for other in report.others],
                         [("CPU 1: t", 1, 0x401020), ("thread 1", 2, 0x401030), ("thread 3", 0, None), ("and 7 mo", 0, None)])  # fmt: skip
        self.assertRegex(panic.render(report, "", {}), r"\nCPU 1: thread 2 \(a\)\n  #0   0x0000000000401020  g\nthread 1 \(quire: CPU 2\): waits")
        self.assertIn("rip    0000000000401000  0x1000 bytes into 0x400000-0x402000 file r-x (page 0 of /x)", panic.render(report, "", {}))


if __name__ == "__main__":
    unittest.main()
