"""Grows a disk with a GUID partition table, and back (UEFI 2.10, 5.3).

The table is there twice: its header in sector 1 with the entries near it, and in the last sector with the entries right
before it. A disk that is grown needs the second one at its new end; the partitions stay where they are. What an image
was before it was grown follows from its last partition: images/iso.py makes that fill the whole MiB.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tool import Altered, Failure

SECTOR = 512
MIB = 1 << 20
HEADER = "<8sIIIIQQQQ16sQIII"
SIGNATURE = b"EFI PART"
ENTRY_LAST = 40  # where an entry has its last sector
PROTECTIVE = 0x1BE  # the entry of the MBR that covers the disk; its length is four bytes, twelve behind
PROTECTIVE_TYPE = 0xEE


class NoTable(Failure):
    """A disk has no partition table."""


class Header(NamedTuple):
    signature: bytes
    revision: int
    size: int
    checksum: int
    reserved: int
    own: int  # sectors: of this header, of the other one
    other: int
    first_usable: int
    last_usable: int
    guid: bytes
    entries: int  # the first sector of the entries
    count: int
    entry_size: int
    entries_checksum: int

    @property
    def entries_bytes(self) -> int:
        return -(-self.count * self.entry_size // SECTOR) * SECTOR

    def pack(self) -> bytes:
        """A sector, with its checksum."""
        plain = struct.pack(HEADER, *self._replace(checksum=0))
        return struct.pack(HEADER, *self._replace(checksum=zlib.crc32(plain))).ljust(SECTOR, b"\0")


class Disk(NamedTuple):
    """What lies at its two ends; whatever is between them is the same at any size."""

    begin: bytes  # up to the end of the first table
    end: bytes  # the second table
    data: int  # bytes up to the end of the last partition


def read_header(disk: bytes) -> Header:
    header = Header(*struct.unpack_from(HEADER, disk.ljust(2 * SECTOR, b"\0"), SECTOR))
    plain = struct.pack(HEADER, *header._replace(checksum=0))
    known = header.signature == SIGNATURE and header.size == len(plain) and header.entry_size >= ENTRY_LAST + 8
    if not known or zlib.crc32(plain) != header.checksum:
        raise NoTable("it has no GUID partition table, or a damaged one")
    return header


def table_end(disk: bytes) -> int:
    """Bytes up to the end of the first table; disk: at least the first two sectors."""
    header = read_header(disk)
    return header.entries * SECTOR + header.entries_bytes


def last_used(header: Header, entries: bytes) -> int:
    """The last sector of the last partition."""
    each = [entries[index * header.entry_size :][: header.entry_size] for index in range(header.count)]
    return max((struct.unpack_from("<Q", entry, ENTRY_LAST)[0] for entry in each if any(entry[:16])), default=0)


def place(begin: bytes, size: int = 0) -> Disk:
    """The two ends of a disk of so many bytes, whose first table is given; 0: of the size that it was made with."""
    header = read_header(begin)
    entries = begin[header.entries * SECTOR :][: header.entries_bytes]
    data = (last_used(header, entries) + 1) * SECTOR
    size = size or -(-data // MIB) * MIB
    last = size // SECTOR - 1
    second = last - header.entries_bytes // SECTOR
    first = header._replace(own=1, other=last, last_usable=second - 1)
    start = bytearray(begin)
    if start[PROTECTIVE + 4] == PROTECTIVE_TYPE:
        struct.pack_into("<I", start, PROTECTIVE + 12, min(last, 0xFFFFFFFF))
    start[SECTOR : 2 * SECTOR] = first.pack()
    return Disk(bytes(start), entries + first._replace(own=last, other=1, entries=second).pack(), data)


def grown(image: bytes, size: int) -> tuple[bytes, bytes]:
    """An image as the first and the last bytes of a disk of so many; between them there are zeros."""
    disk = place(image[: table_end(image)], size)
    return disk.begin + image[len(disk.begin) : disk.data], disk.end


def is_blank(stream: BinaryIO, start: int, stop: int) -> bool:
    """Only zeros are there; holes of the file are not read."""
    while start < stop:
        try:
            start = os.lseek(stream.fileno(), start, os.SEEK_DATA)
        except OSError:  # there is nothing more
            return True
        stream.seek(start)
        piece = stream.read(max(0, min(MIB, stop - start)))
        if piece.strip(b"\0"):
            return False
        start += len(piece) or stop
    return True


def read_original(path: Path) -> bytes:
    """The image that a disk was made of; one that was not grown as it is, also if it is damaged."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(2 * SECTOR)
        begin += stream.read(table_end(begin) - len(begin))
        disk = place(begin)
        own = -(-disk.data // MIB) * MIB
        if size <= own:
            return begin + stream.read()
        middle = stream.read(disk.data - len(begin))
        expected = place(begin, size)
        stream.seek(size - len(expected.end))
        if stream.read() != expected.end:
            raise Altered("it was cut or altered: there is no second partition table at its end")
        if begin != expected.begin or not is_blank(stream, disk.data, size - len(expected.end)):
            raise Altered("it was altered: it is not what the image became when it was grown")
    return (disk.begin + middle).ljust(own - len(disk.end), b"\0") + disk.end
