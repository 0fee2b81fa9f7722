"""
One image: an application and the choices made for it, and the files that say so to the other parts:
config.c (core/config.h), run.json (images/qemu.py), plan.json (images/plan.py) and the headers of its libraries.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import debian_source
import elf
import machines
import packages
import plan
from allocators import ALLOCATORS, Allocator, default_of
from archive import collect, packed_size
from manifest import Manifest, packed_files
from report import write_if_changed
from tool import Failure

MULTIARCH = "x86_64-linux-gnu"
LIBRARIES = Path("/usr/lib") / MULTIARCH
# What an image can observe of its run, in the order of core/observe.h; the core has quire_observer_NAME for each.
OBSERVERS = ("measure", "stats", "timeline", "profile")
PAGE_NAMES = {"4k": "PAGE_4K", "2m": "PAGE_2M", "1g": "PAGE_1G"}


@dataclass(frozen=True)
class Choices:
    """What the command line decides; None: as the manifest says."""

    program: str | None = None  # --program: its absolute path; files and env are added to the manifest's
    files: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    libc: str | None = None
    malloc: str | None = None
    inline: bool | None = None
    ram: int | None = None
    pages: str | None = None
    machine: str | None = None
    firmware: str = "bios"
    attach: str = machines.DIRECT
    args: list[str] | None = None
    cpus: int = 1
    trust_virgin_ram: bool = False
    cmdline: str = ""
    accelerator: str = "auto"
    debug: bool = False
    stats: bool | None = None
    timeline: int | None = None
    profile: int | None = None
    formats: list[str] = field(default_factory=lambda: ["iso"])  # of images (images/disk.py)
    compress: str = "none"
    measure: bool = False  # for tests/bench; there is no option for it


@dataclass(frozen=True)
class Image:
    """
    folder: where its output goes, relative to the root of the project. shared: the folder of its objects and headers, which
    images may share that differ only in how they are linked.
    """

    manifest: Manifest
    choices: Choices
    folder: Path
    shared: Path | None = None
    libc: str = field(init=False)
    malloc: str = field(init=False)
    inline: bool = field(init=False)
    ram: int = field(init=False)
    pages: str = field(init=False)
    stats: bool = field(init=False)
    timeline: int = field(init=False)
    profile: int = field(init=False)

    def __post_init__(self):
        for key in ("libc", "malloc", "inline", "ram", "pages", "stats", "timeline", "profile"):
            chosen = getattr(self.choices, key)
            object.__setattr__(self, key, getattr(self.manifest, key) if chosen is None else chosen)
        if self.malloc is None:
            object.__setattr__(self, "malloc", default_of(self.libc))

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def variant(self) -> str:
        return "debug" if self.choices.debug else "release"

    @property
    def allocator(self) -> Allocator:
        return ALLOCATORS[self.malloc]

    @property
    def links_cxx(self) -> bool:
        """True if C++'s library is among what is linked."""
        return self.manifest.is_cxx or self.allocator.is_cxx

    @property
    def debian_sources(self) -> list[debian_source.Source]:
        """Debian's source packages of which files are compiled."""
        return [source for source in (self.manifest.source, self.allocator.source) if source]

    @property
    def compiled(self) -> Path:
        """Where its objects (in a folder of it) and its libraries' headers are."""
        return self.shared or self.folder

    @property
    def inline_header(self) -> str:
        """What its own sources in C and C++ are compiled with; empty: nothing."""
        return self.allocator.inline if self.inline else ""

    @property
    def objects(self) -> Path:
        """Where its own objects are: those with an allocator's inlined functions suit no other allocator."""
        return self.compiled / ("obj" if self.inline_header else "obj-plain")

    def output(self, suffix: str) -> Path:
        return self.folder / f"{self.name}{suffix}"

    @property
    def boot(self) -> machines.Boot:
        """How ninja run boots it."""
        return machines.Boot(self.choices.machine or self.manifest.machine, self.choices.firmware, self.choices.attach)

    @property
    def booted(self) -> list[Path]:
        """The files that this takes."""
        if not self.boot.is_direct:
            return [self.output(".iso")]
        return [self.output(".elf"), *([self.output(".files")] if self.manifest.has_files else [])]

    @property
    def arguments(self) -> list[str]:
        """The program's own, as they are built in."""
        return self.manifest.args if self.choices.args is None else self.choices.args

    @property
    def measure(self) -> bool:
        return self.choices.measure

    @property
    def observers(self) -> list[str]:
        return [name for name in OBSERVERS if getattr(self, name)]

    @property
    def calls_report(self) -> Path:
        """What images/calls.py chose."""
        return self.folder / "calls.json"

    def packages(self) -> dict[str, str]:
        """Debian packages that it needs beside the base, and why."""
        more = {**(packages.CXX if self.links_cxx else {}), **self.allocator.packages}
        if self.manifest.compiler == "gcc":
            more = {**more, **packages.GCC, **(packages.GXX if self.manifest.is_cxx else {})}
        if not {"iso", "raw", "vhd", "gce"}.issuperset(self.choices.formats):
            more = {**more, **packages.DISK}
        if self.boot.firmware == "uefi":
            more = {**more, machines.OVMF_PACKAGE: "UEFI firmware to boot with"}
        if self.debian_sources:
            more = {**more, **debian_source.PACKAGES}
        return {**packages.LIBC[self.libc], **more, **{package: f"wanted by {self.name}" for package in self.manifest.packages}}


def archive_path(image: Image, library: str) -> Path:
    """The static archive of a library; refused if no package has brought it."""
    path = Path(library) if library.startswith("/") else LIBRARIES / f"lib{library}.a"
    if not path.is_file():
        from_packages = " ".join(image.manifest.packages) or "no package"
        raise Failure(
            f"{image.manifest.path}: libraries: {library}: there is no {path} (packages lists {from_packages}): "
            f"name the -dev package that has it in packages"
        )
    return path


def c_string(text: str) -> str:
    """A C string literal of the UTF-8 bytes: octal escapes of three digits never swallow what follows."""
    plain = {byte for byte in range(0x20, 0x7F)} - set(b'"\\?')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in os.fsencode(text)) + '"'


def c_strings(name: str, texts: list[str]) -> str:
    rows = "".join(f"    {c_string(text)},\n" for text in texts)
    return f"static const char *const {name}[] = {{\n{rows}    NULL,\n}};\n"


def observation_c(image: Image) -> str:
    """The definitions that struct quire_config refers to; nothing for an image that does not observe."""
    if not image.observers:
        return ""
    rows = "".join(f"    &quire_observer_{name},\n" for name in image.observers)
    return f"""\
#include "core/observe.h"

static const struct observer *const observers[] = {{
{rows}    NULL,
}};

static const struct observation observation = {{
    .timeline = {image.timeline},
    .profile = {image.profile},
    .observers = observers,
    .start = quire_observe_start,
    .end = quire_observe_end,
}};

"""


def config_c(image: Image) -> str:
    manifest, choices = image.manifest, image.choices
    environment = [f"{name}={value}" for name, value in manifest.env.items()]
    program = ""
    if manifest.program:
        program = f"    .program = {c_string(manifest.program_name)},\n    .load = quire_load_program,\n"
    if image.observers:
        program += "    .observe = &observation,\n"
    return f"""\
/* Written by configure.py. */
#include "core/config.h"
#include "core/program.h"

{c_strings("arguments", image.arguments)}
{c_strings("environment", environment)}
{observation_c(image)}/* Not an object: its address is the RAM that the memory plan needs, from images/plan.py through the linker. */
extern const char quire_plan_ram[];

const struct quire_config quire_config = {{
    .name = {c_string(image.name)},
    .command_line = {c_string(choices.cmdline)},
    .arguments = arguments,
    .environment = environment,
    .ram = (uint64_t)quire_plan_ram,
    .stack = {manifest.stack},
    .pages = {PAGE_NAMES[image.pages]},
    .trust_virgin_ram = {"true" if choices.trust_virgin_ram else "false"},
    .has_files = {"true" if manifest.has_files else "false"},
{program}}};
"""


def plan_settings(image: Image) -> dict:
    manifest = image.manifest
    return {
        "name": image.name,
        "ram": image.ram,
        "stack": manifest.stack,
        "heap": manifest.heap,
        "program": elf.read_program(manifest.program_path).private if manifest.program else 0,
        "windows": [[window.name, window.size, window.cache] for window in manifest.windows],
    }


def about_image(image: Image) -> dict:
    """What the image says of itself (images/description.py): no path and no time, so that it is the same everywhere."""
    manifest, choices = image.manifest, image.choices
    return {
        "version": manifest.version or (debian_source.version(manifest.source) if manifest.source else None),
        "summary": manifest.summary,
        "memory": plan_settings(image),
        "pages": image.pages,
        "cpus": choices.cpus,
        "command_line": choices.cmdline,
        "arguments": manifest.args if choices.args is None else choices.args,
        "environment": manifest.env,
    }


def program_settings(manifest: Manifest) -> dict | None:
    """For the debugger: the existing program, and where it lies with quire.aslr=off."""
    if not manifest.program:
        return None
    path = manifest.program_path
    return {"file": str(path), "base": elf.read_program(path).base}


def run_settings(image: Image) -> dict:
    return {
        "name": image.name,
        "elf": str(image.output(".elf")),
        "iso": str(image.output(".iso")),
        "files": str(image.output(".files")) if image.manifest.has_files else None,
        "debug_elf": str(image.output(".debug")),
        "program": program_settings(image.manifest),
        "memory": image.ram,
        "cpus": image.choices.cpus,
        "command_line": image.choices.cmdline,
        "devices": image.manifest.devices,
        "arguments": image.arguments,
        "machine": image.boot.machine,
        "firmware": image.boot.firmware,
        "attach": image.boot.attach,
        "accelerator": image.choices.accelerator,
        "observe": bool(image.observers),
    }


def expected_plan(image: Image) -> tuple[plan.Plan, bool]:
    """The plan before building, and whether its image sizes are those of a link that is still up to date."""
    linked = image.output(".debug")
    sources = [image.manifest.path, *source_files(image).values()]
    current = linked.is_file() and all(path.stat().st_mtime <= linked.stat().st_mtime for path in sources)
    rows = [plan.Row("image", plan.IMAGE_ALLOWANCE, "allowance: the sizes are known after the first build")]
    if current:
        rows = plan.image_rows(linked.read_bytes())
    packed = packed_files(image.manifest)
    files = packed_size(collect(packed)) if packed else 0
    result = plan.make_plan(plan_settings(image), rows, files)
    if current and image.calls_report.is_file():
        result.calls = json.loads(image.calls_report.read_text())
    return result, current


def link_headers(image: Image) -> None:
    """
    Gives the headers of the image's packages a folder of their own, include beside its objects, as links: the include directories
    they are installed in also hold glibc's, which must not meet musl's.
    """
    wanted = {}
    owners = {packages.owner(str(archive_path(image, library))) for library in image.manifest.libraries}
    for package in sorted({*image.manifest.packages, *filter(None, owners)}):
        for header in packages.headers(package):
            relative = header.removeprefix("/usr/include/").removeprefix(f"{MULTIARCH}/")
            wanted[image.compiled / "include" / relative] = header
    for link, header in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or os.readlink(link) != header:
            link.unlink(missing_ok=True)
            link.symlink_to(header)


def include_folders(image: Image) -> list[Path]:
    """Where the compiler looks for the application's own and its libraries' headers."""
    own = [image.manifest.folder / folder for folder in image.manifest.include]
    if image.manifest.source:
        own += [image.manifest.source.tree / folder for folder in image.manifest.source.include]
    if not image.manifest.packages and not image.manifest.libraries:
        return own
    shared = image.compiled / "include"
    return [*own, shared, *(shared / library for library in image.manifest.libraries if library[0] != "/" and (shared / library).is_dir())]


def source_files(image: Image) -> dict[str, Path]:
    """What is compiled: a name for the object, unique in the image, and the path of the source."""
    manifest = image.manifest
    files = {source: manifest.folder / source for source in manifest.sources}
    if manifest.source:
        names = debian_source.listed(manifest.source)
        files |= {f"{manifest.source.package}/{name}": manifest.source.tree / name for name in names}
    return files


def write_generated(image: Image) -> None:
    write_if_changed(image.folder / "sources.txt", "".join(f"{path}\n" for path in source_files(image).values()))
    write_if_changed(image.folder / "config.c", config_c(image))
    write_if_changed(image.folder / "run.json", json.dumps(run_settings(image), indent=4) + "\n")
    write_if_changed(image.folder / "about.json", json.dumps(about_image(image), indent=4) + "\n")
    write_if_changed(image.folder / "plan.json", json.dumps(plan_settings(image), indent=4) + "\n")
    link_headers(image)
