"""Ctrl-C while a tool of images/ imports its modules ends it without a traceback."""

import os
import signal
import unittest

from support import FolderCase

TOOLS = ("boot_chart.py", "describe.py", "iso.py", "qemu.py")
# Python runs it first: a signal comes as soon as a tool reads its options.
INTERRUPTED = b"""
import argparse, os, signal
argparse.ArgumentParser.parse_args = lambda *_: os.kill(os.getpid(), signal.SIGINT)
"""


class InterruptTest(FolderCase):
    def test_while_it_starts(self) -> None:
        self.write("argparse.py", b"import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        for name in TOOLS:
            with self.subTest(name):
                done = self.tool(name, "--help", env=environment)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (-signal.SIGINT, "", ""))

    def test_afterwards(self) -> None:
        """Then the tool cleans up and ends with status 130."""
        self.write("sitecustomize.py", INTERRUPTED)
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        for name in TOOLS:
            with self.subTest(name):
                done = self.tool(name, env=environment)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "", ""))


if __name__ == "__main__":
    unittest.main()
