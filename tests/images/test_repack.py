"""Repacking, inspecting and signing of images: images/repack.py, inspection.py, signature.py, by configure.py's options."""

import contextlib
import gzip
import hashlib
import io
import os
import random
import signal
import struct
import subprocess
import sys
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from support import ROOT, FolderCase

sys.path.insert(0, str(ROOT))

import archive
import configure
import description
import disk
import iso
import ova
import repack
from tool import Failure

HELLO, FILES, BUSYBOX = (ROOT / f"build/test/{name}/{name}.iso" for name in ("hello", "files", "busybox"))


class ImageCase(FolderCase):
    def configure(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Here, as starting Python takes longer than most of what is tested; test_as_a_program starts it."""
        output, error = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), redirect_stdout(output), redirect_stderr(error):
            try:
                status = configure.main([str(argument) for argument in arguments])
            except Failure as failure:
                print(f"configure.py: {failure}", file=sys.stderr)
                status = 2
        return subprocess.CompletedProcess(arguments, status, output.getvalue(), error.getvalue())

    def succeed(self, *arguments: object) -> str:
        done = self.configure(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def refuse(self, status: int, *arguments: object, words: tuple[str, ...]) -> None:
        done = self.configure(*arguments)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def boot(self, image: Path) -> str:
        command = ["qemu-system-x86_64", "-M", "q35", "-m", "256M", "-accel", "tcg", "-nodefaults", "-no-reboot"]
        command += ["-display", "none", "-serial", "stdio", "-drive", f"file={image},format=raw,if=virtio,readonly=on"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        return done.stdout.decode(errors="replace").replace("\r\n", "\n")


class RepackTest(ImageCase):
    def repacked(self, source: Path, *arguments: object, name: str = "out.iso") -> bytes:
        self.succeed("--repack", source, "-o", name, *arguments)
        return (self.folder / name).read_bytes()

    def test_no_change_gives_the_same_image(self) -> None:
        for path in (HELLO, FILES, BUSYBOX):
            self.assertEqual(self.repacked(path), path.read_bytes())
        elf = HELLO.with_suffix(".elf").read_bytes()
        image = iso.make_iso(iso.Image("app", elf, None, "a -- b", True, {"summary": "s"}))
        self.assertEqual(self.repacked(self.write("c.iso", image)), image)

    def test_the_same_changes_give_the_same_image(self) -> None:
        changes = ("--args", "one 'two words'", "--env", "A=b", "--cmdline", "quire.aslr=off")
        first = self.repacked(HELLO, *changes)
        self.assertNotEqual(first, HELLO.read_bytes())
        self.assertEqual(self.repacked(HELLO, *changes, name="again.iso"), first)
        self.assertEqual(self.repacked(HELLO, *changes[2:], "--", "one", "two words"), first)
        step = self.repacked(HELLO, *changes[2:], name="step.iso")
        self.assertNotEqual(step, first)
        self.assertEqual(self.repacked(self.folder / "step.iso", *changes[:2]), first)
        plain = self.repacked(HELLO, *changes[:4], name="plain.iso")
        self.assertEqual(self.repacked(self.folder / "out.iso", "--cmdline", ""), plain)

    def test_as_it_is_built_with_these_words(self) -> None:
        elf, about = HELLO.with_suffix(".elf"), HELLO.with_name("about.json")
        built = self.folder / "built.iso"
        done = self.tool("iso.py", "--elf", elf, "--about", about, "--calls", HELLO.with_name("calls.json"), "--label",
                         "hello", "--command-line", "quire.env=A=b -- x", "--output", built)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.repacked(HELLO, "--env", "A=b", "--args", "x"), built.read_bytes())

    def test_words_reach_the_program(self) -> None:
        words = ["two words", "it's", 'a "quoted" \\word', "$x", "ä"]
        self.repacked(HELLO, "--env", "GREETING=Good evening", "--env", "NEW=1", "--", *words)
        output = self.boot(self.folder / "out.iso")
        self.assertIn("Good evening, two words.\n", output)
        for number, word in enumerate(words, 1):
            self.assertIn(f"argv[{number}] = {word}\n", output)
        self.assertIn("environ: NEW=1\n", output)
        self.assertIn("environ: LANG=C.UTF-8\n", output)
        self.repacked(self.folder / "out.iso", "--args", "", "--env", "NEW=2")
        output = self.boot(self.folder / "out.iso")
        self.assertNotIn("argv[1]", output)
        self.assertIn("environ: NEW=2\n", output)
        self.assertIn("GREETING=Good evening\n", output)

    def test_files_reach_the_program(self) -> None:
        self.write("tree/data/new.txt", b"a new file\n")
        self.write("tree/busy/large", os.urandom(70000))
        self.repacked(BUSYBOX, "--files", "tree", "--", "cat", "data/new.txt")
        self.assertIn("a new file\n", self.boot(self.folder / "out.iso"))
        self.write("tree/data/new.txt", b"another one\n")
        large = hashlib.md5((self.folder / "tree/busy/large").read_bytes()).hexdigest()
        self.repacked(self.folder / "out.iso", "--files", "tree/data/new.txt:data/new.txt", "--", "md5sum", "data/new.txt", "busy/large")
        output = self.boot(self.folder / "out.iso")
        self.assertIn(f"{hashlib.md5(b'another one' + bytes([10])).hexdigest()}  data/new.txt\n", output)
        self.assertIn(f"{large}  busy/large\n", output)

    def test_archives_come_back(self) -> None:
        packed = FILES.with_suffix(".files").read_bytes()
        entries = archive.unpack(packed)
        self.assertEqual(archive.pack(entries), packed)
        self.assertEqual(archive.pack(archive.merged(entries, entries[:3])), packed)
        for old, new in ((archive.MODE_DIRECTORY, archive.MODE_FILE), (archive.MODE_FILE, archive.MODE_DIRECTORY)):
            with self.assertRaisesRegex(Failure, "both a file and a folder"):
                archive.merged([archive.Entry("a", old)], [archive.Entry("a", new)])

    def test_other_formats(self) -> None:
        self.repacked(HELLO, "--args", "x", name="out.qcow2")
        image = disk.read_original(self.folder / "out.qcow2")
        self.assertEqual(disk.kind_of(self.folder / "out.qcow2"), "qcow2")
        self.assertEqual(self.repacked(HELLO, "--args", "x"), image)
        self.repacked(self.folder / "out.qcow2", "--args", "world", name="out2")
        self.assertEqual(disk.kind_of(self.folder / "out2"), "qcow2")

    def test_in_place_and_without_the_old_signature(self) -> None:
        path, signed = self.write("a.iso", HELLO.read_bytes()), self.write("a.iso.sig", b"of the old one")
        self.succeed("--repack", path, "--args", "x")
        self.assertNotEqual(path.read_bytes(), HELLO.read_bytes())
        self.assertFalse(signed.exists())

    def test_what_is_no_file_is_not_replaced(self) -> None:
        os.mkfifo(self.folder / "pipe")
        self.refuse(2, "--repack", HELLO, "-o", "pipe", words=("pipe: it is no file that could be written anew",))
        self.assertTrue((self.folder / "pipe").is_fifo())
        file, link = self.write("a.iso", HELLO.read_bytes()), self.folder / "link.iso"
        link.symlink_to(file)
        signed, of_link = self.write("a.iso.sig", b"of the old one"), self.write("link.iso.sig", b"of the old one")
        self.succeed("--repack", "link.iso", "--args", "x")
        self.assertTrue(link.is_symlink())
        self.assertNotEqual(file.read_bytes(), HELLO.read_bytes())
        self.assertFalse(signed.exists() or of_link.exists())

    def test_a_signature_that_cannot_go(self) -> None:
        path = self.write("a.iso", HELLO.read_bytes())
        (self.folder / "a.iso.sig").mkdir()
        self.refuse(2, "--repack", path, "--args", "x", words=("a.iso.sig is a folder",))
        self.assertEqual(path.read_bytes(), HELLO.read_bytes())

    def test_files_of_others_beside_it(self) -> None:
        path, other = self.write("a.iso", HELLO.read_bytes(), 0o600), self.write("a.iso.partial", b"somebody's")
        self.succeed("--repack", path, "--args", "x")
        self.assertEqual(other.read_bytes(), b"somebody's")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        mask = os.umask(0o027)
        self.addCleanup(os.umask, mask)
        self.succeed("--repack", path, "-o", "new.iso")
        self.assertEqual((self.folder / "new.iso").stat().st_mode & 0o777, 0o640)
        self.assertEqual(sorted(found.name for found in self.folder.iterdir()), ["a.iso", "a.iso.partial", "new.iso"])

    def test_refusals(self) -> None:
        self.write("big", bytes(70 << 20))
        self.write("other", b"no image at all" * 5000)
        for arguments, words in (
            ((HELLO, "--files", "big"), ("--files", "system calls", "hello")),
            ((BUSYBOX, "--files", "big", "--files", "big:b", "--files", "big:c", "--files", "big:d"), ("memory plan", "--ram")),
            ((HELLO, "--files", "none"), ("no file or folder none",)),
            ((HELLO, "--args", "'x"), ("--args", "No closing quotation")),
            ((HELLO, "--args", "x", "--", "y"), ("--args", "--")),
            ((HELLO, "--", "a\nb"), ("printable",)),
            ((HELLO, "--", "a", ""), ("an empty argument",)),
            ((HELLO, "--args", "x" * 5000), ("command line", "4000")),
            ((HELLO, "--cmdline", "-- x"), ("--cmdline",)),
            ((HELLO, "--env", "1=2"), ("NAME=VALUE",)),
            (("none.iso",), ("configure.py: none.iso: No such file or directory\n",)),
            (("other",), ("other", "none of iso, raw")),
            ((HELLO, "-o", "other/out.iso"), ("configure.py: other/out.iso: ",)),
            ((HELLO, "hello"), ("leave out hello",)),
        ):
            with self.subTest(words):
                self.refuse(2, "--repack", *arguments[:1], "-o", "out.iso", *arguments[1:], words=words)
                self.assertFalse((self.folder / "out.iso").exists())
        self.refuse(2, "hello", "--args", "x", words=("--args", "--repack"))

    def test_options_without_meaning(self) -> None:
        path = self.write("a.iso", HELLO.read_bytes())
        for action, arguments, words in (
            ("--repack", ("--ram", "1G"), ("--ram has no meaning with --repack",)),
            ("--repack", ("--key", "k"), ("--key", "--repack")),
            ("--repack", ("--run",), ("--run", "--repack")),
            ("--inspect", ("--format", "vhd"), ("--format", "--inspect")),
            ("--inspect", ("-o", "x"), ("--output", "--inspect")),
            ("--inspect", ("--sign", "a.iso"), ("--sign", "--inspect")),
            ("--inspect", ("--no-stats",), ("--stats", "--inspect")),
            ("--sign", ("--", "x"), ("--", "--sign")),
            ("--repack", ("-o", ""), ("--output: the name of the file is empty",)),
            ("--inspect", ("--key", ""), ("--key: the name of the file is empty",)),
            ("--sign", ("--key", ""), ("--key: the name of the file is empty",)),
            ("--repack", ("-o", "a.vdi"), ("-o a.vdi: there is no format .vdi; a name ends with .iso, .raw",)),
        ):
            with self.subTest(words):
                self.refuse(2, action, path, *arguments, words=words)
                self.assertEqual(path.read_bytes(), HELLO.read_bytes())
                self.assertEqual([found.name for found in self.folder.iterdir()], ["a.iso"])


class InspectTest(ImageCase):
    def test_as_a_program(self) -> None:
        changed = self.write("changed.iso", HELLO.read_bytes()[:-1] + b"x")
        for path, status in ((HELLO, 0), (changed, 1), (self.write("text"), 2)):
            command = [sys.executable, str(ROOT / "configure.py"), "--inspect", str(path)]
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), bool(status))

    def test_no_room_for_its_own_files(self) -> None:
        command = ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", sys.executable, ROOT / "configure.py", "--inspect", HELLO]
        done = subprocess.run(command, env=os.environ | {"TMPDIR": str(self.folder)}, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (2, f"configure.py: build/ or {self.folder}: File too large\n"))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_no_room_is_no_damage(self) -> None:
        for kind in ("qcow2", "gce", "ova"):
            path = self.write("a", disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20)))
            command = ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", sys.executable, ROOT / "configure.py", "--inspect", path]
            done = subprocess.run(command, env=os.environ | {"TMPDIR": str(self.folder)}, capture_output=True, text=True, timeout=60, check=False)
            with self.subTest(kind):
                self.assertEqual((done.returncode, done.stdout, len(done.stderr.splitlines())), (2, "", 1), done.stderr)
                self.assertRegex(done.stderr, "File too large|File size limit exceeded")
                self.assertEqual([found.name for found in self.folder.iterdir()], ["a"])

    def test_what_programs_say_of_their_output_is_no_damage(self) -> None:
        self.write("a.qcow2", disk.make("qcow2", HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20)))
        self.write("a.iso", HELLO.read_bytes())
        for text in ("No space left on device", "Permission denied", "Read-only file system", "Cannot write all bytes: No such file"):
            for program, image in (("qemu-img", "a.qcow2"), ("xorriso", "a.iso")):
                script = f"#!/bin/sh\necho '{program}: writing failed: {text}' >&2\necho aborting >&2\nexit 1\n"
                self.write(f"bin/{program}", script.encode(), 0o755)
                with self.subTest(text, image=image), mock.patch.dict(os.environ, PATH=f"{self.folder / 'bin'}:{os.environ['PATH']}"):
                    self.refuse(2, "--inspect", image, words=(f"{image}: {program}: writing failed: {text}\n",))
                (self.folder / "bin" / program).unlink()

    def test_the_environment_is_no_damage(self) -> None:
        for date in ("", "abc", "-5"):
            with self.subTest(date), mock.patch.dict(os.environ, SOURCE_DATE_EPOCH=date):
                self.assertIn(", whole and unaltered\n", self.succeed("--inspect", HELLO))

    def test_names_that_qemu_img_would_take_for_something_else(self) -> None:
        data = disk.make("qcow2", HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
        for name in ("a:b.qcow2", "nbd:x.qcow2", "-d.qcow2", "json:{.qcow2"):
            self.write(name, data)
            with self.subTest(name):
                self.assertIn(f"{name}: qcow2, ", self.succeed(f"--inspect={name}"))

    def test_interrupted_while_it_starts(self) -> None:
        self.write("difflib.py", b"import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
        command, environment = [sys.executable, str(ROOT / "configure.py"), "--inspect", str(HELLO)], os.environ | {"PYTHONPATH": str(self.folder)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (-signal.SIGINT, "", ""))

    def test_tells_what_there_is(self) -> None:
        text = self.succeed("--inspect", FILES)
        contents = description.read_contents(FILES.read_bytes())
        for expected in (
            f"{FILES}: iso, ",
            "application  files: ",
            "machine      64 MiB of RAM, 1 CPU, pages up to 2m\n",
            "system calls base files memory\n",
            hashlib.sha256(FILES.read_bytes()).hexdigest(),
            hashlib.sha256(contents.elf).hexdigest(),
            hashlib.sha256(FILES.with_suffix(".files").read_bytes()).hexdigest(),
            "Memory plan of files",
            "LOAD     r-x 0xffffffff8",
            "18 etc/motd\n",
        ):
            self.assertIn(expected, text)
        self.assertEqual(contents.elf, FILES.with_suffix(".elf").read_bytes())

    def test_the_plan_is_the_one_of_the_build(self) -> None:
        text = self.succeed("--inspect", HELLO)
        needed = next(row for row in HELLO.with_name("plan.txt").read_text().splitlines() if "RAM needed" in row)
        self.assertIn(needed, text)

    def test_words(self) -> None:
        changes = repack.Changes("quire.unmap=strict", {"GREETING": "a b"}, ["x y"], [])
        image = repack.repack(HELLO.read_bytes(), changes)[0]
        text = self.succeed("--inspect", self.write("a", image))
        for expected in ("'x y'   (instead", "'GREETING=a b'   (added)", "LANG=C.UTF-8\n", "core         quire.unmap=strict\n"):
            self.assertIn(expected, text)

    def test_nothing_for_the_terminal_to_obey(self) -> None:
        elf = HELLO.with_suffix(".elf").read_bytes()
        files = archive.pack([archive.Entry("a\x1b[2J\nb", archive.MODE_FILE, b"x")])
        image = iso.make_iso(iso.Image("app", elf, files, "", False, {"summary": "s\x1b[31m", "arguments": ["\x07"]}))
        text = self.succeed("--inspect", self.write("a", image))
        self.assertTrue(all(row.isprintable() for row in text.split("\n")), text)
        self.assertIn(" a\\x1b[2J\\nb\n", text)

    def test_version(self) -> None:
        image = iso.make_iso(iso.Image("app", HELLO.with_suffix(".elf").read_bytes(), None, "", False, {"version": "1.5-2"}))
        self.assertIn("application  app 1.5-2\n", self.succeed("--inspect", self.write("a", image)))

    def test_every_format(self) -> None:
        for kind, suffix in disk.SUFFIXES.items():
            path = self.write(f"a{suffix}", disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20)))
            with self.subTest(kind):
                self.assertIn(f"a{suffix}: {'iso' if kind == 'raw' else kind}, ", self.succeed("--inspect", path.name))

    def test_altered(self) -> None:
        image = HELLO.read_bytes()
        choose = random.Random(7)
        places = [512 + 40, 32768 + 2, image.index(b"quire-image"), image.index(b'"seal"') + 30, len(image) - 1]
        for place in [*places, *(choose.randrange(len(image)) for _ in range(15))]:
            changed = image[:place] + bytes([image[place] ^ 1 << choose.randrange(8)]) + image[place + 1 :]
            with self.subTest(place=place):
                self.refuse(2 if place == 32768 + 2 else 1, "--inspect", self.write("a.iso", changed), words=("a.iso: it ",))
        for keep in (len(image) - 1, 900000, 100000, 60000):
            with self.subTest(keep=keep):
                self.refuse(1, "--inspect", self.write("a.iso", image[:keep]), words=("truncated",))

    def test_altered_in_other_formats(self) -> None:
        for kind in ("qcow2", "vhd", "vhdx", "vmdk", "ova", "gce"):
            data = disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
            text = data.find(b"Hello")
            place = text if text >= 0 else len(data) * 2 // 3
            with self.subTest(kind):
                changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
                self.refuse(1, "--inspect", self.write("a", changed), words=("altered",))

    def test_formats_altered_and_cut_anywhere(self) -> None:
        """Holes, the second copies of tables, padding, and what gzip finds only at its end."""
        choose = random.Random(9)
        for kind in ("vhd", "ova", "gce"):
            data = disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
            places = [460, len(data) // 2, len(data) - 5, len(data) - 1, *(choose.randrange(600, len(data)) for _ in range(6))]
            for place in places:
                with self.subTest(kind, place=place):
                    changed = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
                    self.refuse(1, "--inspect", self.write("a", changed), words=("altered",))
            for keep in (len(data) // 2, len(data) - 1):
                with self.subTest(kind, keep=keep):
                    self.refuse(1, "--inspect", self.write("a", data[:keep]), words=("a: it ",))

    def test_altered_beside_the_disk(self) -> None:
        for kind in ("qcow2", "vhdx", "vmdk"):
            data = disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
            with self.subTest(kind):
                self.assertIn(", whole and unaltered\n", self.succeed("--inspect", self.write("a", data)))
                changed = data[:414] + bytes([data[414] ^ 1]) + data[415:]
                self.assertIn("the file around it is not what", self.succeed("--inspect", self.write("a", changed)))
                done = self.configure("--inspect", self.write("a", data[:600]))
                self.assertNotIn("qemu-img: qemu-img", done.stderr)
        data = disk.make("gce", HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
        self.assertIn(", whole and unaltered\n", self.succeed("--inspect", self.write("a", data)))
        self.assertIn("the file around it is not what", self.succeed("--inspect", self.write("a", data[:4] + b"\1" + data[5:])))
        self.refuse(1, "--inspect", self.write("a", data + bytes(512)), words=("does not end where the file ends",))

    def test_broken_around_the_disk(self) -> None:
        """The disk that qemu-img reads is whole, or was cut off; what it says of the file counts."""
        made = {kind: disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20)) for kind in ("qcow2", "vhdx")}
        qcow2, vhdx = made.values()
        [table] = struct.unpack_from(">Q", qcow2, 48)  # of reference counts
        for name, data, words in (
            ("refcounts", qcow2[:table] + b"\x01" + qcow2[table + 1 :], "qemu-img: ERROR"),
            ("the clusters", qcow2[:40000], "qemu-img: ERROR"),
            ("the last block", vhdx[:-512], "its last block is not whole"),
        ):
            with self.subTest(name):
                self.refuse(1, "--inspect", self.write("a", data), words=("a: it is truncated or altered", words))

    def test_cut_or_longer_where_qemu_img_does_not_look(self) -> None:
        for kind in ("qcow2", "vhdx", "vmdk"):
            data = disk.make(kind, HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
            for keep in (len(data) - 1, len(data) - 2, len(data) - 54372):
                with self.subTest(kind, keep=keep):
                    self.refuse(1, "--inspect", self.write("a", data[:keep]), words=("a: it ",))
            for more in (b"x", bytes(1 << 20)):
                with self.subTest(kind, more=len(more)):
                    self.refuse(1, "--inspect", self.write("a", data + more), words=("a: it ", "altered"))
            self.refuse(2, "--sign", self.write("a", data[:-1]), "--key", "none", words=("a: it is truncated",))
        self.refuse(1, "--inspect", self.write("a", data[:-512]), words=(f"a: it is truncated: {len(data) - 512} of {len(data)} bytes are there",))
        self.refuse(1, "--inspect", self.write("a", data + b"xy"), words=("a: it was altered: 2 bytes follow its end",))

    def test_a_vhd_is_as_long_as_its_footer_says(self) -> None:
        vhd = disk.make("vhd", HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
        for data in (vhd + vhd[-512:], vhd[:-512] + bytes(1 << 20) + vhd[-512:], vhd[:-1024] + vhd[-512:]):
            with self.subTest(size=len(data)):
                self.refuse(1, "--inspect", self.write("a.vhd", data), words=("a.vhd: it is truncated or altered", f"{len(vhd)} bytes"))
        other = ["qemu-img", "convert", "-f", "raw", "-O", "vpc", self.write("raw", HELLO.read_bytes()), self.folder / "b.vhd"]
        subprocess.run(other, check=True, capture_output=True)
        self.refuse(1, "--inspect", "b.vhd", words=("b.vhd: it is truncated or altered",))
        self.refuse(2, "--inspect", self.write("a", vhd[-512:-1]), words=("a: it is none of",))

    def test_a_disk_that_is_in_another_file(self) -> None:
        self.write("a.raw", HELLO.read_bytes())
        for command in (
            "convert -O vmdk a.raw plain.vmdk",
            "create -f vmdk -b plain.vmdk -F vmdk parent.vmdk",
            "create -f qcow2 -b a.raw -F raw backing.qcow2",
            "create -f qcow2 -b a.raw -F raw -o compat=0.10 old.qcow2",
            "convert -O qcow2 -o data_file=data,data_file_raw=on a.raw data.qcow2",
            "convert -O qcow2 -o compat=0.10 a.raw whole.qcow2",
        ):
            subprocess.run(["qemu-img", *command.split()], cwd=self.folder, check=True, capture_output=True)
        vmdk = bytearray((self.folder / "plain.vmdk").read_bytes())
        vmdk[12:20] = bytes(8)  # no capacity: the extents that its descriptor names
        self.write("extents.vmdk", vmdk)
        for name in ("parent.vmdk", "extents.vmdk", "backing.qcow2", "old.qcow2", "data.qcow2"):
            with self.subTest(name):
                self.refuse(2, "--inspect", name, words=(f"{name}: it holds no disk itself: it refers to another file",))
        descriptor = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "a.raw" 0\n'
        self.write("descriptor.ova", ova.make(ova.Machine("hello", 1, 64 << 20), descriptor, 1 << 20, 0))
        self.refuse(2, "--inspect", "descriptor.ova", words=("it holds no disk itself",))
        self.refuse(1, "--inspect", self.write("short.qcow2", b"QFI\xfb"), words=("short.qcow2: it is truncated or altered",))
        for name in ("plain.vmdk", "whole.qcow2"):
            self.assertIn("its disk is whole and unaltered", self.succeed("--inspect", name))

    def test_the_name_of_another_format(self) -> None:
        vhd = disk.make("vhd", HELLO.read_bytes(), ova.Machine("hello", 1, 64 << 20))
        self.refuse(1, "--inspect", self.write("a.vhd", vhd[:-512]), words=("iso by its contents and vhd by its name",))
        self.refuse(1, "--inspect", self.write("a.raw", vhd), words=("vhd by its contents and raw by its name",))
        for name in ("a.raw", "a.iso", "a.img"):
            self.assertIn(", whole and unaltered\n", self.succeed("--inspect", self.write(name, HELLO.read_bytes())))

    def test_another_version(self) -> None:
        elf = HELLO.with_suffix(".elf").read_bytes()
        for about in ({"format": "quire-image 9"}, {"memory": {"ram": 1}}, {"memory": 5}, {"name": 5}, {"arguments": 5},
                      {"arguments": [1]}, {"environment": []}, {"calls": [1]}, {"command_line": "'"},
                      {"memory": {"name": "a", "ram": 1, "stack": 1, "heap": 1, "windows": [1]}, "cpus": 1, "pages": "2m"}):  # fmt: skip
            with self.subTest(about):
                image = iso.make_iso(iso.Image("app", elf, None, "", False, about))
                self.refuse(2, "--inspect", self.write("a", image), words=("a: its boot/image.json is of another version",))

    def test_no_image(self) -> None:
        plain = self.folder / "plain.iso"
        self.write("tree/file", b"x")
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", plain, self.folder / "tree"], check=True, capture_output=True)
        for name, words in ((plain, ("no image of this project",)), (self.write("t", b"text"), ("none of",)),
                            ("gone", ("configure.py: gone: No such file or directory\n",))):  # fmt: skip
            self.refuse(2, "--inspect", name, words=words)
        for name, more in (("foreign.tar", ""), ("foreign.tar.gz", "z")):
            subprocess.run(["tar", f"-c{more}f", name, "tree"], cwd=self.folder, check=True)
            self.refuse(2, "--inspect", name, words=(f"{name}: it is ",))
        self.refuse(2, "--inspect", self.write("a.gz", gzip.compress(b"text")), words=("a.gz: it is no archive of a disk",))
        os.mkfifo(self.folder / "pipe")
        for name in ("pipe", "/dev/null", "/tmp"):
            self.refuse(2, "--inspect", name, words=(f"{name}: it is no regular file",))
        for option in ("--inspect", "--repack"):
            self.refuse(2, option, "", words=(f"{option}: of which image?",))


class SignTest(ImageCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.write("a.iso", HELLO.read_bytes())
        for name in ("key", "other"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.folder / name]
            subprocess.run(command, check=True, capture_output=True)

    def test_signed(self) -> None:
        self.assertIn("signature    none\n", self.succeed("--inspect", "a.iso"))
        self.assertEqual(self.succeed("--sign", "a.iso", "--key", "key"), "Wrote a.iso.sig\n")
        first = (self.folder / "a.iso.sig").read_bytes()
        self.assertIn("signature    good, by the ED25519 key SHA256:", self.succeed("--inspect", "a.iso"))
        self.assertNotIn("whoever", self.succeed("--inspect", "a.iso", "--key", "key.pub"))
        self.succeed("--sign", "a.iso", "--key", "key")
        self.assertEqual((self.folder / "a.iso.sig").read_bytes(), first)

    def test_not_by_this_key(self) -> None:
        self.refuse(1, "--inspect", "a.iso", "--key", "key.pub", words=("not signed", "a.iso.sig"))
        self.succeed("--sign", "a.iso", "--key", "other")
        self.refuse(1, "--inspect", "a.iso", "--key", "key.pub", words=("a.iso.sig is not of the key key.pub",))

    def test_not_of_this_image(self) -> None:
        self.succeed("--sign", "a.iso", "--key", "key")
        changed = repack.repack(HELLO.read_bytes(), repack.Changes(None, {}, ["x"], []))[0]
        self.write("a.iso", changed)  # whole, but another one
        self.refuse(1, "--inspect", "a.iso", words=("a.iso.sig is not of this image",))
        self.refuse(1, "--inspect", "a.iso", "--key", "key.pub", words=("a.iso.sig is not of the key",))

    def test_not_for_this_use(self) -> None:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", self.folder / "key", self.image]
        subprocess.run(command, check=True, capture_output=True)
        self.refuse(1, "--inspect", "a.iso", words=("a.iso.sig is not of this image",))
        self.write("a.iso.sig", b"nonsense")
        self.refuse(1, "--inspect", "a.iso", words=("a.iso.sig is not of this image",))

    def test_refusals(self) -> None:
        self.refuse(2, "--sign", "a.iso", words=("--key", "ssh-keygen"))
        self.refuse(2, "--sign", "a.iso", "--key", "none", words=("none", "ssh-keygen"))
        self.refuse(2, "--sign", "none", "--key", "key", words=("configure.py: none: No such file or directory\n",))
        self.refuse(2, "--sign", "a.iso", "--key", self.write("k", b"no key", 0o600), words=("was not signed",))
        self.refuse(2, "--sign", self.write("b", b"text"), "--key", "key", words=("b: it is none of iso",))
        self.refuse(2, "--sign", self.write("b", HELLO.read_bytes()[:-1]), "--key", "key", words=("b: it is truncated",))
        self.assertFalse((self.folder / "b.sig").exists())
        self.assertFalse((self.folder / "a.iso.sig").exists())
        self.succeed("--sign", "a.iso", "--key", "key")
        self.refuse(2, "--inspect", "a.iso", "--key", "key", words=("no public key",))


if __name__ == "__main__":
    unittest.main()
