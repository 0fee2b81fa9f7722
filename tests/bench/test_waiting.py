"""What the host makes a machine wait: taken from samples, and from a process that shares a processor."""

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

from waiting import Sample, Watch, waited  # noqa: E402

MS = 1_000_000
PROCESSOR = min(os.sched_getaffinity(0))
BUSY = f"import os, time\nos.sched_setaffinity(0, [{PROCESSOR}])\nwhile time.process_time() < %s: pass"


def samples(*rows: tuple[int, int, int]) -> list[Sample]:
    """In ms."""
    return [Sample(*(value * MS for value in row)) for row in rows]


def busy(seconds: float) -> list[str]:
    """A program that computes for so long, on a processor that it shares with others of its kind."""
    return [sys.executable, "-c", BUSY % seconds]


class WaitedTest(unittest.TestCase):
    def test_only_what_was_waited_at_the_end_counts(self) -> None:
        machine = samples((0, 0, 0), (100, 20, 80), (200, 110, 90), (300, 180, 120))
        self.assertEqual(waited({"7": machine}, 200 * MS), 40 * MS)
        self.assertEqual(waited({"7": machine}, 100 * MS), 30 * MS)

    def test_between_two_samples_in_proportion(self) -> None:
        self.assertEqual(waited({"7": samples((0, 0, 0), (100, 20, 80), (200, 110, 90))}, 125 * MS), 30 * MS)

    def test_the_thread_that_ran_the_longest_is_the_machine(self) -> None:
        """Neither the launcher, which ends later, nor one that waited more."""
        threads = {"5": samples((0, 5, 0), (310, 60, 40)), "6": samples((0, 0, 0), (300, 1, 290)), "7": samples((0, 0, 0), (300, 250, 50))}
        self.assertEqual(waited(threads, 300 * MS), 50 * MS)

    def test_from_its_first_sample_on(self) -> None:
        self.assertEqual(waited({"7": samples((50, 10, 10), (100, 30, 40))}, 500 * MS), 30 * MS)

    def test_of_several_what_the_host_has_not_got_is_not_lost(self) -> None:
        """Four threads share two processors, which they get all the time."""
        threads = {name: samples((0, 0, 0), (200, 100, 100)) for name in "1234"}
        self.assertEqual(waited(threads, 200 * MS, 4, 2), 0)
        self.assertEqual(waited(threads, 200 * MS, 4, 4), 100 * MS)

    def test_of_several_a_share_that_others_took_is(self) -> None:
        """Two threads, of which others took half; and one that waits while the other one sleeps."""
        half = {name: samples((0, 0, 0), (200, 100, 100)) for name in "12"}
        self.assertEqual(waited(half, 200 * MS, 2, 2), 100 * MS)
        alone = {"1": samples((0, 0, 0), (200, 120, 80)), "2": samples((0, 0, 0), (200, 0, 0))}
        self.assertEqual(waited(alone, 200 * MS, 2, 2), 80 * MS)

    def test_nothing_is_known(self) -> None:
        self.assertEqual(waited({}, 100 * MS), 0)


class WatchTest(unittest.TestCase):
    def test_what_another_took_is_waited(self) -> None:
        """Of a process below a shell, as a machine is below its launcher: time run and time waited are all of its time."""
        start = time.monotonic_ns()
        with subprocess.Popen(busy(60)) as other:
            with subprocess.Popen(["sh", "-c", '"$@"; :', "sh", *busy(0.4)]) as own, Watch(own.pid) as watch:
                own.wait()
                passed = time.monotonic_ns() - start
            other.kill()
        away = waited(watch.threads, passed)
        self.assertGreater(away, 0.25 * passed, "half of the processor was another's")
        self.assertAlmostEqual((passed - away) / 1e9, 0.4, delta=0.2)


if __name__ == "__main__":
    unittest.main()
