"""images/observe.py: from a record to counters, timeline, folded stacks and flame graph."""

import json
import subprocess
import tempfile
from pathlib import Path

from browser import DESKTOP, Browser, PageChecks
from support import IMAGES, FolderCase

OBSERVE = IMAGES / "observe.py"
SOURCE = b"""
struct tree { template <class T> __attribute__((noinline)) T grow(T by) { return by * size; } long size; };
__attribute__((noinline)) long walk(struct tree *t, long by) { return t->grow(by) + 1; }
__attribute__((noinline)) static long leaf(long by) { return by + 1; }
int main(int argc, char **) { tree t = { argc }; return (int)walk(&t, leaf(argc)); }
"""
KINDS = {"stats.json", "timeline.json", "timeline.png", "timeline.html", "profile.folded", "flame.html"}


def sample(number: int, **changes: object) -> dict:
    resident = [number << 16, (number // 10) << 21, 0]
    more = {"resident": resident, "faults": number * number, "frames": number << 20, "segments": 7}
    return {"kind": "sample", "ns": number * 5_000_000, "ticks": number * 5_000_000} | more | changes


def stack(weight: int, *frames: int | str) -> dict:
    return {
        "kind": "stack",
        "weight": weight,
        "stack": [frame if isinstance(frame, str) else hex(frame) for frame in frames],
    }


def profile(**changes: object) -> dict:
    return {
        "kind": "profile",
        "rate": 1000,
        "samples": 9,
        "idle": 2,
        "skipped": 3,
        "flushes": 0,
        "entry": "0x1",
    } | changes


class ObserveCase(PageChecks, FolderCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.elf = cls.compile(Path(folder.name, "app.debug"), "-static", "-no-pie")

    def record(self, *rows: dict, end: bytes = b"") -> Path:
        return self.write("out/record", b"".join(json.dumps(row).encode() + b"\n" for row in rows) + end)

    def observe(
        self, record: Path, *arguments: object, elf: Path | None = None, **options
    ) -> subprocess.CompletedProcess[str]:
        command = [OBSERVE, record, "--elf", elf or self.elf, *arguments]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=60, check=False, **options
        )

    def made(self) -> set[str]:
        return {path.name for path in (self.folder / "out").iterdir()} - {"record"}

    def folded(self) -> dict[str, int]:
        lines = (self.folder / "out/profile.folded").read_text().splitlines()
        return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines}

    @staticmethod
    def compile(elf: Path, *options: str) -> Path:
        subprocess.run(["g++", "-O1", *options, "-xc++", "-", "-o", str(elf)], input=SOURCE, check=True)
        return elf

    def functions(self, elf: Path) -> dict[str, tuple[int, int]]:
        """Address and size, by the name as it is written."""
        listed = subprocess.run(["nm", "-CS", str(elf)], capture_output=True, text=True, check=True).stdout
        rows = [row.split(" ", 3) for row in listed.splitlines() if row[:1] != " "]
        return {row[3].split("(")[0]: (int(row[0], 16), int(row[1], 16)) for row in rows if len(row) == 4}


class ProfileTest(ObserveCase):
    def setUp(self) -> None:
        super().setUp()
        self.known = self.functions(self.elf)

    def test_names(self) -> None:
        """A C++ name is readable, a return address is the call's, a call that ends its function included."""
        (main, _), (walk, walk_size), (leaf, _) = self.known["main"], self.known["walk"], self.known["leaf"]
        grow = next(place for name, place in self.known.items() if "grow" in name)
        end = main + 9
        rows = [stack(3, grow[0], walk + 5, end), stack(2, grow[0] + 1, walk + walk_size, end), stack(4, leaf, end)]
        rows += [stack(1, "[core]", leaf + 1, end), stack(5, 0x7FFF12345678, end), stack(6, "[core]")]
        done = self.observe(self.record(*rows))
        self.assertEqual(done.returncode, 0, done.stderr)
        grow_name = next(name for name in self.folded() if "grow" in name).split(";")[-1]
        self.assertNotIn("_Z", grow_name)
        wanted = {
            f"main;walk;{grow_name}": 5,
            "main;leaf": 4,
            "main;leaf;[core]": 1,
            "main;[0x7fff12345678]": 5,
            "[core]": 6,
        }
        self.assertEqual(self.folded(), wanted)
        self.assertIn("no stats at the end and no samples", done.stderr)
        self.assertEqual(self.made(), {"profile.folded", "flame.html"})

    def test_program_elsewhere(self) -> None:
        """A second program, at the base that is told or the one without a random address; stripped it has offsets."""
        pie = self.compile(self.folder / "pie", "-static-pie")
        place, _ = self.functions(pie)["walk"]
        main, _ = self.known["main"]
        for base, options in ((0x10000000, ["--base", "0x10000000"]), (0x555555554000, [])):
            done = self.observe(self.record(stack(7, base + place, main + 3)), "--program", pie, *options)
            self.assertEqual((done.returncode, self.folded()), (0, {"main;walk": 7}), done.stderr)
        subprocess.run(["strip", str(pie)], check=True)
        self.observe(self.record(stack(7, 0x10000000 + place)), "--program", pie, "--base", 0x10000000)
        self.assertEqual(self.folded(), {f"[pie+{place:#x}]": 7})

    def test_program_where_the_record_says(self) -> None:
        """By the address at which it began; a record of another is refused, a program that is not named is missed."""
        pie, base = self.compile(self.folder / "pie", "-static-pie"), 0x7E1234567000
        place, _ = self.functions(pie)["walk"]
        start, _ = self.functions(pie)["_start"]
        rows = stack(7, base + place), profile(entry=hex(base + start))
        done = self.observe(self.record(*rows), "--program", pie)
        self.assertEqual((done.returncode, self.folded()), (0, {"walk": 7}), done.stderr)
        self.assertNotIn("began", done.stderr)
        self.assertIn("named with --program", self.observe(self.record(*rows)).stderr)
        wrong = self.record(stack(7, base + place), profile(entry=hex(base + start + 8)))
        self.assert_refused(self.observe(wrong, "--program", pie), "not the program of this record")

    def test_system_calls(self) -> None:
        """They have their names; what called them is before the address behind them, and a fault is at its own."""
        (walk, size), (leaf, _) = self.known["walk"], self.known["leaf"]
        rows = [stack(1, "[system call 9]", walk + size), stack(2, "[page fault]", leaf)]
        rows += [stack(3, "[system call 59999]"), stack(4), profile(entry=hex(self.known["_start"][0]))]
        done = self.observe(self.record(*rows))
        wanted = {"walk;[mmap]": 1, "leaf;[page fault]": 2, "[system call 59999]": 3, "[unknown]": 4}
        self.assertEqual((self.folded(), "began" in done.stderr), (wanted, False))
        page = (self.folder / "out/flame.html").read_text()
        self.assertIn("1,000 samples a second, 2 of them while it waited, and 3 more", page)

    def test_flame_graph(self) -> None:
        """It looks right, and a click, the search and the way back do what they say, on a phone too."""
        (main, _), (walk, _), (leaf, _) = self.known["main"], self.known["walk"], self.known["leaf"]
        calls = [walk, leaf] * 12
        rows = [stack(weight, *(frame + 1 for frame in calls[:weight]), main + 9) for weight in range(1, 24)]
        self.assertEqual(self.observe(self.record(*rows, stack(90, "[core]", leaf + 1, main + 9))).returncode, 0)
        page = self.folder / "out/flame.html"
        browser = self.browser = self.enterContext(Browser())
        self.assert_looks(page)
        browser.open(page, DESKTOP, "dark")
        boxes = "[...document.querySelectorAll('.flame div')]"
        total = sum(range(1, 24)) + 90
        self.assertIn(f"{total} samples", browser.evaluate("document.body.innerText"))
        core = f"{boxes}.find(e => e.textContent == '[core]')"
        width = f"Math.round({core}.getBoundingClientRect().width / {core}.parentNode.clientWidth * 1000)"
        self.assertEqual(browser.evaluate(width), round(90 / total * 1000))
        browser.evaluate(f"{core}.click()")
        self.assertEqual(browser.evaluate(width), 1000)
        shown = browser.evaluate(f"{boxes}.filter(e => !e.hidden).map(e => e.textContent).sort()")
        self.assertEqual(shown, ["[core]", "leaf", "main"])
        self.assertIn(f"{90 / total:.1%}", browser.evaluate("document.getElementById('about').textContent"))
        browser.evaluate("document.getElementById('whole').click()")
        self.assertEqual(browser.evaluate(f"{boxes}.filter(e => e.hidden).length"), 0)
        browser.evaluate("search.value = 'CORE'; search.dispatchEvent(new Event('input'))")
        self.assertIn(
            f"1 boxes hold “CORE”: {90 / total * 100:.1f} %",
            browser.evaluate("document.getElementById('about').textContent"),
        )
        self.assertEqual(browser.evaluate("document.querySelectorAll('.found').length"), 1)
        self.assertEqual(browser.complaints(), [])

    def test_hostile_names(self) -> None:
        """A name in brackets is only ever text."""
        name = "[<img src=x onerror=alert(1)>; \"']"
        self.assertEqual(self.observe(self.record(stack(2, name))).returncode, 0)
        self.assertNotIn("<img", (self.folder / "out/flame.html").read_text())
        self.assertEqual(self.folded(), {name.replace(";", ":"): 2})

    def test_many_stacks(self) -> None:
        """What is too narrow to see is left out of the picture, and said; nothing is left out of the folded stacks."""
        rows = [stack(1, f"[leaf {i}]", "[root]") for i in range(6000)] + [stack(6000, "[wide]", "[root]")]
        self.assertEqual(self.observe(self.record(*rows)).returncode, 0)
        page = (self.folder / "out/flame.html").read_text()
        self.assertIn("6,000 boxes narrower than 1/4000 are left out", page)
        self.assertEqual(page.count('<div class="t'), 2)
        self.assertEqual(sum(self.folded().values()), 12000)


class RecordTest(ObserveCase):
    def test_cpus(self) -> None:
        """Where a program can create threads samples tell of CPUs, which started when there were two."""
        rows = [sample(0, busy=[7], contended=0, shootdowns=0)]
        rows += [sample(i, busy=[i * 4_000_000, i * 1_000_000], contended=3 * i, shootdowns=i) for i in range(1, 50)]
        done = self.observe(self.record(*rows))
        self.assertEqual(done.returncode, 0, done.stderr)
        made = json.loads((self.folder / "out/timeline.json").read_text())["samples"]
        self.assertEqual((made[0]["busy"], made[2]["busy"], made[2]["contended"]), ([7], [8_000_000, 2_000_000], 6))
        page = (self.folder / "out/timeline.html").read_text()
        for text in ("CPU 1 busy", "49 ms", "locks found taken", "147", "CPUs that run threads"):
            self.assertIn(text, page)
        one = [row | {"busy": row["busy"][:1]} for row in rows]
        self.observe(self.record(*one))
        self.assertNotIn("CPUs that run threads", (self.folder / "out/timeline.html").read_text())
        self.assertIn("1 line", self.observe(self.record(*rows, sample(50, busy=[-1], contended=0, shootdowns=0))).stderr)

    def test_whole_record(self) -> None:
        stats = {"kind": "stats", "faults": 3, "drivers": {"anon": [1, 2]}}
        done = self.observe(self.record(*map(sample, range(1, 1500)), stack(1, "[core]"), stats))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.made(), KINDS)
        self.assertEqual({Path(line).name for line in done.stdout.splitlines()}, KINDS)
        self.assertEqual(json.loads((self.folder / "out/stats.json").read_text()), stats)
        samples = json.loads((self.folder / "out/timeline.json").read_text())["samples"]
        self.assertEqual(
            samples, [{key: value for key, value in sample(i).items() if key != "kind"} for i in range(1, 1500)]
        )
        browser = self.browser = self.enterContext(Browser())
        self.assert_looks(self.folder / "out/timeline.html")
        browser.open(self.folder / "out/timeline.html", DESKTOP, "light")
        text = browser.evaluate("document.body.textContent")
        self.assert_pictures((self.folder / "out/timeline.png").read_bytes())
        for words in (
            "1,499 in 7.49 s",
            "4 KiB pages",
            "2 MiB pages",
            "Page faults",
            "Memory taken from the frame allocator",
            "2,247,001",
        ):
            self.assertIn(words, text)
        self.assertNotIn("1 GiB pages", text)

    def test_damaged_record(self) -> None:
        """QEMU was ended in the middle of a line, firmware wrote into it, fields are wrong: what is whole counts."""
        wrong = [
            sample(3, faults=-1),
            sample(3, resident=[1, 2]),
            sample(3, ns=1 << 64),
            {"kind": 1},
            profile(entry="?"),
            stack(1, "main"),
            stack(True, "[a]"),
        ]
        for row in wrong:
            row["mark"] = "\u00e9"
        junk = b'\x00\xff SeaBIOS\n[1, 2]\n"text"\n' + b"[" * 100000 + b"\n"
        whole = [sample(1), sample(2), stack(4, "[core]"), {"kind": "of a later version"}]
        done = self.observe(self.record(*wrong, *whole, end=junk + json.dumps(sample(9)).encode()[:-20]))
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"{len(wrong) + 5} lines were left out", done.stderr)
        self.assertEqual(len(json.loads((self.folder / "out/timeline.json").read_text())["samples"]), 2)
        self.assertEqual(self.folded(), {"[core]": 4})
        self.assertEqual(len(done.stderr.splitlines()), 2)
        self.assertIn("no stats at the end", done.stderr)

    def test_one_sample(self) -> None:
        """And samples at the same time, with nothing resident."""
        for rows in ([sample(0)], [sample(1, resident=[0, 0, 0])] * 3):
            done = self.observe(self.record(*rows))
            self.assertEqual((done.returncode, "Warning" in done.stderr), (0, False), done.stderr)

    def test_refusals(self) -> None:
        good = self.record(stack(1, "[core]"))
        for words, arguments in {
            ("is empty", "--profile"): [self.write("in/empty")],
            ("none of its 2 lines", "--profile"): [self.write("in/text", b"no\nrecord\n")],
            ("No such file", "record.jsonl"): [self.folder / "absent"],
            ("not a 64-bit",): [good, "--elf", self.write("in/elf", b"text")],
            ("damaged ELF",): [good, "--elf", self.write("in/bad", b"\x7fELF\x02\x01" + b"\xff" * 80)],
            ("no.elf", "No such file"): [good, "--elf", self.folder / "no.elf"],
            ("cannot become an image",): [good, "--program", self.write("in/program", b"#!/bin/sh\n")],
        }.items():
            with self.subTest(words):
                self.assert_refused(self.observe(*arguments), *words)
        self.assertEqual(self.made(), set())
        self.assertIn("'x' is no address", self.observe(good, "--base", "x").stderr)

    def test_without_matplotlib(self) -> None:
        """All that needs no picture is there, and a line says what is missing."""
        self.write("other/matplotlib.py", b"raise ImportError\n")
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.folder / "other")}
        done = self.observe(self.record(sample(1), stack(1, "[core]"), {"kind": "stats"}), env=environment)
        self.assert_refused(done, "apt-get install python3-matplotlib")
        self.assertEqual(self.made(), {"stats.json", "timeline.json", "profile.folded", "flame.html"})
        self.assertEqual(self.observe(self.record(stack(1, "[core]")), env=environment).returncode, 0)

    def test_output_elsewhere(self) -> None:
        self.observe(self.record(stack(1, "[core]")), "--output", self.folder / "new/folder")
        self.assertEqual(
            {path.name for path in (self.folder / "new/folder").iterdir()}, {"profile.folded", "flame.html"}
        )
        self.assertEqual(self.made(), set())
