"""apps/python against the same library on Linux."""

from booting import ComparedCase


class PythonTest(ComparedCase):
    app = "python"

    def test_churn(self) -> None:
        self.compare(0, "scripts/churn.py")
