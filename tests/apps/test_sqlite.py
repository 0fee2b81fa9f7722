"""apps/sqlite: the shell, against Debian's library and the same shell on Linux."""

from booting import ComparedCase


class SqliteTest(ComparedCase):
    app = "sqlite"

    def test_memory(self) -> None:
        """100,000 rows inserted, selected and deleted."""
        printed = self.compare(0, ":memory:", ".read sql/bulk.sql")
        self.assertIn("\n66667\n", printed)
        self.assertTrue(printed.endswith("\nok\n"), printed)

    def test_file(self) -> None:
        printed = self.compare(0, "test.db", ".read sql/file.sql", ".schema")
        self.assertRegex(printed, r"\A0\n5000\nwal\nNAME-00001\nname-00002\n")
        self.assertIn("\nok\nCREATE TABLE t", printed)

    def test_error(self) -> None:
        self.assertIn("no such table: none", self.compare(1, "-bail", ":memory:", "SELECT * FROM none"))
