"""apps/redis: redis-server's own tests, against the same sources as a program for Linux."""

from booting import ComparedCase


class RedisTest(ComparedCase):
    app = "redis"
    changes = [(r"[0-9.]+ seconds", "N seconds"), (r"in [0-9]+ ms", "in N ms"), (r"usec=[0-9]+", "usec=N"),
               (r" *[0-9]+ ?usec", " N usec"), (r"addr 0x[0-9a-f]+", "addr N"),
               (r"(?m)^[0-9]+$", "N"), (r"used: [0-9]+", "used: N")]  # fmt: skip

    def test_all(self) -> None:
        self.assertIn("\n12 tests, 12 passed, 0 failed\n", self.compare(0, "test", "all"))

    def test_dictionary(self) -> None:
        """Inserts, finds and deletes keys, each an allocation of its own, in a table that is resized step by step."""
        self.assertIn("Removing and adding: 200000 items", self.compare(0, "test", "dict", "200000"))
