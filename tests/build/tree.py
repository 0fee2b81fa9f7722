"""A copy of the project in a temporary folder, for tests of configure.py and the build; and fakes of Debian's tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

MAIN = "int main(void)\n{\n    return 0;\n}\n"

# Answers for the packages in $FAKE_MISSING; all others are installed.
DPKG_QUERY = """#!/bin/bash
[ "$1" = -W ] || exec /usr/bin/dpkg-query "$@"
shift 3
for package; do
    [[ " $(cat "$FAKE_MISSING") " == *" $package "* ]] || echo "$package installed"
done
"""
# Knows every package and "installs" what it is told to, after an update.
APT_GET = """#!/bin/bash
echo "apt-get $*" >> "$FAKE_LOG"
case " $* " in
    *" --simulate "*) [ -e "$FAKE_LOG.updated" ] ;;
    *" update "*) touch "$FAKE_LOG.updated" ;;
    *" install "*) [ -z "$FAKE_BROKEN" ] && : > "$FAKE_MISSING" ;;
esac
"""


class TreeCase(unittest.TestCase):
    """self.tree is a fresh copy with the application hello alone and no tests; the core is the project's own."""

    def setUp(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="quire-build-")).resolve()
        self.addCleanup(shutil.rmtree, self.scratch)
        self.tree = self.scratch / "quire"
        (self.tree / "tests").mkdir(parents=True)
        for name in ("configure.py", "build.ninja"):
            shutil.copy2(ROOT / name, self.tree)
        shutil.copytree(ROOT / "images", self.tree / "images", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "apps/hello", self.tree / "apps/hello")
        for name in ("core", "vm", "arch"):
            (self.tree / name).symlink_to(ROOT / name)
        self.environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment.pop("NINJA_STATUS", None)

    def run_in(self, folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)), cwd=folder, env=self.environment, capture_output=True, text=True, timeout=300
        )

    def configure(self, *arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.run_in(folder or self.tree, self.tree / "configure.py", *arguments)

    def ninja(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run_in(self.tree, "ninja", *arguments)

    def app(self, name: str, manifest: str, **files: str) -> Path:
        """Writes apps/NAME with this manifest and a main.c."""
        folder = self.tree / "apps" / name
        folder.mkdir(exist_ok=True)
        (folder / "app.toml").write_text(manifest)
        (folder / "main.c").write_text(MAIN)
        for file, text in files.items():
            (folder / file).write_text(text)
        return folder

    def fake_debian(self, missing: str, broken: bool = False) -> Path:
        """Puts a dpkg-query and an apt-get first in PATH; returns the log of what apt-get was told."""
        folder, log, state = self.scratch / "bin", self.scratch / "apt.log", self.scratch / "missing"
        folder.mkdir(exist_ok=True)
        for name, text in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET), ("sudo", '#!/bin/bash\nexec "$@"\n')):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        state.write_text(missing)
        self.environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_LOG": str(log), "FAKE_MISSING": str(state)}
        self.environment["FAKE_BROKEN"] = "1" if broken else ""
        return log

    def succeed(self, done: subprocess.CompletedProcess[str]) -> str:
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def refuse(self, done: subprocess.CompletedProcess[str], *words: str) -> str:
        """Status 2 and one line on stderr that holds all words."""
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("\033", done.stdout + done.stderr)
        return done.stderr
