"""What the tools of this folder share: failing with one clear line, and writing results whole or not at all."""

import os
import shutil
import sys
from pathlib import Path
from typing import Callable, NoReturn

# Debian's package for each program that the tools call.
PACKAGES = {
    "gdb": "gdb",
    "grub-mkimage": "grub-common grub-pc-bin grub-efi-amd64-bin",
    "ninja": "ninja-build",
    "qemu-system-x86_64": "qemu-system-x86",
    "xorriso": "xorriso",
}


class Failure(Exception):
    """Bad input or a missing program: the message is the one line that the user sees."""


def require(program: str) -> str:
    """The path of a program; a Failure that names the package if it is not installed."""
    path = shutil.which(program)
    if path is None:
        raise Failure(f"{program} is not installed: sudo apt-get install {PACKAGES[program]}")
    return path


def read_input(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def write_output(path: Path, data: bytes) -> None:
    """Writes the file under another name first, so that nobody ever sees half of it."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Failure(f"{path}: {error.strerror}") from error


def run_main(name: str, main: Callable[[list[str]], int]) -> NoReturn:
    """Runs a tool's main function and ends the process with its status; 2 for a Failure."""
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(2)
