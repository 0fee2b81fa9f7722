"""images/disk.py: every format is valid, the same each time, leads back to its ISO, and boots as its clouds boot it."""

import contextlib
import gzip
import io
import os
import re
import resource
import struct
import subprocess
import tarfile
import tempfile
import unittest
import xml.etree.ElementTree as xml
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator
from unittest import mock

from support import ROOT, FolderCase
from test_iso import partition_table

import description
import disk
import gpt
import iso
import ova
from elf import PF_X, Segment, read_segments
from tool import Altered, Failure

HELLO, BUSYBOX = ROOT / "build/test/hello/hello.iso", ROOT / "build/test/busybox/busybox.iso"
OVMF = "/usr/share/ovmf/OVMF.fd"
FIRMWARE = {"bios": (), "uefi": ("-bios", OVMF)}
MIB, GIB = 1 << 20, 1 << 30
MACHINE = ova.Machine("hello", 2, 96 * MIB)
# How the clouds that take a format attach it.
IDE = ["-M", "pc", "-device", "ide-hd,drive=disk"]
ATTACHED = {
    "iso": ["-M", "q35", "-device", "ide-cd,drive=disk"],
    "raw": ["-M", "q35", "-device", "nvme,serial=1,drive=disk"],
    "qcow2": ["-M", "q35", "-device", "virtio-blk-pci,drive=disk"],
    "vhd": IDE,
    "vhdx": IDE,
    "vmdk": IDE,
    "ova": IDE,
    "gce": ["-M", "q35", "-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk"],
}
QEMU_FORMATS = {"vhd": "vpc", "qcow2": "qcow2", "vhdx": "vhdx", "vmdk": "vmdk"}


def image_of(size: int) -> bytes:
    """An ISO with so many bytes of something in it."""
    return iso.make_iso(iso.Image("app", os.urandom(1000).ljust(size, b"\0"), None, ""))


def text_in(image: bytes, elf: bytes) -> int:
    """Where a byte from the middle of the program's text stands in an image that is not compressed, but in blocks."""
    text = next(segment for segment in read_segments(elf) if segment.flags & PF_X)
    middle = text.offset + text.file_size // 2
    places = (image.find(elf[start : start + 64]) for start in (middle, middle + 64))
    return next(place for place in places if place >= 0)


def flipped(image: bytes, place: int) -> bytes:
    return image[:place] + bytes([image[place] ^ 1]) + image[place + 1 :]


def without(image: bytes, name: str) -> bytes:
    """The image with a file under another name (of Rock Ridge)."""
    entry = struct.pack("<2sBBB", b"NM", 5 + len(name), 1, 0) + name.encode()
    assert entry in image
    return image.replace(entry, entry[:-1] + b"-")


def told(output: str) -> list[str]:
    """The lines on the console but for the firmware's, GRUB's greeting by UEFI, and the core's marks."""
    rows = [row.strip(" \r") for row in re.sub(r"\x1b\[[0-9;=]*[A-Za-z]", "", output).split("\n")]
    return [row for row in rows if row and not re.match("BdsDxe: |Welcome to GRUB!$|\x1e", row)]


def last_loaded(elf: bytes) -> tuple[int, Segment]:
    """Where the header of the segment stands that has the program's last loaded bytes, and what it says."""
    start, entry = struct.unpack_from("<32xQ14xH", elf)
    segments = read_segments(elf)
    last = max(range(len(segments)), key=lambda index: segments[index].file_size and segments[index].offset)
    return start + last * entry, segments[last]


def with_more_memory(elf: bytes, size: int) -> bytes:
    """The program with so many bytes in its last segment, most of them zeros that are not in the file."""
    header = last_loaded(elf)[0]
    return elf[: header + 40] + struct.pack("<Q", size) + elf[header + 48 :]


def with_padding(elf: bytes) -> bytes:
    """The program with its last loaded bytes just before a window of 32 KiB ends, and zeros behind them just in the next."""
    header, segment = last_loaded(elf)
    end = -(-len(elf) // 32768) * 32768
    longer = bytearray(elf.ljust(end - 8, b"\xff") + bytes(16))
    struct.pack_into("<QQ", longer, header + 32, end - 8 - segment.offset, end - 8 - segment.offset)
    return bytes(longer)


class DiskTest(FolderCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.image = HELLO.read_bytes()
        cls.made = {kind: disk.make(kind, cls.image, MACHINE) for kind in disk.SUFFIXES}

    def path(self, kind: str) -> Path:
        return self.write(f"image{disk.SUFFIXES[kind]}", self.made[kind])

    @contextlib.contextmanager
    def limited_memory(self, more: int) -> Iterator[None]:
        """This process gets no more than so many bytes."""
        limits = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    def info(self, *arguments: object) -> str:
        return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True).stdout

    def test_the_same_each_time(self) -> None:
        for kind, data in self.made.items():
            with self.subTest(kind):
                self.assertEqual(disk.make(kind, self.image, MACHINE), data)

    def test_each_leads_back_to_its_iso(self) -> None:
        for image in (self.image, image_of(21 * MIB)):
            for kind in disk.SUFFIXES:
                with self.subTest(kind, size=len(image)):
                    path = self.write("image", disk.make(kind, image, MACHINE))
                    self.assertEqual(disk.kind_of(path), "iso" if kind == "raw" else kind)
                    self.assertEqual(disk.read_original(path), image)

    def test_two_images_have_two_identifiers(self) -> None:
        other = image_of(1000)
        for use in ("vhd", "vhdx", "vmdk"):
            self.assertNotEqual(disk.guid(self.image, use), disk.guid(other, use))
        self.assertNotEqual(disk.guid(other, "vhd"), disk.guid(other, "vhdx"))

    def test_qemu_reads_the_same_disk(self) -> None:
        source = self.path("raw")
        for kind in ("qcow2", "vhdx", "vmdk"):
            with self.subTest(kind):
                path = self.path(kind)
                self.assertIn("identical", self.info("compare", "-f", "raw", "-F", kind, source, path))
                self.assertIn(f"({len(self.image)} bytes)", self.info("info", "-f", kind, path))
        for kind in ("qcow2", "vhdx"):
            self.assertIn("No errors", self.info("check", "-f", kind, self.path(kind)))

    def test_vhd_as_qemu_writes_it(self) -> None:
        path = self.path("vhd")
        self.assertEqual(path.stat().st_size, disk.VHD_LEAST + 512)
        self.assertIn(f"({disk.VHD_LEAST} bytes)", self.info("info", "-f", "vpc", path))
        for size in (disk.VHD_LEAST, 25 * MIB, 9 * GIB, 200 * GIB):
            with self.subTest(size=size):
                theirs = self.folder / "theirs.vhd"
                self.info("create", "-f", "vpc", "-o", "subformat=fixed,force_size=on", theirs, size)
                with theirs.open("rb") as stream:
                    stream.seek(size)
                    expected = stream.read()
                ours = disk.vhd_footer(self.image, size)
                same = lambda footer: footer[:24] + footer[28:32] + footer[36:64] + footer[84:]  # noqa: E731
                self.assertEqual(same(ours), same(expected))  # but for the time, qemu-img's version, the sum, the identifier
                checksum = struct.unpack_from(">I", ours, 64)[0]
                self.assertEqual(sum(ours) - sum(ours[64:68]) + checksum, 0xFFFFFFFF)

    def test_grown_disks_have_their_second_table_at_the_end(self) -> None:
        for size in (20 * MIB, 64 * MIB):
            begin, end = gpt.grown(self.image, size)
            whole = begin.ljust(size - len(end), b"\0") + end
            last = size // 512 - 1
            own, other, _, partitions = partition_table(self, whole, 1)
            self.assertEqual((own, other), (1, last))
            self.assertEqual(partition_table(self, whole, last)[:2], (last, 1))
            self.assertEqual(partition_table(self, whole, last)[3], partitions)
            self.assertEqual(partitions, partition_table(self, self.image, 1)[3])
            self.assertEqual(struct.unpack_from("<II", whole, 0x1BE + 8), (1, last))  # the MBR covers the disk
            start, stop = partitions[1]
            self.assertEqual(whole[start * 512 : (stop + 1) * 512], self.image[start * 512 : (stop + 1) * 512])

    def test_gce_archive_is_what_tar_writes(self) -> None:
        path = self.path("gce")
        subprocess.run(["tar", "-xzf", path, "-C", self.folder], check=True)
        found = self.folder / "disk.raw"
        self.assertEqual(found.stat().st_size, GIB)
        self.assertLess(found.stat().st_blocks * 512, 4 * MIB)  # holes are holes
        listed = subprocess.run(["tar", "-tvzf", path, "--full-time"], check=True, capture_output=True, text=True).stdout
        self.assertRegex(listed, r"^-rw-r--r-- .*1073741824 .* disk\.raw\n\Z")
        command = ["tar", "--format=oldgnu", "-Sc", "--owner=root:0", "--group=root:0", "--mtime=@0", "disk.raw"]
        theirs = subprocess.run(command, cwd=self.folder, check=True, capture_output=True).stdout
        self.assertEqual(theirs[257:265], b"ustar  \0")
        ours = disk.sparse_header("disk.raw", GIB, [(0, MIB)])
        self.assertEqual((ours[156:157], ours[257:265], ours[483:495]), (theirs[156:157], theirs[257:265], theirs[483:495]))

    def test_ova(self) -> None:
        path = self.path("ova")
        subprocess.run(["tar", "-xf", path, "-C", self.folder], check=True)
        listed = subprocess.run(["tar", "-tf", path], check=True, capture_output=True, text=True).stdout.split()
        self.assertEqual(listed, ["hello.ovf", "hello.mf", "hello-disk1.vmdk"])
        sums = re.findall(r"SHA256\((.*)\)= (.*)", (self.folder / "hello.mf").read_text())
        self.assertEqual([name for name, _ in sums], ["hello.ovf", "hello-disk1.vmdk"])
        text = "".join(f"{digest}  {name}\n" for name, digest in sums)
        subprocess.run(["sha256sum", "-c", "--strict"], input=text, text=True, cwd=self.folder, check=True, capture_output=True)
        self.assertEqual((self.folder / "hello-disk1.vmdk").read_bytes(), self.made["vmdk"])
        subprocess.run(["xmllint", "--noout", self.folder / "hello.ovf"], check=True)

    def test_ovf(self) -> None:
        names = {"": ova.OVF, "rasd": ova.RASD}
        whole = xml.fromstring(ova.describe(ova.Machine("a<b", 3, 65 * MIB + 1), "d.vmdk", 5, 7 * MIB))
        at = lambda element, key: element.get(f"{{{ova.OVF}}}{key}")  # noqa: E731
        file, found = whole.find("References/File", names), whole.find("DiskSection/Disk", names)
        self.assertEqual((at(file, "href"), at(file, "size")), ("d.vmdk", "5"))
        self.assertEqual((at(found, "fileRef"), at(found, "capacity")), (at(file, "id"), str(7 * MIB)))
        self.assertEqual(whole.find("VirtualSystem/Name", names).text, "a<b")
        items = whole.findall("VirtualSystem/VirtualHardwareSection/Item", names)
        values = [{child.tag.split("}")[1]: child.text for child in item} for item in items]
        for item in values:
            self.assertEqual(list(item), sorted(item))  # the order that the schema wants
        self.assertEqual([item["ResourceType"] for item in values], ["3", "4", "5", "17"])
        self.assertEqual((values[0]["VirtualQuantity"], values[1]["VirtualQuantity"]), ("3", "66"))
        self.assertEqual(values[3]["HostResource"], f"ovf:/disk/{at(found, 'diskId')}")
        self.assertEqual(values[3]["Parent"], values[2]["InstanceID"])

    def test_damage_is_found(self) -> None:
        for kind, where in {"ova": 3000, "vhd": disk.VHD_LEAST - 100}.items():
            with self.subTest(kind), self.assertRaises(Altered):
                data = self.made[kind]
                disk.read_original(self.write("bad", data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]))
        for kind, keep in {"ova": 100000, "gce": 100000}.items():
            with self.subTest(kind), self.assertRaises(Altered):
                disk.read_original(self.write("bad", self.made[kind][:keep]))
        for kind in ("qcow2", "vhdx", "vmdk"):
            with self.subTest(kind), self.assertRaises(Failure):
                disk.read_original(self.write("bad", self.made[kind][:700]))
        for data in (b"", b"text", bytes(70000), b"\x1f\x8bnonsense", b"KDMV"):
            with self.subTest(data=data[:10]), self.assertRaises(Failure):
                disk.read_original(self.write("bad", data))
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo("x"))
        with self.assertRaisesRegex(Failure, "it is none of iso, raw"):
            disk.read_original(self.write("bad", plain.getvalue()))

    def test_archives_that_unpack_to_more_than_memory(self) -> None:
        path = self.write("a.gce.tar.gz", gzip.compress(bytes(64 * MIB)))
        with self.limited_memory(32 * MIB), self.assertRaisesRegex(Failure, "it is an archive without a disk"):
            disk.read_original(path)
        with mock.patch.object(disk, "ARCHIVE_MOST", 5 * MIB), self.assertRaisesRegex(Failure, "it unpacks to more than 5 MiB"):
            disk.read_original(path)
        header = bytearray(disk.sparse_header("a.vmdk", (1 << 33) - 512, [(0, 0)]))
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo("a.ovf"))
        path = self.write("a.ova", whole.getvalue()[:512] + header + bytes(1024))
        with self.limited_memory(GIB), self.assertRaisesRegex(Altered, "altered"):
            disk.read_original(path)

    def test_numbers_that_no_archive_has(self) -> None:
        member = tarfile.TarInfo("a.ovf")
        member.size = 1 << 80
        path = self.write("a.ova", member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        with self.assertRaisesRegex(Altered, "altered"):
            disk.read_original(path)
        member.name = disk.GCE_DISK
        path = self.write("a.gce.tar.gz", gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
        with self.assertRaisesRegex(Failure, "it is no archive of a disk"):
            disk.read_original(path)

    def test_a_partition_that_is_larger_than_memory(self) -> None:
        header, entries = gpt.read_header(self.image), bytearray(self.image[1024 : 1024 + 128 * 128])
        for last in (1 << 40, (1 << 64) - 1):
            struct.pack_into("<Q", entries, 128 + gpt.ENTRY_LAST, last)
            table = header._replace(entries_checksum=zlib.crc32(entries)).pack() + entries
            path = self.write("a.raw", self.image[:512] + table + self.image[512 + len(table) :])
            os.truncate(path, 1 << 42)
            with self.subTest(last=last), self.limited_memory(GIB), self.assertRaisesRegex(Failure, "memory|altered"):
                disk.read_original(path)

    def test_dates(self) -> None:
        for date, stamp in ((0, 0), (disk.VHD_EPOCH - 1, 0), (disk.VHD_EPOCH, 0), (disk.VHD_EPOCH + 5, 5), (2**32 - 1, 2**32 - 1 - disk.VHD_EPOCH)):
            with self.subTest(date), mock.patch.dict(os.environ, SOURCE_DATE_EPOCH=str(date)):
                self.assertEqual(struct.unpack_from(">I", disk.vhd_footer(self.image, MIB), 24)[0], stamp)
                for kind in ("gce", "ova"):
                    found = tarfile.open(fileobj=io.BytesIO(disk.make(kind, self.image, MACHINE)))
                    self.assertEqual({member.mtime for member in found}, {date})

    def test_refusals(self) -> None:
        source, output = self.path("iso"), self.folder / "out"
        command = ["--iso", source, "--name", "a", "--output", output, "--format"]
        self.assert_refused(self.tool("disk.py", *command, "vhd", "--iso", self.write("x", bytes(3 * MIB))), "partition table")
        self.assert_refused(self.tool("disk.py", *command, "qcow2", env=os.environ | {"PATH": str(self.folder)}),
                            "qemu-img is not installed", "apt-get install qemu-utils")  # fmt: skip
        self.assertFalse(output.exists())


class BootTest(unittest.TestCase):
    def boot(self, kind: str, image: bytes, folder: Path, *more: str) -> str:
        path = folder / f"{kind}{disk.SUFFIXES[kind]}"
        path.write_bytes(disk.make(kind, image, MACHINE))
        if kind in ("ova", "gce"):
            subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
            path = folder / ("disk.raw" if kind == "gce" else "hello-disk1.vmdk")
        drive = f"file={path},format={QEMU_FORMATS.get('vmdk' if kind == 'ova' else kind, 'raw')},if=none,id=disk,readonly=on"
        drive = drive.replace(",readonly=on", ",snapshot=on") if kind in ("vhd", "vhdx", "vmdk", "ova") else drive
        command = ["qemu-system-x86_64", "-m", "64M", "-accel", "tcg", "-nodefaults", "-no-reboot", "-display", "none"]
        command += ["-serial", "stdio", "-drive", drive, *ATTACHED[kind], *more]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        return done.stdout + done.stderr

    def output(self, kind: str, image: bytes, *more: str) -> str:
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            return self.boot(kind, image, Path(folder), *more)

    def check(self, kind: str, image: bytes, *more: str) -> None:
        output = self.output(kind, image, *more)
        self.assertIn("Hello, world.", output)
        self.assertIn("quire: exit 0", output)

    def test_every_format_boots(self) -> None:
        image = HELLO.read_bytes()
        with ThreadPoolExecutor(2) as pool:
            results = {kind: pool.submit(self.check, kind, image) for kind in disk.SUFFIXES}
        for kind, result in results.items():
            with self.subTest(kind):
                result.result()

    def test_compressed_boots(self) -> None:
        elf = HELLO.with_suffix(".elf").read_bytes()
        image = iso.make_iso(iso.Image("hello", elf, None, "", True))
        self.check("iso", image)
        self.check("raw", image, "-bios", OVMF)

    def test_damaged_images_say_so_in_one_line_and_end(self) -> None:
        elf, files = BUSYBOX.with_suffix(".elf").read_bytes(), BUSYBOX.with_suffix(".files").read_bytes()
        plain, packed = (iso.Image("busybox", elf, files, "", compress) for compress in (False, True))
        image, compressed = iso.make_iso(plain), iso.make_iso(packed)
        with mock.patch.object(iso.Image, "stored_elf", lambda whole: gzip.compress(whole.elf, 0)[:-40000]):
            cut = iso.make_iso(plain)
        with mock.patch.object(iso.Image, "stored_files", lambda whole: whole.files[:-4000]):
            files_cut = iso.make_iso(plain)
        inside = compressed.index(packed.stored_files()) + len(packed.stored_files()) // 2
        kernel, module = image.index(elf[:4096]), image.index(files)
        kernel_end = image.index(plain.stored_elf()) + len(plain.stored_elf())
        not_loaded = "^quire: busybox cannot be loaded: the image is damaged, or RAM too small$"
        cases = (
            ("the header", flipped(image, kernel), not_loaded),
            ("the text", flipped(image, text_in(image, elf)), not_loaded),
            ("the checksum", flipped(image, kernel_end - 8), not_loaded),
            ("the program cut", cut, not_loaded),
            ("the program missing", without(image, "busybox"), not_loaded),
            ("more than RAM", iso.make_iso(plain._replace(elf=with_more_memory(elf, GIB))), not_loaded),
            ("the image's mark missing", without(image, f"{plain.identity()}.id"), not_loaded, "uefi"),
            ("cut in the module", image[: module + len(files) // 2], "^quire: the module busybox.files cannot be used", "bios"),
            ("the text, compressed", flipped(compressed, text_in(compressed, elf)), not_loaded),
            ("the packed files, compressed", flipped(compressed, inside), f"cannot be used|{not_loaded}"),
            ("the packed files", flipped(image, module + len(files) // 2), "cannot be used: it was altered: its checksum"),
            ("the packed files cut", files_cut, "cannot be used: it is truncated: "),
            ("the packed files missing", without(image, "busybox.files"), "^quire: the packed files are missing"),
        )
        runs = [(case, name) for case in cases for name in case[3:] or ("bios", "uefi")]
        with ThreadPoolExecutor(2) as pool:
            results = [pool.submit(self.output, "raw", case[1], *FIRMWARE[name]) for case, name in runs]
        for (case, name), result in zip(runs, results):
            with self.subTest(case[0], firmware=name):
                said = told(result.result())
                self.assertEqual(len(said), 1, said)
                self.assertRegex(said[0], case[2])

    def test_damage_is_one_line_on_the_screen_too(self) -> None:
        """By BIOS: SeaBIOS writes what is on the screen to a serial port that it is told, here the second."""
        image = HELLO.read_bytes()
        damaged = flipped(image, text_in(image, HELLO.with_suffix(".elf").read_bytes()))
        with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
            port, screen = Path(folder) / "port", Path(folder) / "screen"
            port.write_bytes(struct.pack("<H", 0x2F8))
            options = ["-serial", f"file:{screen}", "-fw_cfg", f"name=etc/sercon-port,file={port}"]
            serial = told(self.boot("raw", damaged, Path(folder), "-vga", "std", *options))
            rows = told(screen.read_text(errors="replace"))
        not_loaded = "quire: hello cannot be loaded: the image is damaged, or RAM too small (it is made for 64 MiB"
        self.assertEqual(" ".join(rows[rows.index("GRUB loading...") + 1 :]).rstrip(")"), not_loaded)  # SeaBIOS is one letter late
        self.assertIn(f"{not_loaded})", serial)  # not broken where a screen ends

    def test_padding_behind_what_is_loaded_hides_no_damage(self) -> None:
        """GRUB compares the checksum with the last 32 KiB, so it has to read them."""
        elf = with_padding(HELLO.with_suffix(".elf").read_bytes())
        image = iso.make_iso(iso.Image("hello", elf, None, ""))
        self.assertEqual(description.read_contents(image).elf, elf)
        self.check("raw", image)
        damaged = bytearray(image)
        damaged[text_in(image, elf)] ^= 1
        self.assertIn("quire: hello cannot be loaded", self.output("raw", bytes(damaged)))


if __name__ == "__main__":
    unittest.main()
