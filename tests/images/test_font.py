"""images/font.py: the font of the console on the screen, from GRUB's; what is none is refused."""

import re
import struct
import unittest

from support import FolderCase

import font


class FontTest(FolderCase):
    def test_characters(self) -> None:
        output = self.folder / "font.c"
        done = self.tool("font.py", "--output", output)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        packed = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", output.read_text()))
        glyphs = font.read_font(font.SOURCE.read_bytes())
        self.assertEqual(packed, b"".join(glyph.packed() for glyph in glyphs))
        self.assertEqual(len(glyphs), 95)
        self.assertLess(len(packed), 1024)
        self.assertEqual(glyphs[0].width * glyphs[0].height, 0)  # the blank
        self.assertEqual(len({glyph.packed() for glyph in glyphs}), 95)

    def test_refusals(self) -> None:
        whole = font.SOURCE.read_bytes()
        data = whole.index(b"DATA")
        large = bytearray(whole)
        offsets = {code: offset for code, _, offset in struct.iter_unpack(">IBI", font.read_sections(whole)[b"CHIX"])}
        struct.pack_into(">H", large, offsets[ord("A")], 0xFFFF)  # its width
        output = self.folder / "font.c"
        for content in (b"", b"text", whole[: data // 2], whole[: data + 100], b"\xff" * 100, bytes(100), whole[:12], bytes(large)):
            done = self.tool("font.py", "--font", self.write("bad.pf2", content), "--output", output)
            self.assert_refused(done, "bad.pf2")
            self.assertFalse(output.exists())
        self.assert_refused(self.tool("font.py", "--font", self.folder / "no", "--output", output), "No such file")


if __name__ == "__main__":
    unittest.main()
