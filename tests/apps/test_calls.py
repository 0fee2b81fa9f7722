"""The system calls of an image that has all: what it says is not there is what core/linux/calls.def says."""

import re
import sys

from booting import ROOT, AppCase

sys.path.insert(0, str(ROOT / "images"))

from calls import LIST, Interface  # noqa: E402


class AbsentCalls(AppCase):
    app = "absent-calls"

    def test_every_call_that_is_not_there_is_reported_once(self) -> None:
        done = self.boot()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        absent = [call for call in Interface.read(ROOT / LIST).calls if not call.function]
        self.assertIn(f"{len(absent)} calls, 0 wrong", done.stdout)
        output = done.stdout + done.stderr
        lines = re.findall(r"(?m)^quire: system call (\w+) \((\d+)\) is not there: ENOSYS(?:; (.*))?$", output)
        self.assertEqual(lines, [(call.name, str(call.number), call.note) for call in absent])
