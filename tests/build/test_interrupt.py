"""tests/run.py that Ctrl-C ends: what was fuzzed until then, and status 130."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FUZZERS = {"fuzz_one": "exit 0", "fuzz_two": 'touch "$0.runs"; exec sleep 60'}


class Interrupt(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="quire-run-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "tests").mkdir()
        for name in ("run.py", "include_rule.py"):
            shutil.copy2(ROOT / "tests" / name, self.folder / "tests")
        (self.folder / "build/fuzz").mkdir(parents=True)
        for name, script in FUZZERS.items():
            (self.folder / "build/fuzz" / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.folder / "build/fuzz" / name).chmod(0o755)
        plan = {"unit": [], "fuzz": list(FUZZERS), "left_out": {}}
        (self.folder / "build/tests.json").write_text(json.dumps(plan))

    def test_while_fuzzing(self) -> None:
        command = [sys.executable, str(self.folder / "tests/run.py"), "--fuzz-seconds", "30", "fuzz"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **streams, start_new_session=True) as tests:
            end = time.monotonic() + 30
            while not (self.folder / "build/fuzz/fuzz_two.runs").exists() and time.monotonic() < end:
                time.sleep(0.05)
            time.sleep(0.2)
            os.killpg(tests.pid, signal.SIGINT)
            output, errors = tests.communicate(timeout=30)
        self.assertEqual((tests.returncode, errors), (130, ""))
        self.assertIn("ok fuzz fuzz_one\n", output)
        self.assertRegex(output, r"\ninterrupted: fuzzed fuzz_one for 30 s each, fuzz_two for \d of 30 s\n")
        self.assertTrue(output.endswith("\n1 passed, 0 failed\n"), output)


if __name__ == "__main__":
    unittest.main()
