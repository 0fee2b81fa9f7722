"""
The benchmark with threads: its programs on this machine, with fewer and more threads than there are CPUs; the CPUs of the
Linux guest; lines of the cache that CPUs share; and what is made of runs.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "images")]

import costs  # noqa: E402
import lines  # noqa: E402
import threads  # noqa: E402
from bench import HERE, LINUX  # noqa: E402
from machine import Figure, Mode, Outcome, check, take_figures  # noqa: E402
from root import ROOT  # noqa: E402
from runs import Results  # noqa: E402
from tool import Failure  # noqa: E402

WORKLOADS = sorted(path.parent.name for path in ROOT.glob("tests/bench/parallel/*/app.toml"))
ARGUMENTS = "the arguments are the number of threads (to 64), the scale, a family of rows"
TIMEOUT = 120


def native(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / f"build/test/{name}/{name}.native"), *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        targets = [f"build/test/{name}/{name}.native" for name in WORKLOADS]
        done = subprocess.run(["ninja", "--quiet", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ninja failed:\n{done.stdout}{done.stderr}")

    def operations(self, done: subprocess.CompletedProcess[str]) -> dict[str, int]:
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        self.assertEqual(rows[-1], ["bench", "ok"])
        self.assertEqual([row[1] for row in rows[:2]], ["calibration", "cpus"])
        self.assertEqual([row[1] for row in rows[2:-1] if ":" in row[1]], [])  # no core, no counts of it
        return {row[1]: int(row[3]) for row in rows[2:-1]}

    def test_every_thread_does_the_same_work(self) -> None:
        for name in WORKLOADS:
            with self.subTest(name):
                one, two = self.operations(native(name, "1")), self.operations(native(name, "2"))
                self.assertEqual({key: 2 * operations for key, operations in one.items()}, two)

    def test_all_together_where_some_systems_take_long(self) -> None:
        one, four = self.operations(native("parallel-memory", "1")), self.operations(native("parallel-memory", "4"))
        together = {"map_touch_unmap/65536": 4096, "protect/65536": 2048, "discard/65536": 1024}
        self.assertEqual({key: 4 * operations for key, operations in one.items()} | together, four)

    def test_scale_and_family(self) -> None:
        self.assertEqual(self.operations(native("parallel-threads", "2", "3", "barrier")), {"barrier": 2 * 3 * 2000})

    def test_wrong_arguments_are_a_line(self) -> None:
        for arguments in (["0"], ["65"], ["two"], ["1", "0"]):
            with self.subTest(arguments):
                done = native("parallel-heap", *arguments)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"bench: {arguments[-1]}: {ARGUMENTS}\n"))


def measured(family: str, *options: str) -> tuple[dict, str]:
    """The summary of a row of parallel-threads with two CPUs, and what was printed."""
    plan = json.loads(threads.PLAN.read_text())
    with tempfile.TemporaryDirectory() as folder:
        subjects = [subject for subject in plan["subjects"] if subject["workload"] == "parallel-threads"]
        words = ["--plan", f"{folder}/plan.json", "--cpus", "2", "--rows", family, "--turns", "1", *options]
        Path(folder, "plan.json").write_text(json.dumps({**plan, "subjects": subjects}))
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
            threads.main(words)
        return json.loads(Path(folder, "summary.json").read_text()), printed.getvalue()


class Guest(unittest.TestCase):
    """Linux really runs."""

    def test_linux_has_the_cpus(self) -> None:
        summary, _ = measured("compute", "--no-lines")
        (row,) = summary["rows"]
        self.assertEqual(row["key"], "compute")
        self.assertIsNone(row["lines"])
        self.assertGreater(row["cells"]["2"][LINUX], 0)
        self.assertEqual([problem for problem in summary["problems"] if "Linux" in problem], [])


class Lines(unittest.TestCase):
    """The plugin really counts."""

    def row(self, family: str) -> tuple[dict, str]:
        summary, printed = measured(family, "--no-linux")
        self.assertEqual(summary["problems"], [])
        (row,) = summary["rows"]
        return row, printed

    def test_what_threads_hand_over_is_counted_and_named_alike_each_time(self) -> None:
        row, printed = self.row("lock_shared")
        self.assertEqual(row["lines"], self.row("lock_shared")[0]["lines"])
        self.assertGreater(row["lines"]["writes"], 0.5)
        self.assertGreater(row["lines"]["reads"], 0.5)
        self.assertTrue(any("mutex" in site["data"] for site in row["lines"]["sites"]), row["lines"]["sites"])
        self.assertEqual(set(row["costs"]["2"]), set(costs.COSTS))
        self.assertNotIn("On memory of their own", printed)

    def test_threads_on_their_own_share_no_line(self) -> None:
        row, printed = self.row("compute")
        self.assertEqual((row["lines"]["writes"], row["lines"]["reads"], row["lines"]["sites"]), (0, 0, []))
        self.assertIn("On memory of their own it is zero (below 0.01) in 1 of 1\n", printed)
        self.assertAlmostEqual(costs.growth(row), 2, delta=0.02)
        self.assertRegex(printed, r"On memory of their own two CPUs do [\d.]+ times as much as one by instructions \(geometric mean\), 1.8 in 1 of 1\n")


SYMBOLS = """\
ffffffff80100000 0000000000000020 t first
ffffffff80100020 0000000000000010 T second
                 w absent
ffffffff80200010 0000000000000100 b wide
ffffffff80200110 0000000000000008 b counter
ffffffff80200118 D bare
"""
REGIONS = """\
region 0 1000 6 3 1
site 0xffffffff80100004 0xffffffff80200100 4 1 0
site 0xffffffff80100028 0xffffffff80200100 2 0 1
site 0xffffffff80100008 0xffff800000001000 0 2 0
region 1 10 0 0 2
site 0xffffffff80100008 0x1000 0 0 2
end
"""


class Counts(unittest.TestCase):
    """What is made of the plugin's file and of the program's figures."""

    def setUp(self) -> None:
        self.symbols = lines.Symbols(SYMBOLS)

    def test_names_of_data(self) -> None:
        for line, name in (
            (0xFFFFFFFF80200000, "wide"),
            (0xFFFFFFFF80200100, "wide, counter, bare"),
            (0xFFFFFFFF80300000, "[0xffffffff80300000]"),
            (0xFFFFFFDF80200040, "wide of CPU 1"),
            (0xFFFFFFBF80200040, "wide of CPU 2"),
            (0xFFFFFFEF80000000, "heap: classes of CPU 0"),
            (0xFFFFFFCF80000000, "heap: classes of CPU 1"),
            (0xFFFFF0C000000040, "heap: spans"),
            (0xFFFF800000001000, "map of RAM"),
            (0x1A0000013C40, "the program's memory"),
        ):
            self.assertEqual(self.symbols.data(line), name)

    def test_functions(self) -> None:
        self.assertEqual([self.symbols.function(address) for address in (0xFFFFFFFF8010001F, 0xFFFFFFFF80100020)], ["first", "second"])
        self.assertEqual(self.symbols.function(0x400000), "[0x400000]")

    def test_counts_are_of_an_operation(self) -> None:
        found = lines.counts_of(lines.read_regions(REGIONS), self.symbols, {"a": 10, "b/64": 2})
        self.assertEqual((found["a"]["writes"], found["a"]["reads"], found["a"]["inherited"]), (0.6, 0.3, 0.1))
        first = {"function": "first", "data": "wide, counter, bare", "writes": 0.4, "reads": 0.1}
        self.assertEqual(found["a"]["sites"][0], first)
        self.assertEqual([site["function"] for site in found["a"]["sites"]], ["first", "second", "first"])
        self.assertEqual(found["b/64"], {"writes": 0, "reads": 0, "inherited": 1, "sites": []})

    def test_what_is_not_whole_is_no_count(self) -> None:
        for text in ("", REGIONS.removesuffix("end\n"), REGIONS.removesuffix("d\n")):
            with self.assertRaises(Failure):
                lines.read_regions(text)
        with self.assertRaisesRegex(Failure, "saw 2 rows, the program has measured 1"):
            lines.counts_of(lines.read_regions(REGIONS), self.symbols, {"a": 10})

    def test_a_program_without_marks(self) -> None:
        with self.assertRaisesRegex(Failure, "no function parallel_begin"):
            lines.plugin_words(self.symbols, Path("counts"), 2)

    def test_costs_are_taken_out_of_the_figures(self) -> None:
        made = Outcome("bench\tmap/64\tmmap\t10\t900\t800\t0\nbench\tmap/64:contended\tcontended\t10\t5\t0\t0\nbench\tok")
        self.assertTrue(take_figures(made))
        costs.take_costs(made)
        self.assertEqual([figure.key for figure in made.figures], ["map/64"])
        self.assertEqual(made.stats["costs"], {"map/64": {"contended": 0.5}})

    def test_what_is_not_zero(self) -> None:
        nothing = dict.fromkeys(costs.COSTS, 0.009)
        row = {"costs": {"2": nothing, "4": None}, "lines": {"writes": 0.009, "reads": 0}}
        self.assertEqual(costs.not_zero(row), [])
        row = {"costs": {"2": nothing, "4": {**nothing, "contended": 0.25}}, "lines": {"writes": 1.5, "reads": 0}}
        self.assertEqual(costs.not_zero(row), ["locks 0.25 with 4 CPUs", "lines' writes 1.5"])
        self.assertEqual(costs.not_zero({"costs": {"2": None}, "lines": None}), [])


def outcome(key: str, ns: int, operations: int = 10) -> Outcome:
    return Outcome(figures=[Figure(key, key, operations, 5 * ns, ns, 0)], stats={"ns": ns, "waited": 0})


class Rows(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.results = Results(Path(folder.name))

    def add(self, system: str, variant: str, mode: str, *values: int) -> None:
        for turn, ns in enumerate(values):
            self.results.add((0, system, variant, mode, turn), "", outcome("call", ns))

    def test_the_best_allocator_is_compared_with_by_turns(self) -> None:
        self.add(HERE, "", "2", 100, 300, 200)
        self.add(LINUX, "libc/always", "2", 400, 400, 400)
        self.add(LINUX, "mimalloc/always", "2", 200, 200, 250)
        found = threads.cell(self.results, 0, "call", "2")
        self.assertEqual((found.here, found.linux), (20, 20))
        self.assertEqual(found.ratios, [0.5, 1.5, 0.8])
        self.assertEqual(found.ratio, 0.8)

    def test_scaling_is_of_what_is_done(self) -> None:
        self.assertIsNone(threads.scaling(self.results, 0, "call", HERE))
        self.add(HERE, "", threads.PAIR, 300, 600, 100)
        self.assertIsNone(threads.scaling(self.results, 0, "call", HERE))
        self.add(HERE, "", "2", 150, 300, 100)
        self.assertEqual(threads.scaling(self.results, 0, "call", HERE), 2)
        self.assertIsNone(threads.scaling(self.results, 0, "call", LINUX))
        self.add(LINUX, "libc/always", threads.PAIR, 100)
        self.add(LINUX, "libc/always", "2", 100)
        self.add(LINUX, "mimalloc/always", threads.PAIR, 90)
        self.add(LINUX, "mimalloc/always", "2", 60)
        self.assertEqual(threads.scaling(self.results, 0, "call", LINUX), 1.5)

    def test_of_two_at_once_the_slower_counts(self) -> None:
        fast, slow, failed = outcome("call", 100), outcome("call", 170), Outcome(error="it ended")
        self.assertIs(threads.slower([fast, slow]), slow)
        self.assertIs(threads.slower([slow, fast]), slow)
        self.assertIs(threads.slower([slow, failed]), failed)

    def test_costs_are_the_median_of_turns(self) -> None:
        for turn, contended in enumerate((1.0, 0.0, 3.0)):
            made = outcome("call", 100)
            made.stats["costs"] = {"call": dict.fromkeys(costs.COSTS, contended)}
            self.results.add((0, HERE, "", "2", turn), "", made)
        self.assertEqual(costs.costs(self.results, 0, HERE, "2", "call"), dict.fromkeys(costs.COSTS, 1.0))
        self.assertIsNone(costs.costs(self.results, 0, HERE, "2", "yield"))
        self.assertIsNone(costs.costs(self.results, 0, HERE, "4", "call"))

    def test_what_failed_is_no_figure(self) -> None:
        self.results.add((0, HERE, "", "1", 0), "", Outcome(error="it ended"))
        self.assertIsNone(threads.cell(self.results, 0, "call", "1").here)

    def test_what_ended_late_has_figures(self) -> None:
        """Those of before: Linux with more CPUs than the host has takes minutes for some rows."""
        self.add(HERE, "", "2", 100)
        late = outcome("call", 400)
        late.stats["late"] = True
        check(late, 137, Mode(False, cpus=2), 60, "")
        self.assertEqual(late.error, "it did not end within 60 s")
        self.results.add((0, LINUX, "libc/always", "2", 0), "", late)
        self.assertEqual(threads.cell(self.results, 0, "call", "2").ratio, 0.25)
        self.assertIsNone(self.results.find((0, LINUX, "libc/always", "2", 0), ""))

    def test_fewer_cpus_are_an_error(self) -> None:
        for there, error in ((2, ""), (1, "the program found 1 CPUs, not 2")):
            made = Outcome(figures=[Figure(threads.CPUS_THERE, "", there, 0, 0, 0)])
            threads.check_cpus(made, 2)
            self.assertEqual((made.error, made.figures), (error, []))
        made = Outcome()
        threads.check_cpus(made, 2)
        self.assertEqual(made.error, "the program found no number of CPUs, not 2")

    def test_numbers_of_cpus(self) -> None:
        self.assertEqual(threads.cpu_list("4,1"), [1, 4])
        for wrong in ("", "0", "1,1", "65", "two"):
            with self.assertRaises(threads.argparse.ArgumentTypeError):
                threads.cpu_list(wrong)


if __name__ == "__main__":
    unittest.main()
