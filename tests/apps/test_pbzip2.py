"""apps/pbzip2 against the same program for Linux: what it writes does not depend on threads and CPUs."""

from booting import ComparedCase


class Pbzip2Test(ComparedCase):
    app = "pbzip2"
    changes = [(r"Completed: \d+% *\r?", ""), (r"Wall Clock: [0-9.]+ seconds", "Wall Clock: N seconds")]

    def test_compress(self) -> None:
        for cpus in (1, 2, 8):
            with self.subTest(cpus=cpus):
                (self.root / "words.txt.bz2").unlink(missing_ok=True)
                printed = self.compare(0, "-v", "-k", "-b2", "-p4", "words.txt", cpus=cpus)
                self.assertRegex(printed, r"Output Size: 695623 bytes")

    def test_not_packed(self) -> None:
        self.assertIn("Bad magic number", self.compare(2, "-t", "words.txt"))
