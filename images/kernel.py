"""
Debian's Linux kernel for clouds, which images are compared with (tests/bench/guest.py): downloaded as a package and unpacked,
not installed. build/linux/vmlinux is the ELF file inside of the package's bzImage: QEMU boots it through its PVH note, as it
boots an image.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import packages
from tool import Failure, read_input, write_output

FOLDER = Path(__file__).resolve().parent.parent / "build/linux"
KERNEL = FOLDER / "vmlinux"
VERSION = FOLDER / "version"
PACKAGE = "linux-image-cloud-amd64"

# The boot protocol's header (Linux, Documentation/arch/x86/boot.rst).
SETUP_SECTORS, HEADER_MAGIC, PAYLOAD_OFFSET, PAYLOAD_LENGTH = 0x1F1, 0x202, 0x248, 0x24C
# How each compression begins, and the command that undoes it. The payload ends with four bytes of its length.
COMPRESSIONS = {
    b"\x02\x21\x4c\x18": ["lz4", "-dc"],
    b"\xfd7zXZ\0": ["xz", "-dc", "--single-stream"],
    b"\x28\xb5\x2f\xfd": ["zstd", "-dc"],
    b"\x1f\x8b": ["gzip", "-dc"],
}


def run(command: list[str], what: str, **options) -> bytes:
    """Standard output of a command that has to succeed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
    except FileNotFoundError:
        raise Failure(f"{what}: {command[0]} is not installed; type   ./configure.py --setup hello") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Failure(f"{what}: {command[0]}: {last[0]}")
    return done.stdout


def today_package() -> str:
    """The package of today's kernel, of which PACKAGE is only the name."""
    for lists_are_new in (False, True):
        answer = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=False).stdout
        names = [row.split()[1] for row in answer.splitlines() if row.strip().startswith("Depends: linux-image-")]
        if names:
            return names[0]
        if not lists_are_new:
            packages.update(packages.apt_get([]))
    raise Failure(f"the Linux guest: apt-get knows no {PACKAGE}")


def unpack(image: bytes) -> bytes:
    """The ELF file inside of a bzImage."""
    if len(image) < 0x250 or image[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
        raise Failure("the Linux guest: the package's kernel is no bzImage")
    offset, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    start = (image[SETUP_SECTORS] + 1) * 512 + offset
    payload = image[start : start + length]
    for magic, command in COMPRESSIONS.items():
        if payload.startswith(magic):
            elf = run(command, "the Linux guest: unpacking the kernel", input=payload[:-4])
            if elf[:4] != b"\x7fELF":
                break
            return elf
    raise Failure(f"the Linux guest: the kernel is compressed in a way that is not known here ({payload[:6].hex()})")


def fetch() -> None:
    """Downloads and unpacks the kernel if it is not there: nothing is installed on this machine."""
    if KERNEL.is_file() and VERSION.is_file():
        return
    partial = FOLDER / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        package = today_package()
        run(["apt-get", "download", "-o", "APT::Sandbox::User=root", package], "the Linux guest", cwd=partial)
        found = list(partial.glob("*.deb"))
        run(["dpkg-deb", "-x", str(found[0]), str(partial)], "the Linux guest")
        kernel = next((partial / "boot").glob("vmlinuz-*"))
        write_output(KERNEL, unpack(read_input(kernel)))
        write_output(VERSION, f"{found[0].stem}\n".encode())
    except (IndexError, StopIteration):
        raise Failure(f"the Linux guest: the package of {PACKAGE} holds no kernel") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def version() -> str:
    return VERSION.read_text().strip() if VERSION.is_file() else "none"
