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
