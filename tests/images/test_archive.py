"""images/archive.py: the format, its order, and what is refused."""

import os
import struct
import subprocess
import unittest
from pathlib import Path

from support import FolderCase

import archive


def parse(packed: bytes) -> list[tuple[str, dict[str, int], bytes]]:
    """An independent reader of cpio "newc with checksum" archives, strict about everything the format says."""
    names = "ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check".split()
    entries, offset = [], 0
    while True:
        assert offset % 4 == 0 and packed[offset : offset + 6] == b"070702"
        values = [int(packed[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)]
        fields = dict(zip(names, values, strict=True))
        end = offset + 110 + fields["namesize"]
        name, padding = packed[offset + 110 : end].split(b"\0", 1)
        assert not any(padding) and len(padding) < 4096
        assert not padding or fields["filesize"] >= 4096
        name = name.decode()
        start = end + -end % 4
        assert fields["filesize"] < 4096 or start % 4096 == 0
        data = packed[start : start + fields["filesize"]]
        assert len(data) == fields["filesize"] and sum(data) & 0xFFFFFFFF == fields["check"]
        offset = start + len(data) + -len(data) % 4
        if name == "TRAILER!!!":
            assert packed[offset:] == seal(packed[:offset])
            return entries
        entries.append((name, fields, data))


def seal(body: bytes) -> bytes:
    """The last line, by the definition of the sums."""
    first = second = 0
    for (word,) in struct.iter_unpack("<I", body):
        first = (first + word) % 2**64
        second = (second + first) % 2**64
    return f"checksum: {first:016x} {second:016x}\n".encode()


def parse_names(packed: bytes) -> list[tuple[str, int]]:
    return [(name, fields["mode"]) for name, fields, _ in parse(packed)]


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
        for size in (0, 1, 200, *range(4090, 4100), 9500, 99500):
            entries = [archive.Entry("file", archive.MODE_FILE, bytes(size))]
            packed = archive.pack(entries)
            text = f"quire-files 3\nbytes {len(packed):012}\nentries 1\n"
            self.assertEqual(parse(packed)[0][2].decode(), text)
            self.assertEqual(archive.packed_size(entries), len(packed))

    def test_folders_and_links(self) -> None:
        self.write("tree/bin/run", b"x" * 5000, 0o755)
        self.write("tree/bin/data", b"y" * 4096)
        (self.folder / "tree/empty").mkdir(0o700)
        (self.folder / "tree/link").symlink_to("bin/run")
        (self.folder / "tree/nowhere").symlink_to("/does/not/exist")
        (self.folder / "named").symlink_to("tree/bin/run")
        entries = {name: (oct(fields["mode"]), data) for name, fields, data in parse(self.pack("tree:", "named"))}
        self.assertEqual(list(entries), [".quire", "bin", "bin/data", "bin/run", "empty", "link", "named", "nowhere"])
        self.assertEqual(entries["link"], ("0o120777", b"bin/run"))
        self.assertEqual(entries["nowhere"], ("0o120777", b"/does/not/exist"))
        self.assertEqual(entries["empty"][0], "0o40755")
        self.assertEqual(entries["named"], ("0o100755", b"x" * 5000))  # an item itself is what it leads to
        self.assertEqual(list(dict(parse_names(self.pack("tree")))), [".quire", "tree", *(f"tree/{n}" for n in
                         ("bin", "bin/data", "bin/run", "empty", "link", "nowhere"))])  # fmt: skip

    def test_exclusions(self) -> None:
        for pattern, matching, other in (
            ("**/test/**", ["test", "test/a", "a/test", "a/b/test/c/d"], ["a/tests", "testing/b", "a/testb"]),
            ("**/*.pyc", ["a.pyc", "a/b.pyc"], ["a.py", "a.pyc/b"]),
            ("a/*", ["a/b"], ["a", "a/b/c", "b/a"]),
            ("a/**", ["a", "a/b", "a/b/c"], ["ab", "b/a"]),
            ("/a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a", "a/bz"]),
            ("a?[b]", ["ax[b]"], ["axb", "a/[b]"]),
            ("**", ["a", "a/b"], []),
        ):
            for name in matching:
                self.assertTrue(archive.exclusion(pattern).fullmatch(name), (pattern, name))
            for name in other:
                self.assertFalse(archive.exclusion(pattern).fullmatch(name), (pattern, name))
        for name in ("lib/a.py", "lib/test/b.py", "lib/sub/test/c.py", "lib/sub/d.py", "lib/sub/d.pyc"):
            self.write(name)
        found = archive.expand(self.folder, ["!**/test/**", "lib:usr/lib", "!**/*.pyc", "lib/test/b.py"])
        names = [name for _, name in found]
        self.assertEqual(names, ["usr/lib", "usr/lib/a.py", "usr/lib/sub", "usr/lib/sub/d.py", "lib/test/b.py"])

    def test_other_readers(self) -> None:
        """What cpio and bsdtar make of it."""
        self.write("tree/large", b"z" * 10000, 0o755)
        self.write("tree/small", b"a")
        (self.folder / "tree/link").symlink_to("large")
        (self.folder / "packed").write_bytes(self.pack("tree:"))
        for command in (["cpio", "-i", "--quiet", "-F", "../packed"], ["bsdtar", "-xf", "../packed"]):
            out = self.folder / command[0]
            out.mkdir()
            done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertEqual((out / "large").read_bytes(), b"z" * 10000)
            self.assertEqual((out / "small").read_bytes(), b"a")
            self.assertEqual(os.readlink(out / "link"), "large")
            self.assertTrue(os.access(out / "large", os.X_OK))

    def test_a_file_that_changes_meanwhile(self) -> None:
        path = self.write("file", b"12345")
        entries = archive.collect([(path, "file")])
        path.write_bytes(b"1")
        with self.assertRaisesRegex(archive.Failure, "5 bytes and has 1"):
            archive.pack(entries)

    def test_reproducible(self) -> None:
        self.write("x/one", b"1")
        self.write("x/two", b"2")
        first = self.pack("x/one", "x/two")
        os.utime(self.folder / "x/one", (1, 1))
        self.assertEqual(first, self.pack("x/two", "x/one"))

    def test_times_of_packages_are_kept(self) -> None:
        """Python checks a .pyc against the time of its source."""
        own, theirs = self.write("own", b"1"), Path("/usr/lib/os-release")
        entries = parse(archive.pack(archive.collect([(own, "own"), (theirs, "theirs")])))
        times = {name: fields["mtime"] for name, fields, _ in entries}
        self.assertEqual((times["own"], times["theirs"]), (0, int(theirs.stat().st_mtime)))

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
            ("fifo", "neither a file nor a folder"): [root / "fifo"],
            ("no plain path",): [f"{root}/a:../x"],
            ("no plain path", "''"): [f"{root}/a:"],
            ("two files would be a",): [root / "a", f"{root}/b/c:a"],
            ("a would be both a file and a folder",): [root / "a", f"{root}/b/c:a/b"],
            ("b would be both",): [f"{root}/b", f"{root}/a:b"],
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
