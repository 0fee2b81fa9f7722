"""images/iso.py: reproducible, small, a valid disk; booting it is for tests/boot."""

import os
import shlex
import struct
import subprocess
import time
import unittest
import zlib

from support import FolderCase

import iso
from test_fat import Reader

SECTOR = 512
MIB = 1 << 20


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

    def test_different_input_different_marker(self) -> None:
        one, two = (iso.Image("app", elf, None, "").identity() for elf in (b"1", b"2"))
        self.assertNotEqual(one, two)
        self.assertNotEqual(iso.Image("app", b"", None, "").identity(), iso.Image("app", b"", b"", "x").identity())

    def test_contents(self) -> None:
        elf = os.urandom(70000)
        self.make("1.iso", "--files", self.write("f", b"packed"), elf=elf)
        self.assertEqual(self.extract("1.iso", "/boot/app"), elf)
        (self.folder / "extracted").unlink()
        self.assertEqual(self.extract("1.iso", "/boot/app.files"), b"packed")

    def test_size(self) -> None:
        self.assertEqual(len(self.make("1.iso", elf=bytes(120 << 10))), MIB)
        for size in (400 << 10, 2047 << 10):
            self.assertEqual(len(self.make("1.iso", elf=bytes(size))) % MIB, 0)

    def partition_table(self, image: bytes, sector: int) -> tuple[int, int, int, list[tuple[int, int]]]:
        """Own place, place of the other copy, place of the entries, used entries (first, last); checksums checked."""
        header = bytearray(image[sector * SECTOR :][:92])
        signature, _, size, checksum, _, own, other = struct.unpack_from("<8sIIIIQQ", header)
        entries_at, count, entry_size, entries_sum = struct.unpack_from("<QIII", header, 72)
        self.assertEqual(signature, b"EFI PART")
        header[16:20] = bytes(4)
        self.assertEqual(zlib.crc32(header[:size]), checksum)
        entries = image[entries_at * SECTOR :][: count * entry_size]
        self.assertEqual(zlib.crc32(entries), entries_sum)
        each = [entries[at : at + entry_size] for at in range(0, len(entries), entry_size)]
        used = [entry for entry in each if any(entry[:16])]
        return own, other, entries_at, [struct.unpack_from("<QQ", entry, 32) for entry in used]

    def test_partition_table(self) -> None:
        image = self.make("1.iso")
        last = len(image) // SECTOR - 1
        own, other, _, partitions = self.partition_table(image, 1)
        self.assertEqual((own, other), (1, last))
        self.assertEqual(self.partition_table(image, last)[:2], (last, 1))
        first, end = partitions[1]
        self.assertLess(end, last)
        partition = image[first * SECTOR : (end + 1) * SECTOR]
        (total,) = struct.unpack_from("<H", partition, 19)
        tree = Reader(partition[: total * SECTOR]).tree()
        self.assertEqual(tree["EFI"]["BOOT"]["BOOTX64.EFI"][:2], b"MZ")
        self.assertEqual(image[510:512], b"\x55\xaa")

    def test_command_line_reaches_grub_quoted(self) -> None:
        image = iso.Image("app", b"", None, """quire.env="A=two words" -- it\\'s '$x' \\"q\\" ''""")
        line = iso.boot_script(image).splitlines()[0]
        self.assertEqual(shlex.split(line)[2:], ["quire.env=A=two words", "--", "it's", "$x", '"q"', ""])
        self.assertNotIn('"A', line)

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
        environment = os.environ | {"SOURCE_DATE_EPOCH": "today"}
        done = self.tool("iso.py", "--output", output, "--elf", elf, "--label", "a", env=environment)
        self.assert_refused(done, "SOURCE_DATE_EPOCH", "today")

    def test_no_temporary_files_are_left(self) -> None:
        self.make("1.iso", env=os.environ | {"TMPDIR": str(self.folder)})
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["1.iso", "app.elf"])


if __name__ == "__main__":
    unittest.main()
