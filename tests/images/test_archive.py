"""images/archive.py: the format, its order, and what is refused."""

import os
import unittest

from support import FolderCase

import archive


def parse(packed: bytes) -> list[tuple[str, dict[str, int], bytes]]:
    """An independent reader of cpio "newc with checksum" archives, strict about everything the format says."""
    names = "ino mode nlink uid gid mtime filesize devmajor devminor rdevmajor rdevminor namesize check".split()
    entries, offset = [], 0
    while True:
        assert offset % 4 == 0 and packed[offset : offset + 6] == b"070702"
        values = [int(packed[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)]
        fields = dict(zip(names, values, strict=True))
        end = offset + 110 + fields["namesize"]
        assert packed[end - 1] == 0
        name = packed[offset + 110 : end - 1].decode()
        start = end + -end % 4
        data = packed[start : start + fields["filesize"]]
        assert len(data) == fields["filesize"] and sum(data) & 0xFFFFFFFF == fields["check"]
        offset = start + len(data) + -len(data) % 4
        if name == "TRAILER!!!":
            assert offset == len(packed)
            return entries
        entries.append((name, fields, data))


class ArchiveTest(FolderCase):
    def pack(self, *files: str) -> bytes:
        output = self.folder / "out.files"
        done = self.tool("archive.py", "--output", output, "--root", self.folder, *(self.folder / f for f in files))
        self.assertEqual(done.returncode, 0, done.stderr)
        return output.read_bytes()

    def test_contents_and_order(self) -> None:
        self.write("b/c/deep", b"deep")
        self.write("b.txt", b"12345")
        self.write("a", b"", 0o700)
        entries = parse(self.pack("b.txt", "b/c/deep", "a"))
        self.assertEqual([name for name, _, _ in entries], [".quire", "a", "b", "b/c", "b/c/deep", "b.txt"])
        modes = {name: oct(fields["mode"]) for name, fields, _ in entries}
        self.assertEqual((modes["a"], modes["b"], modes["b.txt"]), ("0o100755", "0o40755", "0o100644"))
        self.assertEqual(entries[4][2], b"deep")

    def test_manifest_tells_length_and_count(self) -> None:
        # Lengths around those where the number of digits changes the length of the archive itself.
        for size in (0, 1, 200, *range(9500, 9560), 99400, 99500):
            packed = archive.pack([archive.Entry("file", archive.MODE_FILE, bytes(size))])
            text = f"quire-files 1\nbytes {len(packed)}\nentries 1\n"
            self.assertEqual(parse(packed)[0][2].decode(), text)

    def test_reproducible(self) -> None:
        self.write("x/one", b"1")
        self.write("x/two", b"2")
        first = self.pack("x/one", "x/two")
        os.utime(self.folder / "x/one", (1, 1))
        self.assertEqual(first, self.pack("x/two", "x/one"))

    def test_pairs(self) -> None:
        host = self.write("elsewhere:file", b"data")
        names = [name for name, _, _ in parse(self.pack(f"{host.name}:etc/target"))]
        self.assertEqual(names, [".quire", "etc", "etc/target"])

    def test_refusals(self) -> None:
        self.write("root/a", b"")
        self.write("root/b/c", b"")
        self.write("outside", b"")
        os.mkfifo(self.folder / "root/fifo")
        root, output = self.folder / "root", self.folder / "out"
        for words, files in {
            ("not inside of",): [self.folder / "outside"],
            ("missing", "No such file"): [root / "missing"],
            ("not a regular file",): [root / "b"],
            ("fifo", "not a regular file"): [root / "fifo"],
            ("no plain path",): [f"{root}/a:../x"],
            ("no plain path", "''"): [f"{root}/a:"],
            ("two files named 'a'",): [root / "a", f"{root}/b/c:a"],
            ("both a file and a directory",): [root / "a", f"{root}/b/c:a/b"],
            ("taken by the archive",): [f"{root}/a:.quire"],
            ("longer than 255",): [f"{root}/a:{'n' * 256}"],
            ("longer than 4095",): [f"{root}/a:{'n/' * 2049}"],
        }.items():
            with self.subTest(words):
                done = self.tool("archive.py", "--output", output, "--root", root, *files)
                self.assert_refused(done, *words)
                self.assertFalse(output.exists())


if __name__ == "__main__":
    unittest.main()
