"""
The benchmark with threads: its programs on this machine, with fewer and more threads than there are CPUs; the CPUs of the
Linux guest; and what is made of runs.
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

import threads  # noqa: E402
from bench import HERE, LINUX  # noqa: E402
from machine import Figure, Outcome  # noqa: E402
from root import ROOT  # noqa: E402
from runs import Results  # noqa: E402

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
        return {row[1]: int(row[3]) for row in rows[2:-1]}

    def test_every_thread_does_the_same_work(self) -> None:
        for name in WORKLOADS:
            with self.subTest(name):
                one, three = self.operations(native(name, "1")), self.operations(native(name, "3"))
                self.assertEqual({key: 3 * operations for key, operations in one.items()}, three)

    def test_scale_and_family(self) -> None:
        self.assertEqual(self.operations(native("parallel-threads", "2", "3", "barrier")), {"barrier": 2 * 3 * 2000})

    def test_wrong_arguments_are_a_line(self) -> None:
        for arguments in (["0"], ["65"], ["two"], ["1", "0"]):
            with self.subTest(arguments):
                done = native("parallel-heap", *arguments)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"bench: {arguments[-1]}: {ARGUMENTS}\n"))


class Guest(unittest.TestCase):
    """Linux really runs."""

    def test_linux_has_the_cpus(self) -> None:
        plan = json.loads(threads.PLAN.read_text())
        with tempfile.TemporaryDirectory() as folder:
            subjects = [subject for subject in plan["subjects"] if subject["workload"] == "parallel-threads"]
            options = ["--plan", f"{folder}/plan.json", "--cpus", "2", "--rows", "compute", "--turns", "1"]
            Path(folder, "plan.json").write_text(json.dumps({**plan, "subjects": subjects}))
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                threads.main(options)
            summary = json.loads(Path(folder, "summary.json").read_text())
        (row,) = summary["rows"]
        self.assertEqual(row["key"], "compute")
        self.assertGreater(row["cells"]["2"][LINUX], 0)
        self.assertEqual([problem for problem in summary["problems"] if "Linux" in problem], [])


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
        self.add(HERE, "", "1", 300)
        self.add(HERE, "", "2", 150)
        cells = {mode: threads.cell(self.results, 0, "call", mode) for mode in ("1", "2")}
        self.assertEqual(threads.scaling(cells, HERE), 2)
        self.assertIsNone(threads.scaling(cells, LINUX))
        self.assertIsNone(threads.scaling({"1": cells["1"]}, HERE))

    def test_what_failed_is_no_figure(self) -> None:
        self.results.add((0, HERE, "", "1", 0), "", Outcome(error="it ended"))
        self.assertIsNone(threads.cell(self.results, 0, "call", "1").here)

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
