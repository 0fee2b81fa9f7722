"""The measuring itself; whether limits are kept is for `tests/bench/run.py --check` to say."""

import importlib.util
import unittest
from pathlib import Path

spec = importlib.util.spec_from_file_location("bench_run", Path(__file__).with_name("run.py"))
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


class BenchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        bench.build()

    def test_operations(self) -> None:
        """A tick is an instruction (checked by run_micro), and every figure of the table is there."""
        figures = bench.run_micro() | bench.sizes()
        for row in bench.ROWS:
            if not row.key.startswith("entry"):
                self.assertGreater(figures[row.key], 0, row.label)
        for size, zeroing in (("4k", 4096 // 8), ("2m", (2 << 20) // 8)):
            zeroed, plain = figures[f"fault_{size}"], figures[f"fault_{size}_unzeroed"]
            self.assertAlmostEqual(zeroed - plain, zeroing, delta=zeroing / 10)

    def test_entry(self) -> None:
        count = bench.entry_to_main(bench.BASE_MIB)
        self.assertGreater(count, 1000)
        self.assertLess(count, 1_000_000)
