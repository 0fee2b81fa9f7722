"""apps/cadical against Debian's library and the same main program on Linux."""

from booting import ComparedCase


class CadicalTest(ComparedCase):
    app = "cadical"

    def test_unsatisfiable(self) -> None:
        self.assertEqual(self.compare(20, "-q", "cnf/prime65537.cnf"), "s UNSATISFIABLE\n")

    def test_model(self) -> None:
        self.assertRegex(self.compare(10, "-q", "cnf/prime2209.cnf"), r"\As SATISFIABLE\nv -?1 ")

    def test_no_file(self) -> None:
        self.compare(1, "-q", "cnf/none.cnf")
