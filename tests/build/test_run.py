"""configure.py --run: what is built, what the launcher is given, and whose the exit status is."""

import os
import unittest

from tree import TreeCase

# Makes the files it is asked for, instead of building them; fails with $FAKE_NINJA.
NINJA = """#!/bin/bash
echo "$*" >> "$FAKE_LOG"
[ -z "$FAKE_NINJA" ] || { echo "main.c: an error"; exit 1; }
for target; do
    [[ "$target" == -* ]] || { mkdir -p "$(dirname "$target")"; touch "$target"; }
done
"""
# A machine that prints its command line and powers off with $FAKE_STATUS.
QEMU = """#!/bin/bash
printf '\\036quire: hello\\n%s\\n\\036quire: exit %s\\n' "${*: -1}" "$FAKE_STATUS"
"""


class Run(TreeCase):
    def fake(self, status: int = 0) -> None:
        """Puts both stand-ins first in PATH."""
        folder = self.scratch / "bin"
        folder.mkdir()
        for name, text in (("ninja", NINJA), ("qemu-system-x86_64", QEMU)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.log = self.scratch / "ninja.log"
        self.environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_LOG": str(self.log)}
        self.environment |= {"FAKE_STATUS": str(status), "FAKE_NINJA": ""}

    def test_the_status_is_the_program_s(self):
        self.fake()
        for status in (0, 1, 3, 255):
            with self.subTest(status=status):
                self.environment["FAKE_STATUS"] = str(status)
                done = self.configure("--run", "hello")
                self.assertEqual((done.returncode, done.stdout), (status, "quire.exit=debug\n"), done.stderr)
        self.assertIn("Configured hello", done.stderr)
        self.assertNotIn("Next:", done.stderr)
        self.assertEqual(set(self.log.read_text().splitlines()), {"--quiet build/hello/hello.elf"})

    def test_builds_the_packed_files_too(self):
        self.fake()
        self.app("packed", 'summary = "x"\nsources = ["main.c"]\nfiles = ["main.c"]\n')
        self.configure("--run", "packed", "--debug")
        self.assertEqual(self.log.read_text(), "--quiet build/packed-debug/packed.elf build/packed-debug/packed.files\n")

    def test_arguments_are_configured_with_an_application(self):
        self.fake()
        self.assertEqual(self.succeed(self.configure("--run", "hello", "--", "a b")), "quire.exit=debug\n")
        self.assertIn('"a b"', (self.tree / "build/hello/config.c").read_text())

    def test_what_is_configured(self):
        self.fake(7)
        self.succeed(self.configure("hello", "--ram", "96M", "--", "kept"))
        for words, line in (((), ""), (("--", "a b"), " -- 'a b'"), (("--",), " --")):
            done = self.configure("--run", *words)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (7, f"quire.exit=debug{line}\n", ""))
        self.assertIn('"kept"', (self.tree / "build/hello/config.c").read_text())

    def test_nothing_configured(self):
        self.refuse(self.configure("--run"), "nothing is configured", "./configure.py --setup hello")

    def test_options_need_an_application(self):
        self.succeed(self.configure("hello"))
        self.refuse(self.configure("--run", "--ram", "96M"), "--run", "need an application")

    def test_what_does_not_build_does_not_run(self):
        self.fake()
        self.environment["FAKE_NINJA"] = "1"
        done = self.configure("--run", "hello")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("main.c: an error", done.stderr)
        self.assertTrue(done.stderr.endswith("hello was not built, ninja says why\n"), done.stderr)

    def test_a_real_image(self):
        done = self.configure("--run", "hello", "--", "--status", "42")
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (42, "environ: LANG=C.UTF-8"), done.stderr)


if __name__ == "__main__":
    unittest.main()
