"""configure.py --program and the manifest key program: what can become an image, and one clear line for what cannot."""

import json
import struct
import subprocess
import unittest
from pathlib import Path

from tree import TreeCase

BUSYBOX = Path("/bin/busybox")  # of busybox-static
GOOD = 'summary = "x"\nprogram = "tool"\n'


def change(data: bytes, offset: int, layout: str, value: int) -> bytes:
    return data[:offset] + struct.pack(layout, value) + data[offset + struct.calcsize(layout) :]


class Program(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.good = BUSYBOX.read_bytes()

    def file(self, name: str, data: bytes) -> Path:
        path = self.scratch / name
        path.write_bytes(data)
        path.chmod(0o755)
        return path

    def compile(self, name: str, *options: str, text: str = "int main(void) { return 0; }\n") -> Path:
        (self.scratch / "main.c").write_text(text)
        command = ["clang", *options, "-o", name, "main.c"]
        subprocess.run(command, cwd=self.scratch, check=True, stderr=subprocess.DEVNULL)
        return self.scratch / name

    def settings(self, name: str) -> dict:
        return json.loads((self.tree / "build" / name / "run.json").read_text())

    def test_an_image(self) -> None:
        self.file("my_Tool.v2", self.good)
        (self.scratch / "tree/etc").mkdir(parents=True)
        (self.scratch / "tree/etc/motd").write_text("hello")
        (self.scratch / "one.txt").write_text("1")
        printed = self.succeed(
            self.configure(
                "--program", "my_Tool.v2", "--ram", "128M", "--files", "tree", "--files", "one.txt", "--files", "!**/none",
                "--env", "A=b=c", "--", "echo", "x", folder=self.scratch,
            )
        )  # fmt: skip
        self.assertIn("Configured my-tool-v2: an existing program", printed)
        settings = self.settings("my-tool-v2")
        self.assertEqual((settings["name"], settings["memory"]), ("my-tool-v2", 128 << 20))
        self.assertEqual(settings["program"], {"file": str(self.scratch / "my_Tool.v2"), "base": 0})
        config = (self.tree / "build/my-tool-v2/config.c").read_text()
        for word in ('.program = "my_Tool.v2"', '"A=b=c"', '"echo"', '"HOME=/"', "quire_load_program"):
            self.assertIn(word, config)
        self.succeed(self.ninja("my-tool-v2"))
        packed = (self.tree / "build/my-tool-v2/my-tool-v2.files").read_bytes()
        for name in (b"my_Tool.v2\0", b"etc/motd\0", b"one.txt\0"):
            self.assertIn(name, packed)
        self.assertEqual(packed.index(self.good) % 4096, 0)
        for suffix in ("elf", "iso"):
            self.assertTrue((self.tree / f"build/my-tool-v2/my-tool-v2.{suffix}").is_file())
        # Remembered: another program configures again, and ninja knows both.
        self.succeed(self.configure("hello"))
        self.assertIn("my-tool-v2: phony", self.succeed(self.ninja("-t", "targets", "all")))

    def test_position_independent(self) -> None:
        self.succeed(self.configure("--program", self.compile("pie", "-static-pie", "-fPIE")))
        self.assertEqual(self.settings("pie")["program"]["base"], 0x555555554000)

    def test_names(self) -> None:
        for file, name in (("hello", "hello-program"), ("7z", "program-7z"), ("test", "test-program"), ("a-debug", "a-debug-program")):
            self.succeed(self.configure("--program", self.file(file, self.good)))
            self.assertTrue((self.tree / "build" / name / "run.json").is_file(), name)

    def test_refused_files(self) -> None:
        good, relocatable = self.good, self.compile("object.o", "-c").read_bytes()
        libm = Path("/lib/x86_64-linux-gnu/libm.so.6").resolve().read_bytes()
        for name, data, words in (
            ("empty", b"", "no ELF file"),
            ("text", b"hello\n", "no ELF file"),
            ("script", b"#!/bin/sh -e\necho\n", "a script for /bin/sh: take a static build"),
            ("script-odd", b"#!", "a script: take"),
            ("windows", b"MZ" + bytes(100), "Windows"),
            ("short", good[:20], "truncated"),
            ("cut", good[: len(good) // 2], "truncated: it has"),
            ("headers-cut", good[:100], "truncated: its program headers"),
            ("elf32", change(change(good, 4, "B", 1), 18, "<H", 3), "32-bit x86"),
            ("arm", change(good, 18, "<H", 183), "64-bit ARM"),
            ("big-endian", change(good, 5, "B", 2), "another machine"),
            ("freebsd", change(good, 7, "B", 9), "FreeBSD"),
            ("object", relocatable, "an object file"),
            ("core", change(good, 16, "<H", 4), "a core dump"),
            ("library", libm, "a shared library"),
            ("archive", b"!<arch>\n", "an archive of object files"),
            ("entry", change(good, 24, "<Q", 0x10), "begins where"),
        ):
            with self.subTest(name):
                message = self.refuse(self.configure("--program", self.file(name, data)), "cannot become an image: it is ", words)
                self.assertIn(str(self.scratch / name), message)
        self.assertFalse((self.tree / "build/targets.ninja").exists())

    def test_refused_programs(self) -> None:
        dynamic = self.compile("dynamic")
        self.refuse(self.configure("--program", dynamic), "dynamically linked", "/lib64/ld-linux-x86-64.so.2", "libc.so.6", "-static")
        writable = self.compile("writable", "-static", "-nostdlib", "-Wl,-N,-emain")
        self.refuse(self.configure("--program", writable), "writable and executable at once")

    def test_debian_package_with_a_static_build(self) -> None:
        self.fake_debian("")
        folder = self.scratch / "bin"
        (folder / "apt-cache").write_text('#!/bin/bash\n[ "${@: -1}" = bash-static ] && echo "Package: bash-static"\n')
        (folder / "apt-cache").chmod(0o755)
        self.refuse(self.configure("--program", "/bin/bash"), "dynamically linked", "package bash-static")
        self.refuse(self.configure("--program", "/bin/true"), "dynamically linked", "Link it with -static (or -static-pie)\n")

    def test_an_image_is_no_program(self) -> None:
        self.succeed(self.configure("hello"))
        self.succeed(self.ninja("build/hello/hello.elf"))
        self.refuse(self.configure("--program", self.tree / "build/hello/hello.elf"), "an image already", "boots by itself")

    def test_an_executable_stack_is_told(self) -> None:
        done = self.configure("--program", self.compile("stack", "-static", "-Wl,-z,execstack"))
        self.succeed(done)
        self.assertIn("its stack will not be executable", done.stderr)

    def test_options(self) -> None:
        tool = self.file("tool", self.good)
        for words, arguments in {
            ("no file", "nothing"): ["--program", "nothing"],
            ("a folder",): ["--program", self.scratch],
            ("--program: the name of the file is empty",): ["--program", ""],
            ("--files '': the name of the file or folder is empty",): ["--program", tool, "--files", ""],
            ("--files ':x': the name of the file or folder is empty",): ["--program", tool, "--files", ":x"],
            ("too large by", "give it --ram", "largest part, stack (8 MiB)"): ["--program", tool, "--ram", "4M"],
            ("leave out hello",): ["hello", "--program", tool],
            ("--libc has no meaning",): ["--program", tool, "--libc", "musl"],
            ("--malloc has no meaning",): ["--program", tool, "--malloc", "jemalloc"],
            ("--files nowhere:x", "there is no file or folder"): ["--program", tool, "--files", "nowhere:x"],
            ("--env", "NAME=VALUE"): ["--program", tool, "--env", "A"],
            ("two files would be tool",): ["--program", tool, "--files", "/etc/passwd:tool"],
            ("no plain path",): ["--program", tool, "--files", "/etc/passwd:../x"],
        }.items():
            with self.subTest(words):
                self.refuse(self.configure(*arguments), *words)

    def test_a_pattern_that_leaves_out_nothing_is_told(self) -> None:
        (self.scratch / "tree/sub").mkdir(parents=True)
        (self.scratch / "tree/sub/x.txt").write_text("x")
        files = ["--files", self.scratch / "tree", "--files", "!**/*.txt", "--files", "!sub/y*"]
        done = self.configure("--program", self.file("tool", self.good), *files)
        self.succeed(done)
        self.assertEqual(done.stderr, "configure.py: files: !sub/y* leaves out nothing: no name in the image matches sub/y*\n")

    def test_manifest(self) -> None:
        folder = self.app("wrapped", GOOD + 'args = ["true"]\nfiles = ["main.c:etc/main.c"]\nenv = { HOME = "/root" }\n')
        (folder / "tool").write_bytes(self.good)
        self.succeed(self.configure("wrapped", "--env", "B=2"))
        config = (self.tree / "build/wrapped/config.c").read_text()
        for word in ('.program = "tool"', '"HOME=/root"', '"TERM=linux"', '"B=2"'):
            self.assertIn(word, config)
        for key, text in (("sources", 'sources = ["main.c"]\n'), ("libc", 'libc = "musl"\n'), ("malloc", 'malloc = "libc"\n'), ("cflags", 'cflags = ["-g"]\n')):
            self.app("wrapped", GOOD + text)
            self.refuse(self.configure("wrapped"), f"apps/wrapped/app.toml:3: {key}: has no meaning with program")
        self.app("wrapped", 'summary = "x"\nprogram = "../tool"\n')
        self.refuse(self.configure("wrapped"), "apps/wrapped/app.toml:2: program: must be the path of a static program")
        self.app("wrapped", 'summary = "x"\nprogram = "none"\n')
        self.refuse(self.configure("wrapped"), "apps/wrapped/app.toml:2: program: there is no file none in apps/wrapped")
        self.app("wrapped", 'summary = "x"\nprogram = "/nowhere/tool"\npackages = ["busybox-static"]\n')
        self.refuse(self.configure("wrapped"), "/nowhere/tool: No such file")


if __name__ == "__main__":
    unittest.main()
