"""apps/sqlite: the shell, against Debian's library and the same shell on Linux."""

from booting import ComparedCase


class SqliteTest(ComparedCase):
    app = "sqlite"

    def test_memory(self) -> None:
        """100,000 rows inserted, selected and deleted."""
        printed = self.compare(0, ":memory:", ".read sql/bulk.sql")
        self.assertIn("\n66667\n", printed)
        self.assertTrue(printed.endswith("\nok\n"), printed)
