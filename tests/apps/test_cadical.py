"""apps/cadical against Debian's library and the same main program on Linux."""

from booting import ComparedCase


class CadicalTest(ComparedCase):
    app = "cadical"

    def test_unsatisfiable(self) -> None:
        self.assertEqual(self.compare(20, "-q", "cnf/add128.cnf"), "s UNSATISFIABLE\n")

    def test_model(self) -> None:
        """Half a million allocations; and the model, a line of values after the other."""
        self.assertRegex(self.compare(10, "-q", "cnf/random.cnf"), r"\As SATISFIABLE\nv -?1 ")

    def test_no_file(self) -> None:
        self.compare(1, "-q", "cnf/none.cnf")
