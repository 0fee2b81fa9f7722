"""Writes small FAT12 file systems: what UEFI needs to find its boot program, and no more.

Layout (Microsoft, "FAT: General Overview of On-Disk Format", 1.03): boot sector, two file allocation tables, root
directory, data. One sector of 512 bytes a cluster, so at most 4084 clusters, that is 2 MiB of files. Names are upper
case 8.3. All times are 1 January 1980, the serial number is the caller's: the same files give the same bytes.
"""

import struct
from typing import NamedTuple

SECTOR = 512
CLUSTERS_MAX = 4084
ROOT_ENTRIES = 16
FATS = 2
FIRST_CLUSTER = 2
END_OF_CHAIN = 0xFFF
MEDIA = 0xF8
DATE = 0x0021  # 1 January 1980

ATTRIBUTE_LABEL, ATTRIBUTE_DIRECTORY, ATTRIBUTE_FILE = 0x08, 0x10, 0x20

Tree = dict[str, "bytes | Tree"]  # name -> contents of a file, or a directory


class Chain(NamedTuple):
    first: int  # cluster; 0 for an empty file
    size: int


def sectors(length: int) -> int:
    return -(-length // SECTOR)


def short_name(name: str) -> bytes:
    """The eleven bytes of an 8.3 name."""
    if name in (".", ".."):
        return name.encode().ljust(11)
    base, _, extension = name.partition(".")
    if not (0 < len(base) <= 8 and len(extension) <= 3 and name == name.upper() and name.isascii()):
        raise ValueError(f"no 8.3 name: {name}")
    return base.encode().ljust(8) + extension.encode().ljust(3)


def directory_entry(name: bytes, attribute: int, chain: Chain) -> bytes:
    size = chain.size if attribute == ATTRIBUTE_FILE else 0
    return struct.pack("<11sBBBHHHHHHHI", name, attribute, 0, 0, 0, DATE, DATE, 0, 0, DATE, chain.first, size)


class Volume:
    """Clusters as they are handed out: the data area and the allocation table that goes with it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.table = [0xF00 | MEDIA, END_OF_CHAIN]

    def reserve(self, length: int) -> Chain:
        """Consecutive clusters for so many bytes."""
        count = sectors(length)
        if count == 0:
            return Chain(0, 0)
        first = len(self.table)
        self.table += [*range(first + 1, first + count), END_OF_CHAIN]
        self.data += bytes(count * SECTOR)
        if len(self.table) - FIRST_CLUSTER > CLUSTERS_MAX:
            raise ValueError("the files do not fit into a FAT12 volume")
        return Chain(first, length)

    def fill(self, chain: Chain, content: bytes) -> None:
        start = (chain.first - FIRST_CLUSTER) * SECTOR
        self.data[start : start + len(content)] = content

    def add_tree(self, tree: Tree, parent: Chain) -> Chain:
        """A directory below the root with everything in it."""
        chain = self.reserve(32 * (2 + len(tree)))
        links = directory_entry(short_name("."), ATTRIBUTE_DIRECTORY, chain)
        links += directory_entry(short_name(".."), ATTRIBUTE_DIRECTORY, parent)
        self.fill(chain, links + self.add_entries(tree, chain))
        return chain

    def add_entries(self, tree: Tree, own: Chain) -> bytes:
        """The directory entries of a tree, whose contents are added."""
        entries = b""
        for name, content in tree.items():
            if isinstance(content, dict):
                chain, attribute = self.add_tree(content, own), ATTRIBUTE_DIRECTORY
            else:
                chain, attribute = self.reserve(len(content)), ATTRIBUTE_FILE
                self.fill(chain, content)
            entries += directory_entry(short_name(name), attribute, chain)
        return entries

    def allocation_table(self) -> bytes:
        """Two twelve-bit entries in three bytes."""
        table = self.table + [0] * (len(self.table) % 2)
        packed = b"".join(
            (low | high << 12).to_bytes(3, "little") for low, high in zip(table[::2], table[1::2], strict=True)
        )
        return packed + bytes(-len(packed) % SECTOR)


def boot_sector(label: bytes, serial: int, fat_sectors: int, total: int) -> bytes:
    sector = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90", b"QUIRE   ", SECTOR, 1, 1, FATS, ROOT_ENTRIES, total, MEDIA, fat_sectors, 32, 64, 0, 0,
        0x80, 0, 0x29, serial, label, b"FAT12   ",
    )  # fmt: skip
    return sector.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def make_volume(tree: Tree, label: str, serial: int) -> bytes:
    """The smallest volume that holds the tree."""
    volume = Volume()
    name = label.encode().ljust(11)
    root = directory_entry(name, ATTRIBUTE_LABEL, Chain(0, 0)) + volume.add_entries(tree, Chain(0, 0))
    if len(root) > 32 * ROOT_ENTRIES:
        raise ValueError("too many entries in the root directory")
    table = volume.allocation_table()
    total = 1 + FATS * sectors(len(table)) + sectors(32 * ROOT_ENTRIES) + len(volume.data) // SECTOR
    head = boot_sector(name, serial, sectors(len(table)), total)
    return head + FATS * table + root.ljust(32 * ROOT_ENTRIES, b"\0") + bytes(volume.data)
