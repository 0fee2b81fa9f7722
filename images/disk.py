#!/usr/bin/env python3
"""Makes the formats that hypervisors and clouds take, all of the same ISO, which is a valid raw disk of whole MiB.

    raw     the same bytes
    qcow2   QEMU, OpenStack, Oracle, KubeVirt
    vhd     Azure, Hyper-V: fixed size, which is the disk and a footer (Microsoft, "Virtual Hard Disk Image Format
            Specification"); whole MiB and at least 20 of them, as Azure takes it
    vhdx    Hyper-V
    vmdk    VMware: streamOptimized, for import
    ova     VMware, VirtualBox: a description (DMTF DSP0243, OVF), its manifest with SHA-256, and the VMDK
    gce     Google: disk.raw of whole GiB in a sparse GNU tar archive

The same ISO gives the same bytes: where qemu-img writes random numbers, numbers that follow from the ISO replace them.
read_original() is the way back, from every format to the bytes of the ISO.
"""

import argparse
import gzip
import hashlib
import os
import re
import stat
import struct
import tarfile
import tempfile
import uuid
import zlib
from pathlib import Path
from typing import BinaryIO, Callable, Iterator

import description
import gpt
import machines
import ova
from iso import source_date
from tool import Altered, Failure, read_input, require, run_main, write_output

SUFFIXES = {
    "iso": ".iso", "raw": ".raw", "qcow2": ".qcow2", "vhd": ".vhd", "vhdx": ".vhdx", "vmdk": ".vmdk", "ova": ".ova",
    "gce": ".gce.tar.gz",
}  # fmt: skip
MIB, GIB = 1 << 20, 1 << 30
HEAD = 36 << 10  # bytes at the beginning that say what a file is: up to the first descriptor of an ISO

VHD_LEAST = 20 * MIB
VHD_FOOTER = ">8sIIQI4sI4sQQHBBII16sB427x"
VHD_FOOTER_SIZE = struct.calcsize(VHD_FOOTER)
VHD_CURRENT_SIZE = 9  # the field; the one before it is the size that the disk was made with
VHD_COOKIE = b"conectix"
VHD_FIXED = 2
VHD_EPOCH = 946684800  # 1 January 2000
# Readers take the size from the footer if the geometry is the largest, or if they know the creator: qemu-img writes these.
VHD_GEOMETRY = (65535, 16, 255)
VHD_CREATOR = b"qem2"

VHDX_HEADERS, VHDX_HEADER_SIZE = (64 << 10, 128 << 10), 4096
VHDX_REGIONS = 192 << 10
VHDX_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
VHDX_PAGE_83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746").bytes_le
CRC32C = 0x82F63B78

QCOW2_HEADER, QCOW2_DATA_FILE = ">4xIQ56xQ", 4  # version, place of the backing file's name, incompatible features (from version 3 on)
VMDK_MAGIC = b"KDMV"  # without it the file is a descriptor of others
VMDK_CAPACITY = 12  # zero: the descriptor says where the disk is
VMDK_DESCRIPTOR = slice(512, 512 + 20 * 512)
ARCHIVE_MOST = 8 * GIB  # what a boot loader loads (multiboot2) lies below 4 GiB
OVA_FIRST = b".ovf"  # the description is the first file (DSP0243)
GCE_DISK = "disk.raw"
TAR_CHECKSUM, TAR_TYPE, TAR_EXTENTS, TAR_REAL_SIZE = 148, 156, 386, 483


def guid(image: bytes, use: str) -> uuid.UUID:
    """A number that only this image has, for one use."""
    return uuid.UUID(bytes=hashlib.sha256(use.encode() + hashlib.sha256(image).digest()).digest()[:16], version=5)


def round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def convert(image: bytes, kind: str, *options: str) -> bytes:
    """By qemu-img; the files' names are always the same, as one of them gets into a VMDK."""
    with tempfile.TemporaryDirectory(prefix="quire-disk-") as folder:
        source, target = Path(folder, "disk.raw"), Path(folder, "disk")
        source.write_bytes(image)
        description.run([require("qemu-img"), "convert", "-m", "1", "-f", "raw", "-O", kind, *options, str(source), str(target)])
        return target.read_bytes()


def make_qcow2(image: bytes) -> bytes:
    return convert(image, "qcow2")


def vhd_footer(image: bytes, size: int) -> bytes:
    """Of a fixed disk; the checksum is the complement of the sum of all other bytes."""
    when = max(0, int(source_date()) - VHD_EPOCH)
    fields = [VHD_COOKIE, 2, 0x10000, 2**64 - 1, when, VHD_CREATOR, 0x50003, b"Wi2k", size, size]
    fields += [*VHD_GEOMETRY, VHD_FIXED]
    number = guid(image, "vhd").bytes
    checksum = ~sum(struct.pack(VHD_FOOTER, *fields, 0, number, 0)) & 0xFFFFFFFF
    return struct.pack(VHD_FOOTER, *fields, checksum, number, 0)


def make_vhd(image: bytes) -> bytes:
    size = max(len(image), VHD_LEAST)
    begin, end = gpt.grown(image, size)
    return begin.ljust(size - len(end), b"\0") + end + vhd_footer(image, size)


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (CRC32C if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def vhdx_page_83(disk: bytes) -> int:
    """Where the identifier of the disk stands (MS-VHDX, 2.2.3, 2.6)."""
    count = struct.unpack_from("<I", disk, VHDX_REGIONS + 8)[0]
    regions = [struct.unpack_from("<16sQ", disk, VHDX_REGIONS + 16 + 32 * index) for index in range(count)]
    start = next(offset for name, offset in regions if name == VHDX_METADATA)
    count = struct.unpack_from("<H", disk, start + 10)[0]
    items = [struct.unpack_from("<16sI", disk, start + 32 + 32 * index) for index in range(count)]
    return start + next(offset for name, offset in items if name == VHDX_PAGE_83)


def make_vhdx(image: bytes) -> bytes:
    """With identifiers of its own in both headers, and without the entries of the log, which were carried out."""
    disk = bytearray(convert(image, "vhdx"))
    number = guid(image, "vhdx").bytes_le
    ages = sorted(VHDX_HEADERS, key=lambda start: struct.unpack_from("<Q", disk, start + 8))
    for age, start in enumerate(ages, 1):  # the one with the higher number is valid
        log_guid = disk[start + 48 : start + 64]
        log_size, log_start = struct.unpack_from("<IQ", disk, start + 68)
        if any(log_guid):
            raise Failure("qemu-img left a VHDX whose log is not carried out")
        disk[log_start : log_start + log_size] = bytes(log_size)
        struct.pack_into("<IQ", disk, start + 4, 0, age)
        disk[start + 16 : start + 48] = 2 * number
        checksum = crc32c(disk[start : start + VHDX_HEADER_SIZE])
        struct.pack_into("<I", disk, start + 4, checksum)
    at = vhdx_page_83(disk)
    disk[at : at + 16] = number
    return bytes(disk)


def make_vmdk(image: bytes) -> bytes:
    """With a content identifier of its own."""
    disk = convert(image, "vmdk", "-o", "subformat=streamOptimized")
    text = disk[VMDK_DESCRIPTOR].rstrip(b"\0")
    number = f"{guid(image, 'vmdk').int & 0xFFFFFFFF or 1:08x}".encode()
    text = re.sub(rb"^CID=[0-9a-f]+$", b"CID=" + number, text, count=1, flags=re.MULTILINE)
    room = VMDK_DESCRIPTOR.stop - VMDK_DESCRIPTOR.start
    return disk[: VMDK_DESCRIPTOR.start] + text.ljust(room, b"\0") + disk[VMDK_DESCRIPTOR.stop :]


def sparse_header(name: str, size: int, extents: list[tuple[int, int]]) -> bytes:
    """Of a file with holes, in GNU tar's old format, which has room for four extents (offset, bytes)."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = sum(length for _, length in extents), 0o644, int(source_date())
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[TAR_TYPE : TAR_TYPE + 1] = tarfile.GNUTYPE_SPARSE
    for index, extent in enumerate(extents):
        at = TAR_EXTENTS + 24 * index
        header[at : at + 24] = b"".join(b"%011o\0" % number for number in extent)
    header[TAR_REAL_SIZE : TAR_REAL_SIZE + 12] = b"%011o\0" % size
    header[TAR_CHECKSUM : TAR_CHECKSUM + 8] = b" " * 8
    header[TAR_CHECKSUM : TAR_CHECKSUM + 8] = b"%06o\0 " % sum(header)
    return bytes(header)


def make_gce(image: bytes) -> bytes:
    size = round_up(len(image), GIB)
    begin, end = gpt.grown(image, size)
    header = sparse_header(GCE_DISK, size, [(0, len(begin)), (size - len(end), len(end))])
    archive = header + begin + end
    return gzip.compress(archive.ljust(round_up(len(archive) + 2 * 512, tarfile.RECORDSIZE), b"\0"), 9, mtime=0)


MAKERS = {"qcow2": make_qcow2, "vhd": make_vhd, "vhdx": make_vhdx, "vmdk": make_vmdk, "gce": make_gce}
BY_QEMU = ("qcow2", "vhdx", "vmdk")
BY_OTHERS = (*BY_QEMU, "gce")  # whose bytes depend on the version of qemu-img or zlib


def make(kind: str, image: bytes, machine: ova.Machine) -> bytes:
    """One format."""
    if kind == "ova":
        return ova.make(machine, make_vmdk(image), len(image), int(source_date()))
    return MAKERS[kind](image) if kind in MAKERS else image


def kind_of(path: Path) -> str:
    """The format of a file, by its contents; a Failure without the file's name."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Failure("it is no regular file")
        with path.open("rb") as stream:
            head = stream.read(HEAD)
            stream.seek(max(0, path.stat().st_size - VHD_FOOTER_SIZE))
            tail = stream.read(VHD_FOOTER_SIZE)
    except OSError as error:
        raise Failure(error.strerror) from error
    for kind, magic in (("qcow2", b"QFI\xfb"), ("vhdx", b"vhdxfile"), ("vmdk", VMDK_MAGIC), ("gce", b"\x1f\x8b")):
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar" and head[:100].rstrip(b"\0").endswith(OVA_FIRST):
        return "ova"
    if tail.startswith(VHD_COOKIE) and len(tail) == VHD_FOOTER_SIZE:
        return "vhd"
    if head[32769:32774] == b"CD001":
        return "iso"
    raise Failure(f"it is none of {', '.join(SUFFIXES)}")


def decompressed(source: BinaryIO) -> Iterator[bytes]:
    """Of gzip, in pieces: one stream with its checksum, and nothing behind it."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        while not stream.eof and (data := stream.unconsumed_tail or source.read(MIB)):
            yield stream.decompress(data, MIB)
    except zlib.error as error:
        raise Altered(f"it is truncated or altered: {error}") from None
    if not stream.eof or stream.unused_data or source.read(1):
        raise Altered("it is truncated or altered: the compressed data does not end where the file ends")


def unpacked(path: Path, target: Path) -> Path:
    """A compressed archive as the file target, which is not limited by memory."""
    with path.open("rb") as source, target.open("wb") as plain:
        for piece in decompressed(source):
            plain.write(piece)
            if plain.tell() > ARCHIVE_MOST:
                raise Failure(f"it unpacks to more than {ARCHIVE_MOST // MIB} MiB: no image of this project is that large")
    return target


def extracted(archive: Path, name: Callable[[str], bool], folder: Path) -> Path:
    """A file of a tar archive; its holes are holes. It was compared already, with the checksum of gzip or by ova.check."""
    if kind_of(archive) == "gce":
        archive = unpacked(archive, folder / "archive")
    try:
        with tarfile.open(archive, mode="r:") as found:
            member = next((member for member in found if member.isreg() and name(member.name)), None)
            if member is None:
                raise Failure("it is an archive without a disk")
            found.makefile(member, folder / "member")
    except (tarfile.TarError, ValueError, OverflowError):
        raise Failure("it is no archive of a disk") from None
    return folder / "member"


def check_vhd(path: Path) -> None:
    """A fixed VHD is its disk, of the size that its footer says, and the footer."""
    with path.open("rb") as stream:
        size = stream.seek(-VHD_FOOTER_SIZE, os.SEEK_END)
        current = struct.unpack(VHD_FOOTER, stream.read())[VHD_CURRENT_SIZE]
    if size != current:
        raise description.Rejected(f"its footer belongs to a file of {current + VHD_FOOTER_SIZE} bytes, not of {size + VHD_FOOTER_SIZE}")


def refers_to_another(path: Path, kind: str) -> bool:
    """Whether a disk has a parent, or lies in other files, which qemu-img would read."""
    with path.open("rb") as stream:
        head = stream.read(HEAD).ljust(HEAD, b"\0")
    if kind == "qcow2":
        version, backing, features = struct.unpack_from(QCOW2_HEADER, head)
        return backing != 0 or version > 2 and features & QCOW2_DATA_FILE != 0
    if kind == "vmdk":
        [capacity] = struct.unpack_from("<Q", head, VMDK_CAPACITY)
        return not head.startswith(VMDK_MAGIC) or capacity == 0 or b"parentFileNameHint" in head[VMDK_DESCRIPTOR]
    return False


def check_container(path: Path, kind: str) -> None:
    """What is around a disk, as far as it can be told; blocks of a VHDX are whole MiB (MS-VHDX, 2.1)."""
    if kind == "vhd":
        check_vhd(path)
        return
    description.run([require("qemu-img"), "check", "-q", "-f", kind, str(path)])
    if kind == "vhdx" and path.stat().st_size % MIB:
        raise description.Rejected("its last block is not whole")


def raw_disk(path: Path, kind: str, folder: Path) -> Path:
    """The raw disk that a file is or holds."""
    if kind == "iso":
        return path
    if kind == "gce":
        return extracted(path, lambda name: name == GCE_DISK, folder)
    if kind == "ova":
        ova.check(path)
        path, kind = extracted(path, lambda name: name.endswith(".vmdk"), folder), "vmdk"
    if refers_to_another(path, kind):
        raise Failure("it holds no disk itself: it refers to another file")
    path, result = path.absolute(), folder / "raw"  # of other names it takes some for a protocol or an option
    command = [require("qemu-img"), "convert", "-f", machines.DRIVERS[kind], "-O", "raw", str(path), str(result)]
    try:
        check_container(path, kind)
        description.run(command)
    except description.Rejected as failure:
        raise Altered(f"it is truncated or altered: {failure}") from None
    return result


def check_name(path: Path, kind: str) -> None:
    """Launchers and clouds go by the name; a VHD without its footer, for one, is a raw disk."""
    named = next((name for name, suffix in SUFFIXES.items() if path.name.endswith(suffix)), kind)
    if named not in (kind, "raw" if kind == "iso" else kind):
        raise Altered(f"it is {kind} by its contents and {named} by its name: it was truncated or renamed")


def read_original(path: Path) -> bytes:
    """The ISO that a file of any format was made of; a Failure without the file's name."""
    kind = kind_of(path)
    with tempfile.TemporaryDirectory(prefix="quire-read-") as folder:
        raw = raw_disk(path, kind, Path(folder))
        try:
            return gpt.read_original(raw)
        except (MemoryError, OverflowError):
            raise Failure("it does not fit into the memory of this machine") from None
        except gpt.NoTable:
            with raw.open("rb") as stream:
                raise description.unreadable(stream.read(HEAD)) from None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Makes another format of an image.")
    parser.add_argument("--iso", type=Path, required=True)
    parser.add_argument("--format", choices=SUFFIXES, required=True)
    parser.add_argument("--name", required=True, help="of the application")
    parser.add_argument("--cpus", type=int, default=1, help="of the machine that an OVA describes")
    parser.add_argument("--memory", type=int, default=64 * MIB, help="bytes of its RAM")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    machine = ova.Machine(options.name, options.cpus, options.memory)
    write_output(options.output, make(options.format, read_input(options.iso), machine))
    return 0


if __name__ == "__main__":
    run_main("disk.py", main)
