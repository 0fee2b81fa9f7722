"""images/console.py: what is shown and hidden, however the bytes are cut."""

import unittest

import support  # noqa: F401  (import path)

from console import ConsoleFilter, readable

MARKER = b"\x1equire: app\n"


def feed(pieces: list[bytes]) -> tuple[bytes, ConsoleFilter]:
    console = ConsoleFilter("app")
    shown = b"".join(console.feed(piece) for piece in pieces)
    return shown + console.finish(), console


class ConsoleTest(unittest.TestCase):
    def check(self, stream: bytes, shown: bytes, status: int | None) -> None:
        """In one piece, byte by byte, and cut in two at every place."""
        cuts = [[stream], [stream[i : i + 1] for i in range(len(stream))]]
        cuts += [[stream[:i], stream[i:]] for i in range(len(stream))]
        for pieces in cuts:
            result, console = feed(pieces)
            self.assertEqual((result, console.status), (shown, status), pieces)

    def test_noise_is_hidden(self) -> None:
        self.check(b"\x1b[2JBdsDxe: loading\r\n" + MARKER + b"hi\n\x1equire: exit 0\n", b"hi\n", 0)

    def test_status(self) -> None:
        self.check(MARKER + b"no newline\x1equire: exit 255\n", b"no newline", 255)
        self.check(MARKER + b"\x1equire: exit 7\r\n", b"", 7)

    def test_last_status_counts(self) -> None:
        self.check(MARKER + b"\x1equire: exit 1\nx\x1equire: exit 2\n", b"x", 2)

    def test_no_status(self) -> None:
        self.check(MARKER + b"text\n", b"text\n", None)
        self.check(MARKER + b"\x1equire: exit 12", b"\x1equire: exit 12", None)
        self.check(MARKER + b"\x1equire: exit 1234\n", b"\x1equire: exit 1234\n", None)
        self.check(MARKER + b"quire: exit 3\n", b"quire: exit 3\n", None)

    def test_binary_output_passes(self) -> None:
        data = bytes(range(256)) * 2 + b"\x1e\x1e\x1equire: " + b"x" * 40
        self.check(MARKER + data, data, None)

    def test_marker_never_comes(self) -> None:
        stream = b"quire: this CPU has no long mode\n\x1equire: exit 126\n"
        shown, console = feed([stream[:50], stream[50:]])
        self.assertEqual((shown, console.started, console.status), (b"", False, 126))
        self.assertIn(b"no long mode", console.hidden)

    def test_marker_of_another_image(self) -> None:
        self.assertFalse(feed([b"\x1equire: other\nhi\n"])[1].started)

    def test_last_line(self) -> None:
        self.assertEqual(feed([MARKER, b"one\ntwo\n\n"])[1].last_line(), "two")
        self.assertEqual(feed([b"boot\r\nfailed\x1b[0m\r\n"])[1].last_line(), "failed")
        self.assertEqual(feed([])[1].last_line(), "")

    def test_readable(self) -> None:
        self.assertEqual(readable(b"\x1b[1;37m\x1b(0a\x1b=b\x00\r\nc"), b"ab\nc")


if __name__ == "__main__":
    unittest.main()
