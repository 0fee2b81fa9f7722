#!/usr/bin/env python3
"""Makes the bootable image of an application: one file for BIOS and UEFI, CD and disk.

It holds GRUB twice: a core image for BIOS (El Torito, and started by the boot sector when the file is a disk) and one
for UEFI, in a small FAT file system that is the second partition of a GPT. Each has a configuration built in that loads
the ELF file as a multiboot2 kernel, with the packed files as a module. GRUB's script language is not needed, only its
rescue parser. (It would add 190 KB for UEFI, and shows the error of a command that failed in an "if" as well.) The UEFI
core does not know its own disk, so it looks for a file whose name only this image has. Where the ELF file cannot be read,
GRUB says so in one line, on the serial line too, and switches the machine off instead of waiting for ever. No command keeps
it from printing its own errors before, but a translation does: the core image has one that makes their line empty.

The ELF file is stored in the format gzip, at level 0: GRUB's module gzio compares its CRC-32, but not before it reads the
last 32 KiB. So bytes behind what is loaded, which GRUB does not read, are left out (zeros, from the linker). And it is not
compressed: a damaged stream may unpack to another length, of which GRUB starts what it got without having compared it.

With --compress gzip the packed files are stored compressed; they have a checksum of their own (images/archive.py), which the
image compares. (GRUB's xzio fails on UEFI with large files, so gzip is all there is.)

The same input gives the same bytes: all dates are SOURCE_DATE_EPOCH (1980 if unset). The file is padded to whole MiB
inside of its last partition, so that it is also a valid raw disk.
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until everything is imported Ctrl-C just ends it

import argparse
import gzip
import hashlib
import json
import os
import re
import shlex
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import description
import fat
from tool import Failure, read_input, require, run_main, write_output

GRUB = Path("/usr/lib/grub")
GRUB_BIOS = GRUB / "i386-pc"
GRUB_UEFI = GRUB / "x86_64-efi"
BIOS_MODULES = ["biosdisk", "iso9660", "gzio", "multiboot2", "boot", "echo", "halt", "serial", "terminal"]
UEFI_MODULES = ["iso9660", "part_gpt", "part_msdos", "search_fs_file", "gzio", "multiboot2", "boot", "echo", "halt", "efi_gop"]
# UEFI's own console is on the serial line already, where there is one. By BIOS the line is not to be broken at 80 letters.
BIOS_SERIAL = ["serial --unit=0 --speed=115200", "terminal_output serial console", "terminfo -g 255x24 serial vt100"]
# The translation is one sector of a disk in memory. GRUB looks for "(memdisk)0+1 /quiet.mo", and up to the blank that is a
# list of sectors, so it needs no file system. Without a second module for one this costs 12 KB for UEFI, 0.5 KB for BIOS.
QUIET_MODULES = ["memdisk", "gettext"]
QUIET_SCRIPT = "locale_dir='(memdisk)0+1 '\nlang=quiet\n"
ERROR_LINE = b"error: %s.\n"
COMPRESSIONS = ("none", "gzip")
LEVEL_NONE, LEVEL_BEST = 0, 9
PT_LOAD = 1

MIB = 1 << 20
EPOCH_1980 = 315532800
DATE_MOST = (1 << 32) - 1
EFI_SYSTEM_PARTITION = "0xef"


class Image(NamedTuple):
    name: str
    elf: bytes
    files: bytes | None
    command_line: str
    compress: bool = False
    about: dict[str, Any] = {}  # what it is said to be (images/description.py)

    def stored_elf(self) -> bytes:
        """With a checksum that GRUB compares."""
        return gzip.compress(without_padding(self.elf), LEVEL_NONE, mtime=0)

    def stored_files(self) -> bytes | None:
        return gzip.compress(self.files, LEVEL_BEST, mtime=0) if self.compress and self.files is not None else self.files

    def describe(self) -> bytes:
        parts = {"kernel": self.elf} | ({} if self.files is None else {"files": self.files})
        return description.make_text({"name": self.name} | self.about, self.command_line, parts, self.compress)

    def identity(self) -> str:
        """Hexadecimal digits that differ between images."""
        parts = [self.name.encode(), self.elf, self.files or b"", self.command_line.encode()]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def without_padding(elf: bytes) -> bytes:
    """The ELF file up to the end of what is loaded of it, if only zeros follow; description.unpacked adds them again."""
    if not elf.startswith(b"\x7fELF") or len(elf) < 64:
        return elf
    start, entry, count = struct.unpack_from("<32xQ14xHH", elf)
    headers = [struct.unpack_from("<I4xQ16xQ", elf, start + index * entry) for index in range(count)]
    end = max((offset + size for kind, offset, size in headers if kind == PT_LOAD and size), default=len(elf))
    return elf if elf[end:].strip(b"\0") else elf[:end]


def source_date() -> str:
    date = os.environ.get("SOURCE_DATE_EPOCH", str(EPOCH_1980))
    if not re.fullmatch("[0-9]{1,10}", date) or int(date) > DATE_MOST:
        raise Failure(f"SOURCE_DATE_EPOCH is '{date}', not a whole number from 0 to {DATE_MOST}")
    return date


def last_reason(errors: str) -> str:
    """The last line in which a program says why it failed; xorriso goes on about how it ends."""
    rows = [row for row in errors.splitlines() if row.strip() and " : ABORT : " not in row]
    return f": {rows[-1].strip()}" if rows else " without a word"


def run(command: list[str]) -> None:
    environment = os.environ | {"SOURCE_DATE_EPOCH": source_date(), "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    if done.returncode != 0:
        raise Failure(f"{Path(command[0]).name} failed ({done.returncode}){last_reason(done.stderr)}")


def grub_quote(word: str) -> str:
    """One word for GRUB's rescue parser, which knows single quotes as the shell does."""
    return "'" + word.replace("'", "'\\''") + "'"


def boot_script(image: Image, serial: list[str]) -> str:
    """The commands that load the image from the device in root. Those behind boot are for images that cannot be loaded."""
    try:
        words = shlex.split(image.command_line)
    except ValueError as error:
        raise Failure(f"command line: {error}: {image.command_line}") from error
    lines = [" ".join(["multiboot2", f"/boot/{image.name}", *map(grub_quote, words)])]
    if image.files is not None:
        lines.append(f"module2 /boot/{image.name}.files")
    memory = image.about.get("memory")
    made_for = f" (it is made for {-(-memory['ram'] // MIB)} MiB)" if description.is_memory(memory) else ""
    tell = f"quire: {image.name} cannot be loaded: the image is damaged, or RAM too small{made_for}"
    return "\n".join([*lines, "boot", *serial, f"echo {grub_quote(tell)}", "halt", ""])


def quiet_catalog() -> bytes:
    """A file of translations as GNU gettext has them (.mo), with one of GRUB's line for errors to nothing."""
    header, rows = 28, 16
    original = header + rows
    content = struct.pack("<7I", 0x950412DE, 0, 1, header, header + 8, 0, 0)  # one text, the table of originals, and the other
    content += struct.pack("<4I", len(ERROR_LINE), original, 0, original + len(ERROR_LINE))  # length and place of each
    return content + ERROR_LINE + b"\0"


def make_grub(platform: str, folder: Path, script: str, modules: list[str], output: Path) -> None:
    """A GRUB core image that runs the script, and of itself prints only its greeting."""
    if not folder.is_dir():
        package = "grub-pc-bin" if folder == GRUB_BIOS else "grub-efi-amd64-bin"
        raise Failure(f"{folder} is missing: sudo apt-get install {package}")
    config, catalog = output.with_name(output.name + ".cfg"), output.with_name(output.name + ".mo")
    config.write_text(QUIET_SCRIPT + script)
    catalog.write_bytes(quiet_catalog())
    command = [require("grub-mkimage"), "-O", platform, "-d", str(folder)]
    command += ["-m", str(catalog), "-p", "/boot/grub"]  # in this order: -m makes the disk in memory GRUB's own
    run([*command, "-c", str(config), "-o", str(output), *modules, *QUIET_MODULES])
    config.unlink()
    catalog.unlink()


def make_partition(image: Image, marker: str, work: Path) -> bytes:
    """The EFI system partition with GRUB for UEFI."""
    program = work / "bootx64.efi"
    script = f"search.file /boot/{marker} root\n{boot_script(image, [])}"
    make_grub("x86_64-efi", GRUB_UEFI, script, UEFI_MODULES, program)
    tree: fat.Tree = {"EFI": {"BOOT": {"BOOTX64.EFI": program.read_bytes()}}}
    return fat.make_volume(tree, "QUIRE", int(image.identity()[:8], 16))


def make_tree(image: Image, marker: str, tree: Path) -> None:
    """What the ISO 9660 file system holds."""
    boot = tree / "boot"
    boot.mkdir(parents=True)
    (boot / image.name).write_bytes(image.stored_elf())
    files = image.stored_files()
    if files is not None:
        (boot / f"{image.name}.files").write_bytes(files)
    (boot / description.FILE).write_bytes(image.describe())
    (boot / marker).write_bytes(b"")
    make_grub("i386-pc-eltorito", GRUB_BIOS, boot_script(image, BIOS_SERIAL), BIOS_MODULES, boot / "bios.img")
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def run_xorriso(label: str, tree: Path, partition: Path, output: Path) -> None:
    command = [require("xorriso"), "-as", "mkisofs", "-quiet", "-r", "-V", label, "-o", str(output), "-no-pad"]
    command += ["-A", description.APPLICATION]
    command += ["--set_all_file_dates", f"={max(1, int(source_date()))}"]  # 0 would leave the dates as they are
    command += ["-b", "boot/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    command += ["--grub2-boot-info", "--grub2-mbr", str(GRUB_BIOS / "boot_hybrid.img")]
    command += ["-append_partition", "2", EFI_SYSTEM_PARTITION, str(partition), "-appended_part_as_gpt"]
    command += ["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot", str(tree)]
    run(command)


def make_iso(image: Image) -> bytes:
    """The whole file. It is made twice: the second time the partition is longer by what is missing to whole MiB, so
    that the backup of the partition table stays in the last sector, where it belongs."""
    with tempfile.TemporaryDirectory(prefix="quire-iso-") as folder:
        work = Path(folder)
        marker = f"{image.identity()}.id"
        make_tree(image, marker, work / "tree")
        partition, output = work / "efi.fat", work / "out.iso"
        volume = make_partition(image, marker, work)
        partition.write_bytes(volume)
        run_xorriso(volume_label(image.name), work / "tree", partition, output)
        missing = -output.stat().st_size % MIB
        if missing:
            partition.write_bytes(volume + bytes(missing))
            output.unlink()
            run_xorriso(volume_label(image.name), work / "tree", partition, output)
        if output.stat().st_size % MIB:
            raise Failure(f"xorriso made {output.stat().st_size} bytes, not whole MiB")
        return description.seal(output.read_bytes(), image.describe())


def volume_label(label: str) -> str:
    """A volume identifier as ISO 9660 allows it: at most 32 capital letters, digits and underscores."""
    return re.sub(r"[^A-Z0-9_]", "_", label.upper())[:32]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Makes the bootable image of an application.")
    parser.add_argument("--elf", type=Path, required=True, help="the image's ELF file")
    parser.add_argument("--files", type=Path, help="packed files (images/archive.py), loaded as a module")
    parser.add_argument("--command-line", default="", help="words for the core; after -- the program's arguments")
    parser.add_argument("--label", required=True, help="name of the application")
    parser.add_argument("--about", type=Path, help="what is said of it (JSON)")
    parser.add_argument("--calls", type=Path, help="what images/calls.py chose (JSON)")
    parser.add_argument("--compress", choices=COMPRESSIONS, default="none", help="of the packed files")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", options.label):
        raise Failure(f"--label: '{options.label}' is no name (letters, digits, '.', '_' and '-')")
    files = read_input(options.files) if options.files else None
    about = json.loads(read_input(options.about)) if options.about else {}
    if options.calls:
        about["calls"] = json.loads(read_input(options.calls))["parts"]
    compress = options.compress == "gzip"
    image = Image(options.label, read_input(options.elf), files, options.command_line, compress, about)
    try:
        content = make_iso(image)
    except OSError as error:  # of a file on the way to it: a full disk, most likely
        raise Failure(f"{error.filename or os.environ.get('TMPDIR', '/tmp')}: {error.strerror}") from error
    write_output(options.output, content)
    return 0


if __name__ == "__main__":
    run_main("iso.py", main)
