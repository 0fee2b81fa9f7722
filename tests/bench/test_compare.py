"""The arithmetic of tests/bench: from runs to a summary, figures and records as they are read, and what is wrong with a run."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).resolve().parent))

import compare  # noqa: E402
import machine  # noqa: E402
from machine import COUNT, Figure, Outcome  # noqa: E402
from root import ROOT  # noqa: E402
from runs import Results  # noqa: E402

import debian_source  # noqa: E402
import subjects  # noqa: E402
from manifest import read_manifest  # noqa: E402

SUBJECT = {"workload": "sample", "label": "sample", "cell": {}, "libc": "musl", "malloc": "libc", "natives": {"libc": "sample.native"}}
STATS = {"ticks": 1000, "ns": 1000, "peak": 1 << 20, "faults": 3, "calibration": 1.0}


def figure(key: str, ticks: int, ns: int = 0, operations: int = 10) -> Figure:
    return Figure(key, f"label of {key}", operations, ticks, ns, 0)


class SummaryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.results = Results(Path(self.folder.name))

    def add(self, system: str, thp: str, mode: str, turn: int = 0, **outcome) -> None:
        outcome = {"stats": STATS, **outcome}
        self.results.add((0, system, thp, mode, turn), "digest", Outcome(**outcome))

    def rows(self) -> dict[str, dict]:
        summary = compare.summary({"axes": {}, "absent": []}, [SUBJECT], self.results, [])
        self.problems = summary["problems"]
        return {row["key"]: row for row in summary["rows"]}

    def test_the_best_linux_is_chosen_for_each_row(self) -> None:
        self.add("here", "", "count", figures=[figure("map/4096", 500), figure("map/65536", 600)])
        self.add("linux", "libc/always", "count", figures=[figure("map/4096", 9000), figure("map/65536", 1000)])
        self.add("linux", "libc/never", "count", figures=[figure("map/4096", 8000), figure("map/65536", 2000)])
        rows = self.rows()
        self.assertEqual(rows["map/4096"]["linux"]["variant"], "huge pages never")
        self.assertEqual(rows["map/4096"]["ratio"], 500 / 8000)
        self.assertEqual(rows["map/65536"]["linux"]["variant"], "huge pages always")
        self.assertEqual(rows["map/65536"]["size"], 65536)
        self.assertEqual(rows["map/4096"]["group"], "operations")
        self.assertEqual(len(rows["map/4096"]["all"]), 2)
        self.assertIsNone(rows["map/4096"]["here"]["peak"])

    def test_variants(self) -> None:
        self.assertEqual(compare.variants(SUBJECT), ["libc/always", "libc/madvise", "libc/never"])
        two = SUBJECT | {"natives": {"libc": "a", "mimalloc": "b"}}
        self.assertEqual(compare.variants(two)[-1], "mimalloc/always")
        self.assertEqual(compare.variant_name(two, "mimalloc/always"), "mimalloc, huge pages always")
        self.assertEqual(compare.variants(SUBJECT | {"natives": {}}), [])

    def test_groups(self) -> None:
        self.assertEqual(compare.group_of("mapping-calls", "map_unmap/4096"), "mappings")
        self.assertEqual(compare.group_of("lua", "total"), "programs")

    def test_wall_time_is_compared_turn_by_turn(self) -> None:
        self.add("here", "", "count", figures=[figure("map/4096", 500)])
        self.add("linux", "libc/always", "count", figures=[figure("map/4096", 900)])
        for turn, (own, theirs) in enumerate([(100, 200), (300, 400), (100, 1000)]):
            self.add("here", "", "time", turn, figures=[figure("map/4096", 0, own)])
            self.add("linux", "libc/always", "time", turn, figures=[figure("map/4096", 0, theirs)])
        wall = self.rows()["map/4096"]["wall"]
        self.assertEqual(wall, {"median": 0.5, "min": 0.1, "max": 0.75, "turns": 3})

    def test_what_the_host_made_it_wait_is_not_in_wall_time(self) -> None:
        """Of a run of 1000 ns."""
        self.add("here", "", "count", figures=[figure("map/4096", 500)])
        self.add("linux", "libc/always", "count", figures=[figure("map/4096", 900)])
        self.add("here", "", "time", figures=[figure("map/4096", 0, 400)], stats=STATS | {"waited": 750})
        self.add("linux", "libc/always", "time", figures=[figure("map/4096", 0, 800)], stats=STATS | {"waited": 500})
        row = self.rows()["map/4096"]
        self.assertEqual((row["here"]["ns"], row["linux"]["ns"], row["wall"]["median"]), (10, 40, 0.25))

    def test_a_program_without_figures_is_measured_as_a_whole(self) -> None:
        self.add("here", "", "count", output="done")
        self.add("linux", "libc/always", "count", output="done", stats=STATS | {"ticks": 4000, "peak": 2 << 20})
        row = self.rows()["total"]
        self.assertEqual((row["here"]["count"], row["linux"]["count"], row["ratio"]), (1000, 4000, 0.25))
        self.assertEqual((row["here"]["peak"], row["linux"]["peak"], row["here"]["faults"]), (1 << 20, 2 << 20, 3))
        self.assertTrue(any("wait4" in note for note in row["notes"]))
        self.assertEqual(self.problems, [] if machine.guest.kernel.KERNEL.is_file() else self.problems)

    def test_other_output_is_a_problem(self) -> None:
        self.add("here", "", "count", output="3")
        self.add("linux", "libc/always", "count", output="4")
        self.rows()
        self.assertTrue(any("prints something else" in problem for problem in self.problems), self.problems)

    def test_a_failed_run_is_left_out_and_told(self) -> None:
        self.add("here", "", "count", figures=[figure("map/4096", 500)])
        self.add("linux", "libc/always", "count", error="Linux: Kernel panic - not syncing")
        self.add("linux", "libc/never", "count", figures=[figure("map/4096", 900)])
        row = self.rows()["map/4096"]
        self.assertEqual([item["variant"] for item in row["all"]], ["huge pages never"])
        self.assertIn("sample: Linux, huge pages always: Linux: Kernel panic - not syncing", self.problems)

    def test_a_row_that_is_only_here(self) -> None:
        self.add("here", "", "count", figures=[figure("frame_pair/4096", 200)])
        self.add("linux", "libc/always", "count", figures=[figure("null_call", 900)])
        row = self.rows()["frame_pair/4096"]
        self.assertIsNone(row["linux"])
        self.assertIsNone(row["ratio"])

    def test_sweep(self) -> None:
        absent = {"name": "sample", "label": "sample pages=2m", "cell": {"pages": "2m"}, "why": "no room"}
        plan = {"axes": {"pages": ["4k", "2m"]}, "absent": [absent], "default": {"pages": "4k"}}
        self.add("here", "", "count", figures=[figure("total", 700, operations=1)])
        subject = SUBJECT | {"cell": {"pages": "4k"}}
        summary = compare.sweep_summary(plan, [subject], self.results, [])
        good = next(cell for cell in summary["cells"] if cell["pages"] == "4k")
        bad = next(cell for cell in summary["cells"] if cell["pages"] == "2m")
        self.assertEqual((good["count"], good["error"]), (700, None))
        self.assertEqual((bad["count"], bad["error"]), (None, "no room"))
        self.assertEqual(summary["problems"], ["sample pages=2m: no room"])
        self.assertEqual([cell["pages"] for cell in summary["cells"]], ["4k", "2m"], "in the order of the axes")

    def test_resuming_takes_only_what_would_be_the_same(self) -> None:
        self.add("here", "", "count", output="kept")
        self.add("linux", "libc/always", "count", error="it did not end")
        again = Results(Path(self.folder.name))
        with (Path(self.folder.name) / "running.jsonl").open("a") as stream:
            stream.write('{"run": [1, "here"')  # cut off
        self.assertEqual(again.load(), 2)
        self.assertEqual(again.find((0, "here", "", "count", 0), "digest")["output"], "kept")
        self.assertIsNone(again.find((0, "here", "", "count", 0), "other digest"))
        self.assertIsNone(again.find((0, "linux", "libc/always", "count", 0), "digest"), "what failed is done again")

    def test_results_that_cannot_be_written_are_kept_in_memory(self) -> None:
        (Path(self.folder.name) / "running.jsonl").mkdir()
        self.add("here", "", "count", output="kept")
        self.assertEqual(len(self.results.runs), 1)
        self.assertEqual(len(self.results.problems), 1)
        self.results.finish({})
        self.assertEqual(len(self.results.problems), 1)


class RunTest(unittest.TestCase):
    def checked(self, status: int | None, complaints: str = "", **outcome) -> Outcome:
        result = Outcome(**{"stats": STATS, **outcome})
        machine.check(result, status, COUNT, 5, complaints)
        return result

    def test_figures_are_taken_out_of_the_output(self) -> None:
        text = "hello\r\nbench\tmap/4096\tmmap + munmap\t10\t500\t90\t4096\r\nbench\tok\r\nend\r\n"
        outcome = self.checked(0, output=text)
        self.assertEqual(outcome.figures, [Figure("map/4096", "mmap + munmap", 10, 500, 90, 4096)])
        self.assertEqual(outcome.output.split(), ["hello", "end"])
        self.assertEqual(outcome.error, "")

    def test_what_can_be_wrong(self) -> None:
        figures = "bench\tmap/4096\tm\t10\t500\t90\t0\n"
        self.assertIn("did not end within 5 s", self.checked(None).error)
        self.assertIn("status 1: bench: the sum is wrong", self.checked(1, "x\nbench: the sum is wrong\ny").error)
        self.assertIn("before its last figure", self.checked(0, output=figures).error)
        self.assertIn("nothing was recorded", self.checked(0, stats={}).error)
        self.assertIn("1.0100 ticks", self.checked(0, stats=STATS | {"calibration": 1.01}).error)
        own = "bench\tcalibration\tloop\t1000\t1010\t0\t0\nbench\tok\n"
        self.assertIn("nothing can be counted", self.checked(0, output=own).error)

    def test_a_record_that_was_cut_off(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "record")
            path.write_text('{"kind":"stats","ticks":5}\n[1]\n{"kind":"sam')
            self.assertEqual(machine.read_record(path), [{"kind": "stats", "ticks": 5}])
            self.assertEqual(machine.read_record(Path(folder, "absent")), [])

    def test_panics_of_linux(self) -> None:
        console = "[    0.1] Booting\n[    1.5] Kernel panic - not syncing: No working init found.\n"
        self.assertEqual(machine.panic_line(console), "Kernel panic - not syncing: No working init found.")
        self.assertIsNone(machine.panic_line("fine\n"))


class RivalsTest(unittest.TestCase):
    def test_an_allocator_whose_source_is_not_there_is_left_out(self) -> None:
        """A clone in which nothing was set up can be configured; ninja bench says what is missing."""
        program = read_manifest(ROOT / "tests/bench/workloads/trees")
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(debian_source, "FOLDER", Path(folder)):
            subject = subjects.make_subject(program, subjects.Choices(), Path("build/bench/trees"))
            self.assertNotIn("mimalloc", subject.natives)
            self.assertIn("libc", subject.natives)
            self.assertIn("mimalloc", subject.description()["missing"])


if __name__ == "__main__":
    unittest.main()
