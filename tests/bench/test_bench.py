"""
Benchmarks of programs that end in every way (images/outcomes): what is measured, what is told of failures, going on after an
interruption. Linux really runs; without its kernel these tests fail, as they should.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "images")]

import bench  # noqa: E402
import kernel  # noqa: E402
import machine  # noqa: E402
from browser import Browser, PageChecks  # noqa: E402
from root import ROOT  # noqa: E402

NAME = "outcomes"
FOLDER = Path("build/bench") / NAME
MIB = 1 << 20


def subject(way: str, **more) -> dict:
    return {
        "workload": way,
        "label": way,
        "cell": {},
        "libc": "musl",
        "malloc": "libc",
        "pages": "2m",
        "ram": 256 * MIB,
        "machine": "q35",
        "config": str(FOLDER / "run.json"),
        "traced": str(FOLDER.with_name(f"{NAME}-timeline") / "run.json"),
        "natives": {"libc": str(FOLDER / f"{NAME}.native")},
        "targets": [str(FOLDER / f"{NAME}{suffix}") for suffix in (".elf", ".native")],
        "traced_targets": [str(FOLDER.with_name(f"{NAME}-timeline") / f"{NAME}.elf")],
        "arguments": [way],
        "environment": {},
        "files": [],
        **more,
    }


class BenchTest(PageChecks, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        done = subprocess.run(["ninja", "--quiet", *subject("right")["targets"], *subject("right")["traced_targets"]], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout)

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def bench(self, subjects: list[dict], *options: str, absent: tuple = (), draws: bool = False) -> int:
        """The status; what was printed in self.table and self.told, the summary in self.summary. draws: the report too."""
        (self.folder / "plan.json").write_text(json.dumps({"axes": {axis: [subject["cell"][axis] for subject in subjects] for axis in subjects[0]["cell"]}, "subjects": subjects, "absent": list(absent), "default": {}}))
        output, errors = io.StringIO(), io.StringIO()
        page = contextlib.nullcontext() if draws else mock.patch.object(bench, "write_page", lambda *_: None)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), page:
            status = bench.main(["--plan", str(self.folder / "plan.json"), *options])
        self.table, self.told = output.getvalue(), errors.getvalue()
        path = self.folder / "summary.json"
        self.summary = json.loads(path.read_text()) if path.is_file() else {}
        return status

    def one_setting(self):
        """Of Linux, instead of three: for tests of something else."""
        return mock.patch.object(bench.guest, "THP", ("always",))

    def test_counts_repeat_exactly_and_both_sides_agree(self) -> None:
        with self.one_setting():
            status = self.bench([subject("right"), subject("memory")], "--turns", "1", draws=True)
        self.assertEqual(status, 0, self.told)
        with Browser() as self.browser:
            self.assert_looks(self.folder / "report.html")
        self.assertEqual({path.stem for path in self.folder.glob("*.png")}, {"ratios", "memory-memory", "memory-peak"})
        rows = {row["workload"]: row for row in self.summary["rows"]}
        loop, memory = rows["right"], rows["memory"]
        self.assertAlmostEqual(loop["here"]["count"], 1, delta=0.001)
        self.assertAlmostEqual(loop["linux"]["count"], 1, delta=0.01)  # with the kernel's timer interrupts
        self.assertLess(self.summary["calibration"]["worst"], machine.CALIBRATION_TOLERANCE)
        for system in ("here", "linux"):
            self.assertGreaterEqual(memory[system]["peak"], 32 * MIB, system)
            self.assertLess(memory[system]["peak"], 34 * MIB, system)
            self.assertGreater(memory[system]["faults"], 0, system)
        self.assertEqual(memory["wall"]["turns"], 1)
        self.assertIn("memory", self.table)
        first = {key: (row["here"]["count"], row["linux"]["count"]) for key, row in rows.items()}
        with self.one_setting():
            self.bench([subject("right"), subject("memory")], "--turns", "0")
        again = {row["workload"]: (row["here"]["count"], row["linux"]["count"]) for row in self.summary["rows"]}
        self.assertEqual(first, again)

    def test_failures_are_told_and_the_rest_goes_on(self) -> None:
        ways = ["wrong", "short", "crash", "differs", "right"]
        absent = [{"name": "gone", "label": "gone", "cell": {}, "why": "the Debian package is missing: libgone-dev"}]
        with self.one_setting():
            status = self.bench([subject(way) for way in ways], "--turns", "0", absent=absent)
        self.assertEqual(status, 1)
        for wanted in (
            "wrong: here: it ended with status 1: bench: the sum is wrong: 3 instead of 4",
            "wrong: Linux, huge pages always: it ended with status 1: bench: the sum is wrong: 3 instead of 4",
            "short: here: it ended before its last figure",
            "crash: Linux, huge pages always: it ended with status 139",
            "crash: here: it ended with status 139: quire: program: null pointer write at 0x8",
            "differs: it prints something else here than on Linux",
            "gone: the Debian package is missing: libgone-dev",
        ):
            self.assertIn(wanted, self.told)
        self.assertIn("right", {row["workload"] for row in self.summary["rows"] if row["ratio"]})

    def test_what_hangs_is_ended(self) -> None:
        with self.one_setting():
            status = self.bench([subject("hang"), subject("whole")], "--turns", "0", "--timeout", "6", "--no-linux")
        self.assertEqual(status, 1)
        self.assertIn("hang: here: it did not end within 6 s", self.told)
        self.assertEqual([row["workload"] for row in self.summary["rows"]], ["whole"])
        with self.one_setting():
            self.bench([subject("hang")], "--turns", "0", "--timeout", "3")
        self.assertIn("hang: Linux, huge pages always: it did not end within 3 s", self.told)

    def test_a_guest_that_panics(self) -> None:
        with self.one_setting(), mock.patch.object(bench.guest, "TUNED", "quiet panic=-1 init=/nothing rdinit=/nothing root=/dev/none"):
            status = self.bench([subject("right")], "--turns", "0")
        self.assertEqual(status, 1)
        self.assertIn("Kernel panic", self.told)
        self.assertEqual(len(self.summary["rows"]), 1)

    def test_without_a_kernel(self) -> None:
        refuse = mock.patch.object(kernel, "today_package", side_effect=machine.qemu.Failure("there is no kernel package"))
        with mock.patch.object(kernel, "FOLDER", self.folder / "none"), mock.patch.object(kernel, "KERNEL", self.folder / "none/vmlinux"), refuse:
            status = self.bench([subject("right")], "--turns", "0")
        self.assertEqual(status, 1)
        self.assertIn("there is no kernel package; nothing is compared with Linux", self.told)
        self.assertIsNone(self.summary["rows"][0]["linux"])

    def test_an_interrupted_benchmark_goes_on(self) -> None:
        done = []
        run_image = machine.run_image

        def interrupted(*arguments):
            if done:
                raise KeyboardInterrupt
            done.append(arguments)
            return run_image(*arguments)

        subjects = [subject("right"), subject("whole")]
        with mock.patch.object(machine, "run_image", interrupted), mock.patch.object(bench.os, "cpu_count", lambda: 1):
            self.assertEqual(self.bench(subjects, "--turns", "0", "--no-linux"), 130)
        self.assertIn("interrupted", self.told)
        self.assertTrue((self.folder / "running.jsonl").is_file())
        with mock.patch.object(machine, "run_image", side_effect=run_image) as runs:
            self.assertEqual(self.bench(subjects, "--turns", "0", "--no-linux"), 0, self.told)
        self.assertEqual(runs.call_count, 1)
        self.assertIn("1 runs are there", self.told)
        self.assertFalse((self.folder / "running.jsonl").exists())
        self.assertEqual(len((self.folder / "results.jsonl").read_text().splitlines()), 2)

    def test_results_that_cannot_be_kept(self) -> None:
        (self.folder / "running.jsonl").mkdir()
        self.assertEqual(self.bench([subject("right")], "--turns", "0", "--no-linux"), 1)
        self.assertIn("the results are not kept", self.told)
        self.assertIn("a loop", self.table)

    def test_sweep(self) -> None:
        subjects = [subject("whole", cell={"ram": "256M"}), subject("whole", cell={"ram": "512M"}, ram=512 * MIB)]
        self.assertEqual(self.bench(subjects, "--turns", "1", "--sweep", "--no-linux"), 0, self.told)
        self.assertEqual([cell["status"] for cell in self.summary["cells"]], [0, 0])
        self.assertTrue(all(cell["count"] > 0 and cell["ns"] > 0 and cell["peak"] > 0 for cell in self.summary["cells"]))

    def test_bad_options(self) -> None:
        for options, wanted in (
            (["--only", "nothing"], "there is no such workload; there are right"),
            (["--turns", "many"], "must be a number"),
            (["--timeout", "0"], "--timeout must be a positive"),
            (["--nonsense"], "--nonsense"),
        ):
            self.assertEqual(self.bench([subject("right")], *options), 2)
            self.assertIn(wanted, self.told)
            self.assertEqual(len(self.told.splitlines()), 1, self.told)
        (self.folder / "plan.json").write_text("[]")
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            self.assertEqual(bench.main(["--plan", str(self.folder / "plan.json")]), 2)
        self.assertIn("is damaged", errors.getvalue())


if __name__ == "__main__":
    unittest.main()
