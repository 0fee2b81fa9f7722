"""[source] of a manifest: Debian's source packages, from an archive that is a folder of this machine."""

import json
import os
import subprocess
import unittest

from tree import TreeCase

MANIFEST = """summary = "x"
[source]
package = "tiny"
commands = ["cp main.txt made.c"]
sources = ["src/*.c", "made.c"]
exclude = ["src/test.c"]
include = ["include"]
files = ["data", "!**/*.tmp"]
"""
FILES = {
    "src/one.c": '#include "tiny.h"\nint one(void) { return ONE; }\n',
    "src/two.c": "int two(void) { return 2; }\n",
    "src/test.c": "#error not for this program\n",
    "include/tiny.h": "#define ONE 1\n",
    "main.txt": "int one(void); int two(void); int main(void) { return one() + two(); }\n",
    "data/text": "hello\n",
    "data/text.tmp": "",
    "debian/control": "Source: tiny\nMaintainer: Nobody <nobody@localhost>\n\nPackage: tiny\nArchitecture: any\nDescription: x\n",
    "debian/changelog": "tiny (1.0) unstable; urgency=low\n\n  * x\n\n -- Nobody <nobody@localhost>  Thu, 01 Jan 1970 00:00:00 +0000\n",
    "debian/source/format": "3.0 (native)\n",
}
# Knows one source package, whose files are in $FAKE_SOURCES; there is no network if that is empty.
APT_GET = """#!/bin/bash
echo "apt-get $*" >> "$FAKE_LOG"
while [ "$1" = -o ]; do shift 2; done
case "$*" in
    indextargets*) echo "Debian|file:/x/|bookworm|main"; echo "Other|file:/y/|z|main" ;;
    update) [ -n "$FAKE_SOURCES" ] || exit 100 ;;
    "source --print-uris tiny") ;;
    "source --download-only tiny") [ -z "$FAKE_OLD" ] && cp "$FAKE_SOURCES"/tiny_* . ;;
    "source --download-only tiny=1.0") cp "$FAKE_SOURCES"/tiny_* . ;;
    *) exit 100 ;;
esac
"""
APT_CACHE = """#!/bin/bash
printf 'Package: tiny\\nVersion: %s\\n' 2.0 1.0
"""


class DebianSource(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.scratch / "apt.log"
        folder = self.scratch / "bin"
        folder.mkdir()
        for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        for name, text in FILES.items():
            path = self.scratch / "tiny-1.0" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        subprocess.run(["dpkg-source", "-b", "tiny-1.0"], cwd=self.scratch, check=True, capture_output=True)
        self.environment |= {"FAKE_OLD": "", "PATH": f"{folder}:{os.environ['PATH']}", "FAKE_LOG": str(self.log), "FAKE_SOURCES": str(self.scratch)}

    def manifest(self, *changes: tuple[str, str]) -> None:
        text = MANIFEST
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        self.app("tiny", text)

    def fail(self, done: subprocess.CompletedProcess[str], *words: str) -> None:
        """Status 2, and the last line holds all words; apt-get's own messages may stand above it."""
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_fetched_once_and_built(self):
        self.manifest()
        self.refuse(self.configure("tiny"), "Debian's source of tiny is missing", "./configure.py --setup tiny")
        self.succeed(self.configure("--setup", "tiny"))
        commands = self.log.read_text()
        for word in ("update", "source --download-only tiny"):
            self.assertEqual(commands.count(word), 1, commands)
        self.assertEqual((self.tree / "build/sources/apt/sources.list").read_text().split("] ")[-1], "file:/x/ bookworm main\n")
        self.succeed(self.configure("--setup", "tiny"))
        self.assertEqual(self.log.read_text(), commands)
        listed = (self.tree / "build/tiny/sources.txt").read_text().splitlines()
        self.assertEqual([path.split("/", 4)[-1] for path in listed], ["src/one.c", "src/two.c", "made.c"])
        self.assertEqual(json.loads((self.tree / "build/tiny/about.json").read_text())["version"], "1.0")
        self.succeed(self.ninja("build/tiny/tiny.files", "build/test/tiny/tiny.native"))
        self.assertEqual(subprocess.run([self.tree / "build/test/tiny/tiny.native"], check=False).returncode, 3)
        self.assertIn(b"data/text\0", (self.tree / "build/tiny/tiny.files").read_bytes())
        self.assertNotIn(b"text.tmp", (self.tree / "build/tiny/tiny.files").read_bytes())

    def test_other_commands_take_a_fresh_tree_and_no_network(self):
        self.manifest()
        self.succeed(self.configure("--setup", "tiny"))
        commands = self.log.read_text()
        self.manifest(('"cp main.txt made.c"', '"mv main.txt made.c"'))
        self.refuse(self.configure("tiny"), "Debian's source of tiny is missing")
        self.succeed(self.configure("--setup", "tiny"))
        self.assertEqual(self.log.read_text(), commands)

    def test_a_version_whose_files_are_gone(self):
        self.manifest()
        self.environment["FAKE_OLD"] = "1"
        self.assertIn("Configured tiny", self.succeed(self.configure("--setup", "tiny")))
        self.assertTrue(self.log.read_text().rstrip().endswith("source --download-only tiny=1.0"))

    def test_no_such_package(self):
        self.manifest(('"tiny"', '"teeny"'))
        self.fail(self.configure("--setup", "tiny"), "apps/tiny/app.toml: source.package: Debian has no source package teeny")

    def test_no_network(self):
        self.manifest()
        self.environment["FAKE_SOURCES"] = ""
        self.fail(self.configure("--setup", "tiny"), "could not be fetched", "is there a network?")
        self.assertIn("apps/tiny/app.toml: ", self.succeed(self.configure("--setup", "hello")))

    def test_a_command_that_fails(self):
        self.manifest(('"cp main.txt made.c"', '"echo the reason; exit 3"'))
        done = self.configure("--setup", "tiny")
        self.fail(done, "`echo the reason; exit 3` ended with 3")
        self.assertIn("the reason\n", done.stdout)
        self.refuse(self.configure("tiny"), "Debian's source of tiny is missing")

    def test_names_that_the_tree_does_not_have(self):
        self.manifest()
        self.succeed(self.configure("--setup", "tiny"))
        for key, before, after in (
            ("sources", '"made.c"]', '"lib/*.c"]'), ("sources", '"src/*.c", ', '"src/three.c", '), ("exclude", "src/test.c", "src/tests.c"),
            ("include", '["include"]', '["headers"]'), ("include", '["include"]', '["src/one.c"]'), ("files", '["data"', '["date"'),
        ):  # fmt: skip
            with self.subTest(after):
                self.manifest((before, after))
                self.refuse(self.configure("tiny"), f"apps/tiny/app.toml: source.{key}: there is no ", after.split('"')[1] if '"' in after else after)


if __name__ == "__main__":
    unittest.main()
