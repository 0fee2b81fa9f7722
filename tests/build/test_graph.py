"""What ninja does with the graph: no configuration, regeneration, independence of applications, quoting."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest
from pathlib import Path

from tree import ROOT, TreeCase

sys.path.insert(0, str(ROOT / "images"))

from manifest import TARGETS  # noqa: E402

OBJECTS = ("build/hello/obj/main.c.o", "build/hello/config.o")
NO_WORK = "ninja: no work to do."
# Prints what a config.c says, one JSON value.
READER = r"""
#include "core/config.h"
#include <stdio.h>
static void list(const char *const *texts)
{
    for (; *texts; texts++)
        printf("%s%c", *texts, 0);
    printf("%c", 1);
}
int main(void)
{
    list(quire_config.arguments);
    list(quire_config.environment);
    printf("%s%c%lu", quire_config.command_line, 1, (unsigned long)quire_config.ram);
}
"""

# A program with an allocator of its own: one block.
OWN_MALLOC = """
#include <stddef.h>
static char block[64];
void *malloc(size_t size) { return size <= sizeof(block) ? block : NULL; }
void free(void *freed) { (void)freed; }
"""
CALLS_MALLOC = """
#include <stdlib.h>
int main(int argc, char **argv) { void *volatile block = malloc(argc); (void)argv; free(block); return 0; }
"""


def toml(text: str) -> str:
    """A TOML string with every character escaped."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


def later(path: Path) -> None:
    """Makes the file newer than everything written so far; times of files are 4 ms apart on some kernels."""
    time.sleep(0.02)
    os.utime(path)


class Graph(TreeCase):
    def test_no_application_has_the_name_of_a_target(self):
        self.succeed(self.configure("hello"))
        text = (self.tree / "build/targets.ninja").read_text()
        targets = set(re.findall(r"^build ([^/ ]+): (?:terminal|phony)", text, re.MULTILINE))
        self.assertIn("launchers", targets)
        self.assertEqual(targets - TARGETS, {"hello"})
        self.app("stress", 'summary = "x"\nsources = ["main.c"]\n')
        self.refuse(self.configure("stress"), "apps/stress", "one of ninja's targets")

    def test_ninja_without_a_configuration_says_what_to_type(self):
        done = self.ninja()
        self.assertEqual(done.returncode, 1)
        self.assertIn("# first type ./configure.py --setup hello", done.stderr)
        self.assertLessEqual(len(done.stderr.splitlines()), 3)

    def test_an_allocator_is_compiled_once_for_all(self):
        (self.tree / "build").mkdir()
        (self.tree / "build/sources").symlink_to(ROOT / "build/sources")
        for name in ("one", "two"):
            self.app(name, 'summary = "x"\nsources = ["main.c"]\nmalloc = "mimalloc"\n')
        self.succeed(self.configure("one"))
        graph = (self.tree / "build/targets.ninja").read_text()
        archive = "build/core/release/musl/mimalloc/libmimalloc.a"
        self.assertEqual(graph.count(f"build {archive}: "), 1)
        for name in ("build/one/one.debug", "build/two/two.debug", "build/test/one/one.native"):
            (row,) = (row for row in graph.splitlines() if row.startswith(f"build {name}: "))
            self.assertIn(f" {archive} ", row)

    def test_a_changed_manifest_configures_again(self):
        self.succeed(self.configure("hello"))
        self.succeed(self.ninja("build.ninja"))
        manifest = self.tree / "apps/hello/app.toml"
        manifest.write_text(manifest.read_text().replace('"64M"', '"80M"'))
        later(manifest)
        self.succeed(self.ninja("build/hello/config.o"))
        self.assertEqual(json.loads((self.tree / "build/hello/run.json").read_text())["memory"], 80 << 20)

    def test_a_broken_manifest_stops_ninja_with_its_line(self):
        self.succeed(self.configure("hello"))
        manifest = self.tree / "apps/hello/app.toml"
        manifest.write_text("summary = 1\n")
        later(manifest)
        done = self.ninja()
        self.assertEqual(done.returncode, 1)
        self.assertIn("apps/hello/app.toml:1: summary: must be a string of one line", done.stdout + done.stderr)

    def test_interrupted_while_it_configures_again(self):
        self.succeed(self.configure("hello"))
        targets, tool = self.tree / "build/targets.ninja", self.tree / "images/elf.py"
        before, text = targets.read_text(), tool.read_text()
        started = self.scratch / "started"
        tool.write_text(text + f"\nimport time\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)\n")
        later(tool)
        with subprocess.Popen(["ninja"], cwd=self.tree, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ninja:
            while not started.exists() and ninja.poll() is None:
                time.sleep(0.02)
            ninja.send_signal(signal.SIGINT)
        self.assertNotEqual(ninja.returncode, 0)
        self.assertEqual(targets.read_text(), before)
        tool.write_text(text)
        self.succeed(self.ninja("build.ninja"))
        self.assertEqual(targets.read_text(), before)

    def test_remembers_the_choices(self):
        self.succeed(self.configure("hello", "--ram", "96M", "--", "one"))
        later(self.tree / "apps/hello/app.toml")
        self.succeed(self.ninja("build/hello/config.o"))
        self.assertEqual(json.loads((self.tree / "build/hello/run.json").read_text())["memory"], 96 << 20)
        self.assertIn('"one"', (self.tree / "build/hello/config.c").read_text())

    def test_a_new_file_in_a_packed_folder_configures_again(self):
        folder = self.app("packed", 'summary = "x"\nsources = ["main.c"]\nfiles = ["data"]\n')
        (folder / "data").mkdir()
        (folder / "data/one").write_text("1")
        self.succeed(self.configure("packed"))
        self.succeed(self.ninja("build/packed/packed.files"))
        (folder / "data/two").write_text("2")
        later(folder / "data")
        self.succeed(self.ninja("build/packed/packed.files"))
        self.assertIn(b"data/two", (self.tree / "build/packed/packed.files").read_bytes())

    def test_another_application_rebuilds_nothing(self):
        self.app("other", 'summary = "x"\nsources = ["main.c"]\n')
        self.succeed(self.configure("hello", "--ram", "96M"))
        self.succeed(self.ninja(*OBJECTS))
        for words in (["other"], ["hello", "--debug"]):
            self.succeed(self.configure(*words))
            self.assertIn(NO_WORK, self.succeed(self.ninja(*OBJECTS)))
        self.succeed(self.configure("hello", "--ram", "96M"))
        self.assertIn(NO_WORK, self.succeed(self.ninja(*OBJECTS)))

    def test_debug_builds_have_their_own_folder(self):
        self.succeed(self.configure("hello", "--debug"))
        commands = self.succeed(self.ninja("-t", "commands", "hello-debug"))
        self.assertIn("-DQUIRE_DEBUG=1", commands)
        self.assertNotIn("build/core/release", commands)
        self.assertNotIn("QUIRE_DEBUG", self.succeed(self.ninja("-t", "commands", "hello")))

    def test_changed_headers_rebuild(self):
        self.app("other", 'summary = "x"\nsources = ["main.c"]\n')
        folder = self.tree / "apps/other"
        (folder / "main.c").write_text('#include "own.h"\nint main(void)\n{\n    return STATUS;\n}\n')
        (folder / "own.h").write_text("#define STATUS 0\n")
        self.succeed(self.configure("other"))
        self.succeed(self.ninja("build/other/obj/main.c.o"))
        later(folder / "own.h")
        self.assertNotIn(NO_WORK, self.succeed(self.ninja("build/other/obj/main.c.o")))

    def test_targets(self):
        self.succeed(self.configure("hello"))
        targets = self.succeed(self.ninja("-t", "targets", "all"))
        for name in ("all", "run", "debug", "test", "fuzz", "bench", "clean", "hello"):
            self.assertRegex(targets, rf"(?m)^{name}: ")

    def test_compile_commands_hold_compilations_only(self):
        self.succeed(self.configure("hello"))
        self.succeed(self.ninja("build/compile_commands.json"))
        entries = json.loads((self.tree / "build/compile_commands.json").read_text())
        self.assertIn("apps/hello/main.c", [entry["file"] for entry in entries])
        self.assertTrue(all(" -c " in entry["command"] for entry in entries))

    def test_path_outside_with_odd_characters(self):
        folder = self.scratch / "a $b (c) ü" / "odd"
        shutil.copytree(self.tree / "apps/hello", folder)
        (folder / "extra file.c").write_text("int extra;\n")
        manifest = (folder / "app.toml").read_text()
        (folder / "app.toml").write_text(manifest.replace('["main.c"]', '["main.c", "extra file.c"]\nfiles = ["extra file.c"]'))
        self.succeed(self.configure(folder))
        self.succeed(self.ninja("build/odd/obj/main.c.o", "build/odd/obj/extra file.c.o", "build/odd/odd.files"))
        self.assertIn(NO_WORK, self.succeed(self.ninja("build/odd/obj/main.c.o")))

    def test_path_that_ninja_cannot_follow(self):
        folder = self.scratch / "it's" / "odd"
        shutil.copytree(self.tree / "apps/hello", folder)
        self.refuse(self.configure(folder), "odd", '"\'"', "rename the folder")

    def test_name_of_an_application_of_the_project(self):
        shutil.copytree(self.tree / "apps/hello", self.scratch / "hello")
        self.refuse(self.configure(self.scratch / "hello"), "apps/hello has this name", "rename one")

    def test_clean_keeps_the_configuration(self):
        self.succeed(self.configure("hello"))
        self.succeed(self.ninja(*OBJECTS))
        self.succeed(self.ninja("clean"))
        self.assertFalse((self.tree / OBJECTS[0]).exists())
        self.succeed(self.ninja(*OBJECTS))

    def test_a_malloc_of_its_own(self):
        """With calls of the heap inlined there would be two: the linker says so."""
        folder = self.app("own", 'summary = "x"\nsources = ["main.c", "own.c"]\n')
        (folder / "own.c").write_text(OWN_MALLOC)
        (folder / "main.c").write_text(CALLS_MALLOC)
        self.succeed(self.configure("own"))
        done = self.ninja("build/own/own.elf")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("duplicate symbol: malloc", done.stdout + done.stderr)
        self.succeed(self.configure("own", "--no-inline"))
        self.succeed(self.ninja("build/own/own.elf"))


class ConfigC(TreeCase):
    """Any text comes out of config.c as it went into the manifest or the command line."""

    def read_back(self, name: str) -> list[str]:
        reader, program = self.scratch / "reader.c", self.scratch / "reader"
        reader.write_text(READER)
        command = ["clang", "-std=gnu11", "-Wall", "-Werror", "-no-pie", "-I", ROOT, reader, f"build/{name}/config.c"]
        self.succeed(self.run_in(self.tree, *command, "-Wl,--defsym=quire_plan_ram=0x123000", "-o", program))
        return subprocess.run([program], capture_output=True, check=True).stdout.decode().split("\1")

    def test_odd_texts(self):
        texts = ['"', "\\", "a\nb\tc", "??/", "100%", "$HOME `id` 'x'", "ü€𝄞", "\x7f\x02" + "7", "", "# \\x41 \\0"]
        values = ", ".join(map(toml, texts))
        self.app("odd", f'summary = "x"\nsources = ["main.c"]\nargs = [{values}]\nenv = {{ A = {toml(texts[5])} }}\n')
        self.succeed(self.configure("odd", "--cmdline", 'quire.env="A=ü b"'))
        arguments, environment, command_line, ram = self.read_back("odd")
        self.assertEqual(arguments.split("\0")[:-1], texts)
        self.assertEqual(environment.split("\0")[:-1], ["A=" + texts[5]])
        self.assertEqual((command_line, ram), ('quire.env="A=ü b"', str(0x123000)))

    def test_arguments_after_two_dashes(self):
        self.succeed(self.configure("hello", "--", "--ram", "a b", "--", "-x"))
        self.assertEqual(self.read_back("hello")[0].split("\0")[:-1], ["--ram", "a b", "--", "-x"])
        self.succeed(self.configure("hello", "--"))
        self.assertEqual(self.read_back("hello")[0], "")


class Plan(TreeCase):
    """images/plan.py, with ELF files made here: one header and its segments."""

    def elf(self, *segments: tuple[int, int, int]) -> Path:
        """segments: (flags, bytes in the file, bytes in memory)"""
        header = b"\x7fELF\x02\x01\x01" + bytes(9)
        header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
        table = b"".join(struct.pack("<IIQQQQQQ", 1, flags, 0, 0, 0, disk, memory, 4096) for flags, disk, memory in segments)
        path = self.scratch / "image"
        path.write_bytes(header + table)
        return path

    def plan(self, elf: Path, ram: int) -> subprocess.CompletedProcess[str]:
        (self.scratch / "symbols").write_bytes(bytes(5000))
        settings = {"name": "x", "ram": ram, "stack": 1 << 18, "heap": 0, "windows": []}
        (self.scratch / "plan.json").write_text(json.dumps(settings))
        options = {"elf": elf}
        for option, name in (("symbols", "symbols"), ("settings", "plan.json"), ("text", "plan.txt"), ("linker-options", "link")):
            options[option] = self.scratch / name
        words = [word for option, path in options.items() for word in (f"--{option}", path)]
        return self.run_in(self.tree, "images/plan.py", *words)

    def test_counts_whole_pages_of_every_segment(self):
        self.succeed(self.plan(self.elf((5, 5000, 5000), (4, 1, 1), (6, 4096, 100000)), 16 << 20))
        text = (self.scratch / "plan.txt").read_text()
        for row in (r"image text +8 KiB", r"image rodata +4 KiB", r"image data +4 KiB", r"image bss +96 KiB", r"image symbols +8 KiB"):
            self.assertRegex(text, row)
        need = int((self.scratch / "link").read_text().strip().split("=")[-1], 16)
        image = (8 + 4 + 4 + 96 + 8) << 10
        self.assertEqual(need, image + (64 << 10) + 8 * 128 + (256 << 10) + (8 + 4) * 4096)

    def test_too_large(self):
        self.refuse(self.plan(self.elf((6, 0, 20 << 20)), 16 << 20), "memory plan is too large by", "--ram 23M")
        self.refuse(self.plan(self.elf((6, 0, 2 << 20)), 4 << 20), "too large by 520 KiB", "--ram 5M")  # it lies from 2 MiB on
        self.assertFalse((self.scratch / "plan.txt").exists())
        self.assertFalse((self.scratch / "link").exists())

    def test_no_elf(self):
        path = self.scratch / "image"
        path.write_bytes(b"no")
        self.refuse(self.plan(path, 16 << 20), "not a 64-bit little-endian ELF file")


class SourceLists(unittest.TestCase):
    def test_every_source_file_is_built(self):
        names: dict[str, object] = {}
        exec((ROOT / "images/sources.py").read_text(), names)
        listed = {*names["CORE"], *names["THREADS"], *names["ALONE"], names["IMAGE_SCRIPT"], *(s for group in names["LIBC_SOURCES"].values() for s in group)}
        listed |= {name for name in (*names["HEAP_SOURCES"], *names["HEAP_CXX_SOURCES"], *names["HARDENED_SOURCES"]) if not name.endswith(".cc")}
        found = {
            path.relative_to(ROOT).as_posix()
            for folder in ("core", "vm", "arch")
            for path in (ROOT / folder).rglob("*.[cS]")
        }
        self.assertEqual(listed, found)


if __name__ == "__main__":
    unittest.main()
