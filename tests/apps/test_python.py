"""apps/python against the same library on Linux, and against Debian's own python3.11."""

import subprocess

from booting import TIMEOUT, ComparedCase


class PythonTest(ComparedCase):
    app = "python"
    changes = [(r'File "[^"]*/scripts/', 'File "scripts/')]  # Linux runs them in another folder than /

    def test_churn(self) -> None:
        printed = self.compare(0, "scripts/churn.py")
        self.assertRegex(printed, r"unreachable objects: 30690 then: None\n")
        debian = subprocess.run(
            ["/usr/bin/python3.11", "scripts/churn.py"], cwd=self.root, capture_output=True, text=True, timeout=TIMEOUT, check=True
        )
        self.assertEqual(printed, debian.stdout)

    def test_library(self) -> None:
        self.assertIn("\ngone: True\n", self.compare(3, "scripts/library.py"))

    def test_threads(self) -> None:
        for cpus in (1, 2, 8):
            with self.subTest(cpus=cpus):
                self.assertIn("\nended behind main\n", self.compare(0, "scripts/threads.py", cpus=cpus))

    def test_traceback(self) -> None:
        self.assertIn("AttributeError: 'int' object has no attribute 'missing'\n", self.compare(1, "scripts/fail.py"))
