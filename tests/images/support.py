"""Shared by the tests of images/: the import path and a temporary folder."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "images"
if str(IMAGES) not in sys.path:
    sys.path.insert(0, str(IMAGES))


class FolderCase(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, content: bytes = b"", mode: int = 0o644) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def tool(self, name: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """Runs one of the tools to its end."""
        command = [sys.executable, str(IMAGES / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)

    def assert_refused(self, done: subprocess.CompletedProcess[str], *words: str) -> None:
        """One line that holds the words, and status 2."""
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
