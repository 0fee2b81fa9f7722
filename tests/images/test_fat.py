"""images/fat.py: volumes are read back by an independent reader."""

import struct
import unittest

import support  # noqa: F401  (import path)

import fat


class Reader:
    """Reads a FAT12 volume by the specification, checking what a firmware would rely on."""

    def __init__(self, volume: bytes) -> None:
        (self.sector, self.cluster, reserved, fats, self.root_entries, total, self.media, table_sectors) = (
            struct.unpack_from("<HBHBHHBH", volume, 11)
        )
        assert volume[510:512] == b"\x55\xaa" and total * self.sector == len(volume)
        start = reserved * self.sector
        tables = [volume[start + i * table_sectors * self.sector :][: table_sectors * self.sector] for i in range(fats)]
        assert all(table == tables[0] for table in tables)
        self.table = tables[0]
        self.root = start + fats * table_sectors * self.sector
        self.data = self.root + self.root_entries * 32
        self.volume = volume
        clusters = (len(volume) - self.data) // (self.sector * self.cluster)
        assert clusters < 4085, "more clusters mean FAT16"
        assert len(self.table) * 2 // 3 >= clusters + 2
        assert self.entry(0) == 0xF00 | self.media

    def entry(self, cluster: int) -> int:
        pair = int.from_bytes(self.table[cluster * 3 // 2 :][:2], "little")
        return pair >> 4 if cluster % 2 else pair & 0xFFF

    def chain(self, cluster: int) -> bytes:
        content = b""
        while 2 <= cluster < 0xFF0:
            start = self.data + (cluster - 2) * self.sector * self.cluster
            content += self.volume[start : start + self.sector * self.cluster]
            cluster = self.entry(cluster)
        assert content == b"" or cluster >= 0xFF8
        return content

    def tree(self, directory: bytes | None = None) -> dict:
        """Everything below a directory; files as bytes."""
        table = self.volume[self.root : self.data] if directory is None else directory
        result: dict = {}
        for at in range(0, len(table), 32):
            if table[at] == 0:
                break
            name, extension = table[at : at + 8].decode().rstrip(), table[at + 8 : at + 11].decode().rstrip()
            attribute, first, size = table[at + 11], *struct.unpack_from("<HI", table, at + 26)
            if attribute & 0x08 or name in (".", ".."):
                continue
            full = f"{name}.{extension}" if extension else name
            content = self.chain(first)
            result[full] = self.tree(content) if attribute & 0x10 else content[:size]
        return result


class FatTest(unittest.TestCase):
    def check(self, tree: fat.Tree) -> bytes:
        volume = fat.make_volume(tree, "TEST", 1)
        self.assertEqual(Reader(volume).tree(), tree)
        return volume

    def test_round_trip(self) -> None:
        self.check({})
        self.check({"A": b""})
        self.check({"A.TXT": b"x" * 512, "B": b"y" * 513, "D": {}})
        self.check({"EFI": {"BOOT": {"BOOTX64.EFI": bytes(range(256)) * 1500}}, "LAST.BIN": b"end"})

    def test_directory_of_many_clusters(self) -> None:
        self.check({"D": {f"F{i}": bytes([i]) for i in range(100)}})

    def test_same_input_same_bytes(self) -> None:
        tree: fat.Tree = {"D": {"F": b"data"}}
        self.assertEqual(self.check(tree), self.check(tree))

    def test_refusals(self) -> None:
        for tree in ({"lower": b""}, {"TOOLONGNAME": b""}, {"A.LONG": b""}, {"A": bytes(513 * 4084)}):
            with self.subTest(list(tree)), self.assertRaises(ValueError):
                fat.make_volume(tree, "TEST", 1)
        with self.assertRaises(ValueError):
            fat.make_volume({f"F{i}": b"" for i in range(16)}, "TEST", 1)


if __name__ == "__main__":
    unittest.main()
