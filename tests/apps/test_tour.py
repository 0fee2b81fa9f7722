"""apps/tour and apps/pager check themselves; here is checked that they do, and that the tour is the same in every run."""

import re

from booting import AppCase


class TourTest(AppCase):
    app = "tour"

    def test_tour(self) -> None:
        first = self.boot(append="quire.aslr=off")
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        self.assertRegex(first.stdout, r"\n24 steps, 0 wrong\n\Z")
        self.assertNotIn("WRONG", first.stdout)
        for driver in ("anon", "heap", "phys", "stack", "guard", "image"):
            self.assertRegex(first.stdout, rf"(?m)^> [0-9a-f]+-[0-9a-f]+ .* {driver} ", driver)
            self.assertRegex(first.stdout, rf"(?m)^{driver} +[0-9]+( +[0-9]+){{8}}$", driver)
        self.assertEqual(first.stdout, self.boot(append="quire.aslr=off").stdout)

    def test_random_addresses(self) -> None:
        first, second = self.boot(), self.boot()
        self.assertEqual((first.returncode, second.returncode), (0, 0), first.stdout + second.stdout)
        self.assertNotEqual(first.stdout, second.stdout)


class PagerTest(AppCase):
    app = "pager"

    def test_pager(self) -> None:
        done = self.boot()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"\npager: every value was right\n\Z")
        counts = re.search(r"^3000 reads at random later: (\d+) of 4096 pages", done.stdout, re.MULTILINE)
        self.assertIsNotNone(counts, done.stdout)
        self.assertLess(int(counts[1]), 100)
        self.assertIn(f"rows from 0 on, {counts[1]} computed", done.stdout)
