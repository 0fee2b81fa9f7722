"""The statistics at the end of an image, against what its program (tests/boot/images/observe) says that it did."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from booting import TIMEOUT, AppCase

PAGES = {"4k": 4 << 10, "2m": 2 << 20, "1g": 1 << 30}
TOLERANCE = 256 << 10  # bytes of the libc and of the stack


class StatsTest(AppCase):
    app = "observe"

    def end(self, how: str, status: int, *options: str) -> tuple[str, list[dict]]:
        """Runs the program: its output and the lines of the record."""
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            record = Path(folder, "record.jsonl")
            command = [*self.launcher("--record", str(record), "--timeout", str(TIMEOUT), *options), "--", how]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
            )
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            return done.stdout, [json.loads(line) for line in record.read_text().splitlines()]

    def stats(self, how: str, status: int, *options: str) -> tuple[str, dict]:
        output, record = self.end(how, status, *options)
        self.assertEqual([line["kind"] for line in record], ["stats"])
        self.assertNotIn("cpus", record[0])  # its program cannot create threads
        self.assertEqual((record[0]["name"], record[0]["status"]), ("observe", status))
        return output, record[0]

    def check_segments(self, output: str, stats: dict) -> None:
        """Pages and faults of the segments that the program told of: exactly what it touched."""
        told = re.findall(r"^segment (\w+) (0x[0-9a-f]+) (\d+) (\d+)$", output, re.MULTILINE)
        self.assertEqual([name for name, *_ in told], ["anon", "anon", "own", "file"])
        segments = {segment["start"]: segment for segment in stats["segments"]}
        for name, start, count, page in told:
            size = next(key for key, value in PAGES.items() if value == int(page))
            segment = segments[start]
            others = dict.fromkeys(PAGES, 0)
            self.assertEqual(segment["fault_pages"], others | {size: int(count)}, name)
            pages = 4 if name == "file" else int(count)  # two of the four were read and then copied
            self.assertEqual(segment["resident_pages"], others | {size: pages * int(page)}, name)
            self.assertEqual((segment["faults_refused"], segment["fallbacks"], segment["access"]), (0, 0, "rw-"))
        self.assertEqual(segments[told[2][1]]["driver"], 'an "own" driver')
        self.assertEqual(segments[told[2][1]]["text"], '"256"\n\\')

    def check_sums(self, stats: dict) -> None:
        """One fact in several places is the same in all."""
        self.assertEqual(stats["faults"], sum(stats["fault_pages"].values()))
        for size in PAGES:
            by_kind = sum(kind[size] for kind in stats["fault_kinds"].values())
            by_driver = sum(driver["fault_pages"][size] for driver in stats["drivers"])
            self.assertEqual((by_kind, by_driver), (stats["fault_pages"][size],) * 2)
            resident = sum(segment["resident_pages"][size] for segment in stats["segments"])
            later = resident - stats["resident_pages"][size]  # while the program's driver described its segment
            self.assertIn(later, range(4 * PAGES["4k"] if size == "4k" else 1))
        for key in ("peak", "resident"):
            self.assertEqual(stats[key], sum(stats[f"{key}_pages"].values()))
        self.assertEqual(sum(driver["segments"] for driver in stats["drivers"]), len(stats["segments"]))
        self.assertEqual(stats["segments_left_out"], 0)
        frames = stats["frames"]
        self.assertLessEqual(frames["least_free"], frames["free"])
        self.assertLess(frames["free"], frames["total"])
        self.assertLess(stats["peak"], frames["total"] - frames["least_free"] + (2 << 20))  # the image is no frames

    def check_times(self, stats: dict) -> None:
        timed = stats["fault_ticks"]
        served = sum(timed[size]["count"] for size in PAGES)
        self.assertEqual(served, stats["faults"] - 1)  # one for the program's stack, before it began
        for outcome in timed.values():
            self.assertEqual(sum(count for _, count in outcome["buckets"]), outcome["count"])
            starts = [start for start, _ in outcome["buckets"]]
            self.assertEqual(starts, sorted(set(starts)))
            if outcome["count"]:
                self.assertLessEqual(starts[0], outcome["least"])
                self.assertLessEqual(starts[-1], outcome["most"])
                self.assertLessEqual(outcome["least"] * outcome["count"], outcome["sum"])

    def check_table(self, output: str, status: int) -> None:
        """Behind what the program printed."""
        table = output[output.index(f"quire: statistics of observe, which ended with status {status}") :]
        for pattern in (
            r"^time +\d+\.\d{3} s, [\d,]+ ticks", r"^  at the end .* 6\.0 MiB ", r"^  at the peak .* 48\.0 MiB ",
            r"^  the program's drivers +11 +0 +0 +11$", r"^  files, their copies +6 +0 +0 +6$", r"^spans .* at most 512 KiB$",
            r'^an "own" drive +1 +44 KiB +11 +0 +0 +0 +0$', r"^[0-9a-f]{16} +8\.0 MiB +6\.0 MiB +3 +0  anon$",
            r"^ticks of faults, pages of 2M: 27, ", r"^  from [\d, ]{15}  #{40} +\d+$", r"^ticks of faults, refused: \d, ",
        ):  # fmt: skip
            self.assertRegex(table, re.compile(pattern, re.MULTILINE))
        self.assertLess(max(map(len, table.splitlines())), 121)

    def test_everything_that_was_done(self) -> None:
        output, stats = self.stats("exit", 7)
        self.check_segments(output, stats)
        self.check_sums(stats)
        self.check_times(stats)
        self.check_table(output, 7)
        self.assertEqual(stats["fault_kinds"]["program"], {"4k": 11, "2m": 0, "1g": 0})
        self.assertEqual(stats["fault_kinds"]["file"], {"4k": 6, "2m": 0, "1g": 0})
        self.assertEqual(stats["fault_pages"]["2m"], 3 + 24)
        self.assertEqual((stats["faults_refused"], stats["fault_ticks"]["refused"]["count"]), (5, 5))
        self.assertEqual(stats["spans"], {"number": 0, "bytes": 0, "peak": 512 << 10})
        self.assertGreaterEqual(stats["zeroed"], 27 * PAGES["2m"] + 48 * PAGES["4k"])

    def test_peak(self) -> None:
        output, stats = self.stats("exit", 7)
        kib = int(re.search(r"^peak (\d+)$", output, re.MULTILINE)[1])
        later = stats["peak"] - (kib << 10)  # what getrusage said: afterwards only pages of the image were touched
        self.assertIn(later, range(64 << 10))
        self.assertEqual(stats["peak_pages"]["2m"], 48 << 20)
        gone = (48 << 20) + (512 << 10)
        self.assertAlmostEqual(stats["peak"] - gone, stats["resident"] - (6 << 20), delta=TOLERANCE)

    def test_smaps(self) -> None:
        output, stats = self.stats("exit", 7)
        told = dict(re.findall(r"^smaps (\w+): +(\d+)$", output, re.MULTILINE))
        for size, key, later in (("4k", "Faults_4K", 3), ("2m", "Faults_2M", 0), ("1g", "Faults_1G", 0)):
            living = sum(segment["fault_pages"][size] for segment in stats["segments"])
            self.assertIn(living - int(told[key]), range(later + 1), key)  # reading smaps itself takes some memory
        self.assertEqual((told["Faults_Refused"], told["Fallbacks"]), ("5", "0"))

    def test_counting(self) -> None:
        """With -icount a tick is an instruction and a nanosecond, and two runs are the same."""
        options = ("--icount", "--append", "quire.aslr=off")
        first, second = self.stats("exit", 7, *options), self.stats("exit", 7, *options)
        self.assertEqual(first, second)
        stats = first[1]
        self.assertEqual(stats["calibration"], 1.0)
        self.assertAlmostEqual(stats["ticks"], stats["ns"], delta=2000)
        zeroing = PAGES["2m"] // 1024 * 35  # arch/x86_64/zero.S
        self.assertTrue(zeroing < stats["fault_ticks"]["2m"]["least"] < zeroing + 1000)

    def test_other_ends(self) -> None:
        """By a signal, by a report of an exception, by a panic of the core."""
        for how, status in (("abort", 134), ("access", 139), ("panic", 134)):
            with self.subTest(how):
                output, stats = self.stats(how, status)
                self.check_segments(output, stats)
                self.check_sums(stats)
                self.check_table(output, status)

    def test_a_damaged_address_space(self) -> None:
        """The report of it breaks; time and status are told all the same, and nothing of memory."""
        output, stats = self.stats("space", 134)
        self.assertIn("memory can no longer be looked at", output)
        self.assertGreater(stats["ticks"], 0)
        self.assertEqual(stats["fault_ticks"]["2m"]["count"], 27)
        for key in ("faults", "resident", "peak", "segments", "frames"):
            self.assertNotIn(key, stats)

    def test_an_end_that_breaks_the_statistics(self) -> None:
        """The program's driver faults while the table is printed: a report, its status, and no half a line."""
        output, record = self.end("damage", 134)
        self.assertEqual(record, [])
        self.assertIn("quire: program: null pointer write at 0x8", output)

    def test_nothing_is_written_without_the_word(self) -> None:
        """The device is there, but the command line does not say so."""
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            command = self.launcher("--record", str(Path(folder, "record")), "--dry-run", "--", "exit")
            dry = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            command = dry.replace("quire.record=debugcon ", "")
            self.assertNotEqual(command, dry)
            done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=TIMEOUT, check=False)  # fmt: skip
            self.assertIn("quire: statistics of observe", done.stdout)
            self.assertEqual(Path(folder, "record").read_bytes(), b"")

    def test_the_word_without_the_device(self) -> None:
        command = self.launcher("--dry-run", "--", "exit")
        dry = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        command = re.sub(r"-chardev \S+ -device isa-debugcon\S+ ", "", dry)
        self.assertNotEqual(command, dry)
        done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)  # fmt: skip
        self.assertIn("quire: quire.record=debugcon: there is no such device", done.stdout)
        self.assertIn("quire: statistics of observe", done.stdout)

    def test_microvm(self) -> None:
        self.check_sums(self.stats("exit", 7, "--machine", "microvm")[1])


class CpuStatsTest(AppCase):
    app = "observe-threads"

    def test_two_ends_at_once(self) -> None:
        """Who ends the program while another one does so leaves that its statistics."""
        for _ in range(5):
            with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
                record = Path(folder, "record.jsonl")
                command = self.launcher("--record", str(record), "--timeout", str(TIMEOUT), "--cpus", "2")
                done = subprocess.run(
                    [*command, "--", "end"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=2 * TIMEOUT,
                    check=False,
                )
                self.assertEqual(done.returncode, 5, done.stdout + done.stderr)
                lines = [json.loads(line) for line in record.read_text().splitlines()]
            self.assertEqual([line["status"] for line in lines if line["kind"] == "stats"], [5])

    def test_counters(self) -> None:
        """What two threads, each on a CPU of its own, did to each other."""
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            record = Path(folder, "record.jsonl")
            command = self.launcher("--record", str(record), "--timeout", str(TIMEOUT), "--cpus", "2")
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            lines = [json.loads(line) for line in record.read_text().splitlines()]
        told = re.search(r"^protections (\d+) blocks (\d+) busy (\d+)$", done.stdout, re.MULTILINE)
        protections, blocks, busy_ms = map(int, told.groups())
        [stats] = [line for line in lines if line["kind"] == "stats"]
        samples = [line for line in lines if line["kind"] == "sample"]
        main, other = stats["cpus"]
        self.assertEqual((main["freed_elsewhere"], other["freed_elsewhere"]), (blocks, 0))
        self.assertEqual((main["shootdowns"], main["shot_pages"], main["shot_cpus"]), (protections,) * 3)
        self.assertEqual((other["shootdowns"], main["served"], other["served"]), (0, 0, protections))
        self.assertGreaterEqual(other["busy_ns"], busy_ms * 1_000_000)
        self.assertEqual(other["migrations"], 1)  # at the start, from its maker's CPU
        for cpu, sender in ((main, other), (other, main)):
            self.assertGreaterEqual(cpu["switches"], cpu["preemptions"] + cpu["migrations"])
            self.assertLessEqual(cpu["interrupts_received"], sender["interrupts_sent"])
            self.assertLessEqual(cpu["busy_ns"], stats["ns"] * 1.1 + 50_000_000)  # it ran a little before the program
        self.assertIsNotNone(re.search(rf"^0 .* {protections} +{protections} .* {blocks}$", done.stdout, re.MULTILINE))
        self.assertEqual(len(samples[-1]["busy"]), 2)
        self.assertEqual(samples[-1]["shootdowns"], protections)
        for before, after in zip(samples, samples[1:]):
            self.assertLessEqual(before["contended"], after["contended"])
