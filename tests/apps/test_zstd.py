"""apps/zstd against the same sources as a program for Linux."""

from booting import ComparedCase


class ZstdTest(ComparedCase):
    app = "zstd"
    changes = [(r" *[0-9.]+ MB/s", " N MB/s")]

    def test_benchmark(self) -> None:
        """10 MB are compressed and decompressed; it compares checksums and the sizes are printed."""
        printed = self.compare(0, "--single-thread", "-b1", "-e3", "-i0")
        self.assertRegex(printed, r"(?m)^.*Synthetic 50% +: +10000000 -> +3230847 \(x3.095\), N MB/s, N MB/s$")
        self.assertNotIn("WARNING", printed)

    def test_compress(self) -> None:
        printed = self.compare(0, "--no-progress", "--single-thread", "--ultra", "-22", "--long=27", "CHANGELOG", "-o", "out.zst")
        self.assertRegex(printed, r"CHANGELOG +: *[0-9.]+% .*out.zst")

    def test_threads(self) -> None:
        """Four threads that compress, and one that reads: what comes of it does not depend on how many CPUs there are."""
        for cpus in (1, 2, 8):
            with self.subTest(cpus=cpus):
                printed = self.compare(0, "-T4", "-b1", "-e2", "-i0", cpus=cpus)
                self.assertRegex(printed, r"(?m)^.*Synthetic 50% +: +10000000 -> +\d+ \(x3\.\d+\), N MB/s, N MB/s$")
                self.assertNotIn("WARNING", printed)
        self.compare(0, "--no-progress", "-T3", "-12", "CHANGELOG", "-o", "threads.zst", cpus=2)

    def test_decompress(self) -> None:
        self.compare(0, "--no-progress", "-t", "golden/empty-block.zst", "golden/rle-first-block.zst")
        self.assertIn("v0.1.2", self.compare(0, "-q", "-d", "-c", "--pass-through", "CHANGELOG"))

    def test_damaged(self) -> None:
        self.assertIn("unsupported format", self.compare(1, "-t", "CHANGELOG"))
