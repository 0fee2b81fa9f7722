"""images/iso.py: reproducible, small, a valid disk; booting it is for tests/boot."""

import gettext
import gzip
import hashlib
import io
import os
import shlex
import struct
import subprocess
import sys
import time
import unittest
import zlib

from support import IMAGES, FolderCase

import description
import iso
from test_fat import Reader
from tool import Failure

SECTOR = 512
MIB = 1 << 20


def partition_table(test: unittest.TestCase, image: bytes, sector: int) -> tuple[int, int, int, list[tuple[int, int]]]:
    """Own place, place of the other copy, place of the entries, used entries (first, last); checksums checked."""
    header = bytearray(image[sector * SECTOR :][:92])
    signature, _, size, checksum, _, own, other = struct.unpack_from("<8sIIIIQQ", header)
    entries_at, count, entry_size, entries_sum = struct.unpack_from("<QIII", header, 72)
    test.assertEqual(signature, b"EFI PART")
    header[16:20] = bytes(4)
    test.assertEqual(zlib.crc32(header[:size]), checksum)
    entries = image[entries_at * SECTOR :][: count * entry_size]
    test.assertEqual(zlib.crc32(entries), entries_sum)
    each = [entries[at : at + entry_size] for at in range(0, len(entries), entry_size)]
    used = [entry for entry in each if any(entry[:16])]
    return own, other, entries_at, [struct.unpack_from("<QQ", entry, 32) for entry in used]


class IsoTest(FolderCase):
    def make(self, name: str, *more: object, elf: bytes = b"\x7fELF" + bytes(1000), **options: object) -> bytes:
        output = self.folder / name
        elf_file = self.write("app.elf", elf)
        done = self.tool("iso.py", "--elf", elf_file, "--label", "app", "--output", output, *more, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return output.read_bytes()

    def extract(self, image: str, path: str) -> bytes:
        target = self.folder / "extracted"
        command = ["xorriso", "-osirrox", "on", "-indev", str(self.folder / image), "-extract", path, str(target)]
        subprocess.run(command, check=True, capture_output=True)
        return target.read_bytes()

    def test_same_input_same_bytes(self) -> None:
        files = self.write("app.files", b"data")
        options = ("--files", files, "--command-line", "quire.aslr=off")
        first = self.make("1.iso", *options)
        time.sleep(1.1)  # times in the file system have this resolution
        other_place = self.folder / "elsewhere"
        other_place.mkdir()
        self.assertEqual(first, self.make("2.iso", *options, cwd=other_place))
        os.utime(files, (1, 1))
        files.chmod(0o600)
        self.assertEqual(first, self.make("3.iso", *options))

    def test_same_input_same_bytes_compressed(self) -> None:
        files = self.write("app.files", b"data" * 3000)
        options = ("--files", files, "--compress", "gzip")
        first = self.make("1.iso", *options)
        time.sleep(1.1)  # gzip has a time in its header
        self.assertEqual(first, self.make("2.iso", *options))

    def test_compressed(self) -> None:
        elf, packed = os.urandom(1000), b"packed" * 600000
        about = self.write("about", b'{"summary": "compressed"}')
        image = self.make("1.iso", "--files", self.write("f", packed), "--compress", "gzip", "--about", about, elf=elf)
        self.assertEqual(len(image), MIB)
        self.assertEqual(gzip.decompress(self.extract("1.iso", "/boot/app")), elf)
        contents = description.read_contents(image)
        self.assertEqual((contents.elf, contents.files, contents.about["summary"]), (elf, packed, "compressed"))

    def test_sealed(self) -> None:
        image = self.make("1.iso")
        length, digest = description.read_contents(image).about["seal"].split()
        blank = image.replace(f"{length} {digest}".encode(), f"{0:012} {'0' * 64}".encode())
        self.assertEqual((int(length), digest), (len(image), hashlib.sha256(blank).hexdigest()))
        for place in (100, 600, 40000, 300000, len(image) - 100, len(image) - 1):
            with self.subTest(place=place), self.assertRaises(Failure):
                description.read_contents(image[:place] + bytes([image[place] ^ 4]) + image[place + 1 :])
        for keep in (len(image) - 1, 600000, 40000):
            with self.subTest(keep=keep), self.assertRaises(Failure):
                description.read_contents(image[:keep])

    def test_different_input_different_marker(self) -> None:
        one, two = (iso.Image("app", elf, None, "").identity() for elf in (b"1", b"2"))
        self.assertNotEqual(one, two)
        self.assertNotEqual(iso.Image("app", b"", None, "").identity(), iso.Image("app", b"", b"", "x").identity())

    def test_contents(self) -> None:
        elf = os.urandom(70000)
        self.make("1.iso", "--files", self.write("f", b"packed"), elf=elf)
        self.assertEqual(gzip.decompress(self.extract("1.iso", "/boot/app")), elf)
        (self.folder / "extracted").unlink()
        self.assertEqual(self.extract("1.iso", "/boot/app.files"), b"packed")

    def test_size(self) -> None:
        self.assertEqual(len(self.make("1.iso", elf=bytes(120 << 10))), MIB)
        for size in (400 << 10, 2047 << 10):
            self.assertEqual(len(self.make("1.iso", elf=bytes(size))) % MIB, 0)

    def test_partition_table(self) -> None:
        image = self.make("1.iso")
        last = len(image) // SECTOR - 1
        own, other, _, partitions = partition_table(self, image, 1)
        self.assertEqual((own, other), (1, last))
        self.assertEqual(partition_table(self, image, last)[:2], (last, 1))
        first, end = partitions[1]
        self.assertLess(end, last)
        partition = image[first * SECTOR : (end + 1) * SECTOR]
        (total,) = struct.unpack_from("<H", partition, 19)
        tree = Reader(partition[: total * SECTOR]).tree()
        self.assertEqual(tree["EFI"]["BOOT"]["BOOTX64.EFI"][:2], b"MZ")
        self.assertEqual(image[510:512], b"\x55\xaa")

    def test_command_line_reaches_grub_quoted(self) -> None:
        image = iso.Image("app", b"", None, """quire.env="A=two words" -- it\\'s '$x' \\"q\\" ''""")
        line = iso.boot_script(image, []).splitlines()[0]
        self.assertEqual(shlex.split(line)[2:], ["quire.env=A=two words", "--", "it's", "$x", '"q"', ""])
        self.assertNotIn('"A', line)

    def test_the_ram_that_it_is_made_for_is_said(self) -> None:
        """Where GRUB cannot load it: with too little RAM that is what is missing."""
        said = "quire: app cannot be loaded: the image is damaged, or RAM too small"
        memory = {"name": "app", "ram": 96 << 20, "stack": 0, "heap": 0, "windows": []}
        for about, more in (({}, ""), ({"memory": None}, ""), ({"memory": 5}, ""), ({"memory": memory}, " (it is made for 96 MiB)")):
            self.assertIn(f"\necho '{said}{more}'\nhalt\n", iso.boot_script(iso.Image("app", b"", None, "", False, about), []))

    def test_errors_of_grub_are_translated_to_nothing(self) -> None:
        catalog = gettext.GNUTranslations(io.BytesIO(iso.quiet_catalog()))
        line = iso.ERROR_LINE.decode()
        self.assertEqual((catalog.gettext(line), catalog.gettext("other")), ("", "other"))
        for folder in (iso.GRUB_BIOS, iso.GRUB_UEFI):
            self.assertIn(b"\0" + iso.ERROR_LINE + b"\0", (folder / "kernel.img").read_bytes())

    def test_refusals(self) -> None:
        elf, output = self.write("app.elf", b"x"), self.folder / "out.iso"
        for words, arguments in {
            ("no.elf", "No such file"): ["--elf", self.folder / "no.elf", "--label", "a"],
            ("--label", "no name"): ["--elf", elf, "--label", "a b"],
            ("no.files", "No such file"): ["--elf", elf, "--label", "a", "--files", self.folder / "no.files"],
            ("command line", "No closing quotation"): ["--elf", elf, "--label", "a", "--command-line", "'x"],
        }.items():
            with self.subTest(words):
                self.assert_refused(self.tool("iso.py", "--output", output, *arguments), *words)
                self.assertFalse(output.exists())
        environment = os.environ | {"PATH": str(self.folder)}
        done = self.tool("iso.py", "--output", output, "--elf", elf, "--label", "a", env=environment)
        self.assert_refused(done, "not installed", "apt-get install")
        for date in ("today", "", "-1", "1.5", "\u0661", str(2**32), "9" * 30):
            environment = os.environ | {"SOURCE_DATE_EPOCH": date}
            done = self.tool("iso.py", "--output", output, "--elf", elf, "--label", "a", env=environment)
            self.assert_refused(done, f"SOURCE_DATE_EPOCH is '{date}', not a whole number from 0 to 4294967295")

    def test_first_and_last_date(self) -> None:
        first, last = (self.make(f"{date}.iso", env=os.environ | {"SOURCE_DATE_EPOCH": str(date)}) for date in (0, 2**32 - 1))
        self.assertIn(b"1970010100000000", first)
        time.sleep(1.1)
        self.assertEqual(first, self.make("again.iso", env=os.environ | {"SOURCE_DATE_EPOCH": "0"}))
        self.assertIn(b"2106020706281500", last)

    def test_a_program_that_fails(self) -> None:
        """The last line that says why is part of the one."""
        said = "xorriso 1.5.4 : RockRidge filesystem manipulator, libburnia project.\n\nxorriso : FAILURE : no space\nxorriso : ABORT : Program done."
        elf, output = self.write("app.elf", b"x"), self.folder / "out.iso"
        environment = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        for text, shown in ((said, "xorriso failed (32): xorriso : FAILURE : no space"), ("", "xorriso failed (32) without a word")):
            self.write("bin/xorriso", f"#!/bin/sh\necho '{text}' >&2\nexit 32\n".encode(), 0o755)
            done = self.tool("iso.py", "--elf", elf, "--label", "a", "--output", output, env=environment)
            self.assert_refused(done, f"iso.py: {shown}\n")
            self.assertFalse(output.exists())

    def test_no_room_for_its_own_files(self) -> None:
        elf, output = self.write("app.elf", b"x" * 50000), self.folder / "out.iso"
        for kib in (20, 100, 300, 700):
            command = ["bash", "-c", f'ulimit -f {kib}; exec "$@"', "bash", sys.executable, IMAGES / "iso.py", "--elf", elf, "--label", "a", "--output", output]
            done = subprocess.run(command, env=os.environ | {"TMPDIR": str(self.folder)}, capture_output=True, text=True, timeout=60, check=False)
            self.assert_refused(done, "iso.py: ")
            self.assertEqual([path.name for path in self.folder.iterdir()], ["app.elf"])

    def test_no_temporary_files_are_left(self) -> None:
        self.make("1.iso", env=os.environ | {"TMPDIR": str(self.folder)})
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["1.iso", "app.elf"])


if __name__ == "__main__":
    unittest.main()
