"""The console of a running image: what of it the user sees, what the user types, and how it ended.

The image writes the byte 0x1e and "quire: NAME" and a newline when its core is up, before anything else, and 0x1e and
"quire: exit N" and a newline at its end (arch/x86_64/power.c). What firmware and boot loader wrote before the first
of them is not shown, the second is taken off and gives the status. Input is passed on once the core is up: earlier it
would be lost in the UART. The image has a terminal's line discipline of its own (core/linux/console.c): it echoes and
edits, so the terminal here passes bytes as they are typed, all but Ctrl-C, and the end of the input becomes Ctrl-D.
"""

import os
import re
import select
import signal
import subprocess
import termios
import time
from contextlib import contextmanager
from enum import Enum
from typing import Iterator, NamedTuple

from tool import Failure

SEPARATOR = b"\x1e"
END_OF_INPUT = b"\x04"
STATUS_LINE = re.compile(rb"\x1equire: exit (\d{1,3})\r?\n")
STATUS_LINE_MAX = 20
HIDDEN_MAX = 1 << 20
CHUNK = 1 << 16
POWER_OFF_SECONDS = 5.0
ESCAPES = re.compile(rb"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Za-z0-9]|[=>78Mc])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")


def readable(data: bytes) -> bytes:
    """Console bytes without the escape sequences and control characters of firmware."""
    return ESCAPES.sub(b"", data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class ConsoleFilter:
    """Turns the bytes of the serial line into those that are shown. Pieces may be cut anywhere."""

    def __init__(self, name: str) -> None:
        self.status: int | None = None
        self.started = False
        self.hidden = b""  # what came before the marker line; all that there is if it never comes
        self.tail = b""  # the last bytes shown
        self._marker = re.compile(rb"\x1equire: " + re.escape(name.encode()) + rb"\r?\n")
        self._held = b""  # might be the beginning of a status line

    def feed(self, data: bytes) -> bytes:
        """Takes the next bytes; returns those to show."""
        if not self.started:
            self.hidden = (self.hidden + data)[-HIDDEN_MAX:]
            marker = self._marker.search(self.hidden)
            if marker is None:
                self._find_status(self.hidden)
                return b""
            data, self.hidden, self.started = self.hidden[marker.end() :], b"", True
        data = self._find_status(self._held + data)
        start = data.rfind(SEPARATOR)
        hold = start >= 0 and b"\n" not in data[start:] and len(data) - start < STATUS_LINE_MAX
        self._held = data[start:] if hold else b""
        return self._shown(data[:start] if hold else data)

    def finish(self) -> bytes:
        """The bytes to show when no more will come."""
        held, self._held = self._held, b""
        return self._shown(held)

    def last_line(self) -> str:
        """The last line that is not empty, of what was shown or else of what was hidden."""
        lines = readable(self.tail or self.hidden).decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _find_status(self, data: bytes) -> bytes:
        for match in STATUS_LINE.finditer(data):
            self.status = int(match[1])
        return STATUS_LINE.sub(b"", data)

    def _shown(self, data: bytes) -> bytes:
        self.tail = (self.tail + data)[-1024:]
        return data


def write_all(descriptor: int, data: bytes) -> None:
    """Writes to standard output; a Failure if that does not work, BrokenPipeError if its reader has left."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(f"standard output: {error.strerror}") from error


class End(Enum):
    EXITED = "exited"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"  # Ctrl-C, or a signal that ends the launcher


class Outcome(NamedTuple):
    end: End
    code: int  # QEMU's exit code; for INTERRUPTED the number of the signal


END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal asked the launcher to end."""


def _interrupt(number: int, _frame: object) -> None:
    """Further signals change nothing: timeout(1) sends two, to the process and to its group."""
    for other in END_SIGNALS:
        signal.signal(other, lambda *_: None)
    raise Interrupted(number)


@contextmanager
def passing_terminal(descriptor: int | None) -> Iterator[None]:
    """While it lasts, a terminal hands over each byte at once and unchanged; only Ctrl-C keeps its meaning."""
    if descriptor is None or not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    during = termios.tcgetattr(descriptor)
    during[0] &= ~(termios.ICRNL | termios.IXON)
    during[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
    for character in (termios.VQUIT, termios.VSUSP):
        during[6][character] = b"\0"  # switched off
    during[6][termios.VMIN], during[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, during)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class Session:
    """One run of QEMU, with its standard streams as the serial line."""

    def __init__(self, command: list[str], console: ConsoleFilter, input_fd: int | None, output_fd: int) -> None:
        self.console = console
        self.input_fd = input_fd
        self.output_fd = output_fd
        self.typed = b""  # read from the user, not yet taken by QEMU
        self.last_typed = b"\n"
        # A process group of its own: Ctrl-C reaches the launcher only, which then ends QEMU in one defined way.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        assert self.process.stdin and self.process.stdout
        self.to_guest = self.process.stdin.fileno()
        self.from_guest = self.process.stdout.fileno()
        os.set_blocking(self.to_guest, False)

    def run(self, timeout: float | None) -> Outcome:
        """Until QEMU ends, the time (in seconds) is over, or a signal comes. QEMU is gone afterwards."""
        previous = {number: signal.getsignal(number) for number in END_SIGNALS}
        try:
            for number in END_SIGNALS:
                signal.signal(number, _interrupt)
            with passing_terminal(self.input_fd):
                ended = self._pass_bytes(None if timeout is None else time.monotonic() + timeout)
            return Outcome(End.EXITED if ended else End.TIMED_OUT, self._stop(POWER_OFF_SECONDS if ended else 0))
        except Interrupted as interrupted:
            return Outcome(End.INTERRUPTED, interrupted.args[0])
        except BrokenPipeError:
            return Outcome(End.INTERRUPTED, signal.SIGPIPE)
        finally:
            self._stop(0)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _pass_bytes(self, deadline: float | None) -> bool:
        """Passes bytes both ways until the guest's side is closed; False if the deadline came first."""
        while True:
            if self.console.status is not None:
                # The image is done. If its power-off does not work, that is no reason to wait for ever.
                end = time.monotonic() + POWER_OFF_SECONDS
                deadline = end if deadline is None else min(deadline, end)
            wait = None if deadline is None else deadline - time.monotonic()
            if wait is not None and wait <= 0:
                return False
            if not self._pass_some(wait):
                return True

    def _pass_some(self, wait: float | None) -> bool:
        """Waits for bytes of either side and passes them on; False at the end of the guest's."""
        sources = [self.from_guest]
        if self.console.started and self.input_fd is not None and not self.typed:
            sources.append(self.input_fd)
        ready, writable, _ = select.select(sources, [self.to_guest] if self.typed else [], [], wait)
        if self.from_guest in ready:
            data = os.read(self.from_guest, CHUNK)
            if not data:
                self._show(self.console.finish())
                return False
            self._show(self.console.feed(data))
        if self.input_fd in ready:
            self._read_input()
        if writable:
            self._send_input()
        return True

    def _read_input(self) -> None:
        assert self.input_fd is not None
        self.typed = os.read(self.input_fd, CHUNK)
        if not self.typed:
            # Behind an unfinished line the first Ctrl-D only completes it (termios(3), VEOF).
            self.typed = END_OF_INPUT if self.last_typed == b"\n" else 2 * END_OF_INPUT
            self.input_fd = None
        self.last_typed = self.typed[-1:]

    def _send_input(self) -> None:
        try:
            self.typed = self.typed[os.write(self.to_guest, self.typed) :]
        except BrokenPipeError:  # QEMU is ending: its output tells the rest
            self.typed, self.input_fd = b"", None

    def _show(self, data: bytes) -> None:
        write_all(self.output_fd, data)

    def _stop(self, grace: float) -> int:
        """Gives QEMU so many seconds to end by itself, then ends it; its exit code."""
        try:
            return self.process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
