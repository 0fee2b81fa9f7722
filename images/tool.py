"""What the tools of this folder share: failing with one clear line, and writing results whole or not at all."""

import contextlib
import os
import shlex
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterable, NoReturn

# Debian's package for each program that the tools call.
PACKAGES = {
    "c++filt": "binutils",
    "gdb": "gdb",
    "grub-mkimage": "grub-common grub-pc-bin grub-efi-amd64-bin",
    "llvm-symbolizer": "llvm",
    "ninja": "ninja-build",
    "nm": "binutils",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh-keygen": "openssh-client",
    "xorriso": "xorriso",
}


# What the core takes of a boot loader's command line, with some room (BOOT_COMMAND_LINE_MAX, core/boot_info.h).
COMMAND_LINE_MAX = 4000


class Failure(Exception):
    """Bad input or a missing program: the message is the one line that the user sees."""


class Altered(Failure):
    """An image is not what it was when it was made."""


def require(program: str) -> str:
    """The path of a program; a Failure that names the package if it is not installed."""
    path = shutil.which(program)
    if path is None:
        raise Failure(f"{program} is not installed: sudo apt-get install {PACKAGES[program]}")
    return path


def core_words(what: str, line: str) -> list[str]:
    """The words of a line for the core, quoted as in the shell; none of them begins the program's arguments."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise Failure(f"{what}: {error}: {line}") from error
    if "--" in words:
        raise Failure(f"{what}: words for the program go behind -- at the end of the command line")
    return words


def core_line(words: list[str]) -> str:
    """The command line that the core reads as these words (core/command_line.h)."""
    line = shlex.join(words)
    size = len(os.fsencode(line))
    if size > COMMAND_LINE_MAX:
        raise Failure(f"the command line has {size} bytes, and an image takes {COMMAND_LINE_MAX}: pass a file instead")
    return line


def read_input(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def mode_of(file: Path) -> int:
    """That of the file that is replaced, or as a new one has it."""
    if file.exists():
        return stat.S_IMODE(file.stat().st_mode)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes the file under a name of its own first, so that nobody ever sees half of it. What a link leads to is written; only files are replaced."""
    file = Path(os.path.realpath(path))
    partial = None
    if file.exists() and not file.is_file():
        raise Failure(f"{path}: it is no file that could be written anew")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=f"{file.name[:200]}.", suffix=".partial", dir=file.parent)
        with open(handle, "wb") as stream:
            stream.writelines(pieces)
        os.chmod(partial, mode_of(file))
        os.replace(partial, file)
    except BaseException as error:
        if partial is not None:
            with contextlib.suppress(OSError):
                os.unlink(partial)
        if isinstance(error, OSError):
            raise Failure(f"{path}: {error.strerror}") from error
        raise


def write_output(path: Path, data: bytes) -> None:
    write_pieces(path, [data])


def check_folder(folder: Path) -> None:
    """A Failure if no file can be written there, before what takes long."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}") from error


def run_main(name: str, main: Callable[[list[str]], int]) -> NoReturn:
    """Runs a tool's main function and ends the process with its status; 2 for a Failure, 130 for Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as it is while modules are imported
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
