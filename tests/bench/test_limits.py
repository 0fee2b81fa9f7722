"""The measuring itself, and the limits that the figures have to keep."""

import importlib.util
import unittest
from pathlib import Path

spec = importlib.util.spec_from_file_location("limits", Path(__file__).with_name("limits.py"))
limits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(limits)


class LimitsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        limits.build()

    def test_operations(self) -> None:
        """A tick is an instruction (checked by run_micro), and every figure of the table is there."""
        figures = limits.run_micro() | limits.sizes()
        figures["entry"] = limits.entry_to_main(limits.BASE_MIB)
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
