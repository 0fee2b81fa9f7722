"""Changes what an image's program gets, without building it: arguments, environment, words for the core, packed files.

The image itself is all that is needed. Its ISO is made again from its parts (images/iso.py), so the same changes give the
same bytes, and no change gives the image that was there. What was built in stays: the changes go on the boot loader's
command line, where they win over it.
"""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

import archive
import description
import disk
import iso
import ova
import plan
from tool import Failure, core_line, core_words

ENVIRONMENT = "quire.env="


class Words(NamedTuple):
    """The command line that the boot loader passes, in its parts."""

    core: list[str]
    environment: dict[str, str]
    arguments: list[str] | None  # None: those that were built in

    @staticmethod
    def of(line: str) -> "Words":
        words = shlex.split(line)
        end = words.index("--") if "--" in words else len(words)
        variables = [word.removeprefix(ENVIRONMENT).partition("=") for word in words[:end] if word.startswith(ENVIRONMENT)]
        core = [word for word in words[:end] if not word.startswith(ENVIRONMENT)]
        return Words(core, {name: value for name, _, value in variables}, words[end + 1 :] if end < len(words) else None)

    def line(self) -> str:
        words = [*self.core, *(f"{ENVIRONMENT}{name}={value}" for name, value in self.environment.items())]
        odd = next((word for word in (*words, *(self.arguments or ())) if not word.isprintable()), None)
        if odd is not None:
            raise Failure(f"{odd!r}: a boot loader passes on printable characters only: put it into a file")
        if "" in (self.arguments or ()):
            raise Failure("an empty argument: GRUB passes on none; build the image with it")
        return core_line(words if self.arguments is None else [*words, "--", *self.arguments])


class Changes(NamedTuple):
    """None: as it is."""

    core: str | None  # words, quoted as in the shell
    environment: dict[str, str]  # added
    arguments: list[str] | None
    files: list[archive.Pair]  # added; one of the same name is replaced


def new_line(line: str, changes: Changes) -> str:
    old = Words.of(line)
    core = old.core if changes.core is None else core_words("--cmdline", changes.core)
    arguments = old.arguments if changes.arguments is None else changes.arguments
    return Words(core, old.environment | changes.environment, arguments).line()


def new_entries(contents: description.Contents, added: list[archive.Pair]) -> list[archive.Entry] | None:
    """The packed files with what is added; None: they stay as they are."""
    if not added:
        return None
    name = contents.about["name"]
    if "files" not in contents.about.get("calls", ["files"]):
        raise Failure(f"--files: {name} was built without the system calls that read files: build it with --files")
    old = archive.unpack(contents.files) if contents.files is not None else []
    return archive.merged(old, archive.collect(added))


def check_plan(about: dict[str, Any], elf: bytes, files: int) -> None:
    """files: bytes of the packed files."""
    if about.get("memory"):
        found = plan.make_plan(about["memory"], plan.image_rows(elf), files)
        if found.over > 0:
            raise Failure(f"{about['name']}: the memory plan is {plan.overflow(found)} when it is built")


def machine_of(about: dict[str, Any]) -> ova.Machine:
    return ova.Machine(about["name"], about.get("cpus", 1), (about.get("memory") or {"ram": 64 << 20})["ram"])


def repack(image: bytes, changes: Changes) -> tuple[bytes, ova.Machine]:
    """The changed ISO, and the machine that it is for."""
    contents = description.read_contents(image)
    about = contents.about
    entries = new_entries(contents, changes.files)
    check_plan(about, contents.elf, archive.packed_size(entries) if entries else len(contents.files or b""))
    files = archive.pack(entries) if entries else contents.files
    line = new_line(about["loader"], changes)
    kept = {key: value for key, value in about.items() if key not in description.MADE}
    new = iso.make_iso(iso.Image(about["name"], contents.elf, files, line, about["compress"] == "gzip", kept))
    return new, machine_of(about)


def repacked(path: Path, output: Path, changes: Changes) -> bytes:
    """The contents of the output, in the format that its name says, or in that of the image."""
    by_name = [kind for kind, suffix in disk.SUFFIXES.items() if output.name.endswith(suffix)]
    if output.suffix and output != path and not by_name:
        raise Failure(f"-o {output}: there is no format {output.suffix}; a name ends with {', '.join(disk.SUFFIXES.values())}, or with none")
    try:
        kind = by_name[0] if by_name else disk.kind_of(path)
        image, machine = repack(disk.read_original(path), changes)
    except Failure as failure:
        raise type(failure)(f"{path}: {failure}") from None
    return disk.make(kind, image, machine)
