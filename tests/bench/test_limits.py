"""The measuring itself, and the limits that the figures have to keep."""

import importlib.util
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import goals  # noqa: E402

spec = importlib.util.spec_from_file_location("limits", Path(__file__).with_name("limits.py"))
limits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(limits)


class LimitsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        limits.build()

    def test_operations(self) -> None:
        """A tick is an instruction (checked by run_counting), and every figure of the table is there."""
        figures = limits.run_counting("micro") | limits.sizes()
        figures["entry"] = limits.entry_to_main(limits.BASE_MIB)
        figures["entry_16g"] = limits.entry_to_main(limits.LARGE_MIB)
        for row in limits.ROWS:
            if row.key in figures:
                self.assertGreater(figures[row.key], 0, row.label)
                if row.limit is not None:
                    self.assertLessEqual(figures[row.key], row.limit, row.label)
            else:
                self.assertTrue(row.key.startswith("entry"), row.label)
        for size, zeroing in (("4k", 4096 // 32), ("2m", (2 << 20) // 32)):
            zeroed, plain = figures[f"fault_{size}"], figures[f"fault_{size}_unzeroed"]
            self.assertAlmostEqual(zeroed - plain, 1.1 * zeroing, delta=zeroing / 5)


    def test_what_is_not_done_at_boot_is_seen(self) -> None:
        with tempfile.TemporaryDirectory(prefix="quire-limits-") as folder:
            log = Path(folder, "trace")
            log.write_text("".join(f"Trace 0: 0x7f00 [00000000/{address:016x}/0040c0b0/ff000000] \n" for address in (16, 32, 48)))
            self.assertEqual(limits.count_until(log, 48, {64: "pci_find"}), 2)
            with self.assertRaisesRegex(limits.Failure, "pci_find before its main"):
                limits.count_until(log, 48, {32: "pci_find"})
            with self.assertRaisesRegex(limits.Failure, "within 3 instructions"):
                limits.count_until(log, 64, {})


def summary_row(workload: str, here: float, linux: float, peak: float = 1.0, wall: float | None = None) -> dict:
    return {
        "workload": workload,
        "group": "programs",
        "ratio": here / linux,
        "wall": {"median": wall} if wall else None,
        "here": {"count": here, "peak": peak},
        "linux": {"count": linux, "peak": 1.0},
    }


class GoalsTest(unittest.TestCase):
    def test_every_figure_is_there(self) -> None:
        """Every goal's figure is one that its image prints."""
        limits.build()
        found = limits.run_goals(limits.run_counting("micro"))
        for goal in goals.GOALS:
            value = goals.value_of(goal, found)
            self.assertIsNotNone(value, goal.label)
            self.assertGreater(value, 0, goal.label)

    def test_verdicts(self) -> None:
        goal = goals.Goal("a goal", 100, "image", ("one", "two"), zeroed=8192, less=30)
        micro = {"fault_2m": 512 * 10.0 + 300, "fault_2m_unzeroed": 300.0}
        self.assertTrue(goals.holds(goal, {"micro": micro, "image": {"one": 20.0, "two": 150.4}}))
        self.assertFalse(goals.holds(goal, {"micro": micro, "image": {"one": 151.0, "two": 20.0}}))
        self.assertFalse(goals.holds(goal, {"micro": micro, "image": {"one": 20.0}}))

    def test_figures(self) -> None:
        output = "calibration 1.000\r\nname 2.5\nbench\tmap/4096\ta label\t10\t500\t600\t0\nlive 1 KiB, held 2 KiB, structures 3 KiB: 200 percent\n"
        self.assertEqual(goals.read_figures(output), {"calibration": 1.0, "name": 2.5, "map/4096": 50.0, "percent": 200.0})

    def test_programs(self) -> None:
        rows = [summary_row(name, 6.0, 10.0) for name in goals.ALLOCATING]
        self.assertEqual([met for _, met in goals.program_goals({"rows": rows})], [True, True, True])
        more = [*rows, summary_row("nbody", 11.0, 10.0, peak=1.2)]
        lines = goals.program_goals({"rows": more})
        self.assertEqual([met for _, met in lines], [False, True, False])
        self.assertIn("nbody 1.10", lines[0][0])
        self.assertIn("nbody 1.20", lines[2][0])
        self.assertFalse(goals.program_goals({"rows": rows[1:]})[1][1])
        self.assertEqual(goals.program_goals({"rows": []}), [])

    def test_wall_time_of_programs(self) -> None:
        rows = [summary_row(name, 6.0, 10.0, wall=0.9) for name in goals.ALLOCATING]
        self.assertIn(("less wall time than Linux in every program: all 5", True), goals.program_goals({"rows": rows}))
        longer = [*rows, summary_row("nbody", 6.0, 10.0, wall=1.18)]
        self.assertIn(("less wall time than Linux in every program: nbody 1.18", False), goals.program_goals({"rows": longer}))

    def test_heap(self) -> None:
        self.assertEqual([met for _, met in goals.heap_goals({"a": 0.9, "b": 0.7}, {"a": 1.1}, 0.79)], [True, True, True])
        lines = goals.heap_goals({"a": 1.2}, {"a": 1.11}, 1.2)
        self.assertEqual([met for _, met in lines], [False, False, False])
        self.assertIn("a 1.20", lines[0][0])
