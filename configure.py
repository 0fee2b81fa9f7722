#!/usr/bin/env python3
"""Chooses what is built: an application and its options. `./configure.py --help` explains; build.ninja builds."""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"configure.py: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until everything is imported Ctrl-C just ends it

import argparse
import dataclasses
import difflib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, NoReturn, TextIO

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "images"))
sys.dont_write_bytecode = True

import allocators  # noqa: E402
import debian_source  # noqa: E402
import describe  # noqa: E402
import disk  # noqa: E402
import elf  # noqa: E402
import graph  # noqa: E402
import inspection  # noqa: E402
import kernel  # noqa: E402
import machines  # noqa: E402
import manifest as manifests  # noqa: E402
import packages  # noqa: E402
import plan  # noqa: E402
import qemu  # noqa: E402
import repack  # noqa: E402
import signature  # noqa: E402
import subjects  # noqa: E402
from archive import collect, expand, idle_patterns  # noqa: E402
from image import Choices, Image, archive_path, expected_plan, write_generated  # noqa: E402
from manifest import Manifest, read_manifest  # noqa: E402
from iso import COMPRESSIONS  # noqa: E402
from report import format_size, paint, parse_size, write_if_changed  # noqa: E402
from tool import Altered, Failure, core_line, core_words, require, write_output  # noqa: E402

APPS = Path("apps")
TEST_IMAGES = [Path("tests/boot/images"), Path("tests/bench/images"), subjects.WORKLOADS, subjects.PARALLEL]
PROGRAM_LISTS = [Path("tests/unit/programs.py"), Path("tests/unit/programs_core.py")]
TEMPLATE = ROOT / "images/template"
DISK_LEAST = 64 << 10  # with fewer bytes free, a build that failed did so for want of them
MEMORY = Path("build/configuration.json")
TOOLS = ["allocators", "archive", "calls", "debian_source", "describe", "disassembly", "disk", "elf", "fat", "font", "graph", "image", "iso", "kernel", "machines", "manifest", "packages", "plan", "report", "sources", "subjects", "symbols", "tool"]

EXAMPLES = """
examples:
  ./configure.py --setup hello && ninja run     on a fresh machine: install, build, boot
  ./configure.py lua --ram 512M --pages 2m      another application, more RAM
  ./configure.py hello -- one two               with arguments for the program
  ./configure.py --run hello -- one two         configure, build, and boot at once
  ./configure.py --run                          build and boot what is configured; the status is the program's
  ./configure.py --new counter                  write apps/counter, a program to start from
  ./configure.py ../mine/server --debug         an application outside of this repository
  ./configure.py --program /bin/busybox -- ls   an existing static program (Debian: busybox-static)
  ./configure.py lua --bench                    measure it here and on Linux, side by side
  ./configure.py lua --sweep pages=4k,2m ram=64M,1G     which choice is best for it
  ./configure.py --program ./server --files data:srv/data --files etc:/etc --env MODE=fast --ram 1G

then:
  ninja          build/APP/APP.elf and build/APP/APP.iso        ninja test    every test
  ninja images   the formats of --format alone
  ninja run      boot it here; Ctrl-C ends                      ninja debug   boot it stopped, with gdb attached
  ninja fuzz     fuzz for longer                                ninja bench   measure here and on Linux, side by side
  ninja report   draw what was measured                         ninja clean   remove what was built
Output of APP goes to build/APP (debug builds: build/APP-debug); configuring another application leaves it alone.
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise Failure(f"{message}; ./configure.py --help lists the options")


def size_option(text: str) -> int:
    try:
        return manifests.ram(text)
    except ValueError as allowed:
        raise argparse.ArgumentTypeError(f"{text!r} must be {allowed}") from None


def cpus_option(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", text) or int(text) > 64:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 to 64")
    return int(text)


def variable_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in value:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE")
    return name, value


def turns_option(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 999")
    return int(text)


def formats_option(text: str) -> list[str]:
    """Each once, in the order given."""
    formats = text.split(",")
    unknown = [kind for kind in formats if kind not in disk.SUFFIXES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no format {unknown[0]!r}; there are {', '.join(disk.SUFFIXES)}")
    return list(dict.fromkeys(formats))


def off_or(check: manifests.Check) -> Callable[[str], int]:
    """An option's value as the manifest's, or "off", which overrides it."""

    def option(text: str) -> int:
        try:
            return 0 if text == "off" else check(int(text) if text.isdecimal() else text)
        except ValueError as allowed:
            raise argparse.ArgumentTypeError(f"{text!r} must be {allowed}, or off") from None

    return option


def make_parser() -> Parser:
    parser = Parser(
        prog="./configure.py",
        usage="./configure.py [--setup] [--run] APP [options] [-- ARGUMENTS OF THE PROGRAM]\n"
        "       ./configure.py [--run] --program FILE [options] [-- ARGUMENTS OF THE PROGRAM]\n"
        "       ./configure.py --run [-- ARGUMENTS OF THE PROGRAM]\n"
        "       ./configure.py --inspect IMAGE | --sign IMAGE --key FILE\n"
        "       ./configure.py --repack IMAGE [--args WORDS] [--env N=V] [--files F] [--cmdline WORDS] [-o OUT]\n"
        "       ./configure.py --list | --new NAME | --help",
        description="Chooses the application that ninja builds into a bootable image, and prints its memory plan.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("app", metavar="APP", nargs="?", help="a name from --list, or the path of a folder with an app.toml")
    what = parser.add_argument_group("instead of, before, or after configuring")
    what.add_argument("--setup", action="store_true", help="install the Debian packages that are missing, tests' included")
    what.add_argument(
        "--run", action="store_true", help="build and boot APP, or what is configured; ends with the program's exit status"
    )
    what.add_argument("--list", action="store_true", help="the applications, a line each")
    what.add_argument("--new", metavar="NAME", help="write a small working application: apps/NAME, or a path")
    what.add_argument("--inspect", metavar="IMAGE", help="what an image of any format holds, and whether it is whole (1: it was altered)")
    what.add_argument("--repack", metavar="IMAGE", help="change arguments, --env, --cmdline and --files of an image, without building it")
    what.add_argument("--sign", metavar="IMAGE", help="write IMAGE.sig with the SSH key --key")
    what.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--program", metavar="FILE", help="instead of APP: a static Linux program (ELF, x86-64) as it is, not built here"
    )
    program = parser.add_argument_group("the program (default: what its manifest says)")
    program.add_argument(
        "--files", metavar="HOST[:TARGET]", action="append", default=[],
        help="pack a file or a folder (TARGET /: its contents in the root, the default); !PATTERN leaves out; may be repeated",
    )  # fmt: skip
    program.add_argument(
        "--env", metavar="NAME=VALUE", type=variable_option, action="append", default=[], help="a variable; may be repeated"
    )
    program.add_argument("--libc", choices=manifests.LIBCS, help="C library that it is linked with")
    program.add_argument("--malloc", choices=manifests.MALLOCS, help="allocator that takes the place of the C library's")
    program.add_argument(
        "--harden-heap", action="store_true", help="the project's heap with checks of each block: the same as --malloc hardened"
    )
    program.add_argument(
        "--inline", action=argparse.BooleanOptionalAction, help="compile what the allocator can do without a call so (the default)"
    )
    program.add_argument("--debug", action="store_true", help="build with assertions and less optimisation")
    program.add_argument("--release", dest="debug", action="store_false", help="build optimised (the default)")
    program.add_argument("--cmdline", metavar="WORDS", help="command line of the core, such as quire.aslr=off")
    machine = parser.add_argument_group("the machine")
    machine.add_argument("--ram", metavar="SIZE", type=size_option, help="RAM, such as 64M or 2G")
    machine.add_argument("--cpus", metavar="N", type=cpus_option, default=1, help="virtual CPUs")
    machine.add_argument("--pages", choices=manifests.PAGES, help="largest page that backs memory by default")
    machine.add_argument(
        "--trust-virgin-ram", action="store_true",
        help="take it that RAM is zeros at boot, as hypervisors clear it, and do not zero what was never used",
    )  # fmt: skip
    machine.add_argument("--machine", choices=machines.MACHINES, help="QEMU machine of ninja run")
    machine.add_argument("--firmware", choices=machines.FIRMWARES, default="bios", help="what boots it there (uefi: Debian's ovmf)")
    machine.add_argument(
        "--attach", choices=(machines.DIRECT, *machines.ATTACHMENTS), default=machines.DIRECT, metavar="HOW",
        help=f"{machines.DIRECT}: the ELF file directly (the default); the ISO as {', '.join(machines.ATTACHMENTS)}",
    )  # fmt: skip
    machine.add_argument(
        "--accelerator", choices=("auto", "tcg", "kvm"), default="auto", help="of QEMU; auto: KVM where it works"
    )
    machine.add_argument(
        "--describe", type=describe.launcher_names, metavar="LAUNCHER,...",
        help=f"write build/APP/launch for these, which boot it elsewhere: {', '.join(describe.LAUNCHERS)}, or all",
    )  # fmt: skip
    form = parser.add_argument_group("the image (docs/images.md)")
    form.add_argument(
        "--format", dest="formats", metavar="FORMAT,FORMAT", type=formats_option, default=["iso"],
        help=f"what ninja makes beside the ELF file: {', '.join(disk.SUFFIXES)} (default: iso)",
    )  # fmt: skip
    form.add_argument("--args", dest="arg_words", metavar="WORDS", help="of --repack: the program's arguments in one text, or after --")
    form.add_argument("-o", "--output", metavar="OUT", help="of --repack: the new image (default: in the place of the old one)")
    form.add_argument("--key", metavar="FILE", help="of --sign: the SSH key; of --inspect: the public key that must have signed")
    form.add_argument("--compress", choices=COMPRESSIONS, default="none", help="how the image stores packed files")
    measured = parser.add_argument_group("measuring APP (docs/benchmarking.md)")
    measured.add_argument(
        "--bench", action="store_true", help="run it here and in a Linux guest in the same machine, side by side"
    )
    measured.add_argument(
        "--sweep", metavar="AXIS=V,V", nargs="+",
        help=f"run every combination of these choices and compare them: {', '.join(subjects.AXES)}; with --bench against Linux",
    )  # fmt: skip
    measured.add_argument("--boot-chart", action="store_true", help="instructions and time of each phase of its boot: build/APP/boot.html")
    measured.add_argument("--turns", metavar="N", type=turns_option, help="runs by the clock of each (default 3; 0: count only)")
    observe = parser.add_argument_group("what the image tells of its run (docs/observing.md)")
    observe.add_argument(
        "--stats", action=argparse.BooleanOptionalAction, help="faults, memory and time at its end: a table, and a record"
    )
    observe.add_argument(
        "--timeline", metavar="DURATION", type=off_or(manifests.duration), help="memory in use, each 10ms or 1s"
    )
    observe.add_argument(
        "--profile", metavar="HZ", type=off_or(manifests.rate), help="where it is, so many times a second (1 to 10000)"
    )
    return parser


def parse(arguments: list[str]) -> argparse.Namespace:
    """Options; `args` are the words after --, or None."""
    program = None
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, program = arguments[:cut], arguments[cut + 1 :]
    parser = make_parser()
    options, unknown = parser.parse_known_args(arguments)
    for word in unknown:
        if not word.startswith("-"):
            raise Failure(f"{word!r}: one application at a time; arguments of the program go after --")
        known = [name for action in parser._actions for name in action.option_strings]
        close = difflib.get_close_matches(word.split("=")[0], known, 1)
        hint = f": did you mean {close[0]}?" if close else ""
        raise Failure(f"unknown option {word}{hint}; ./configure.py --help lists the options")
    options.args = program
    return options


def option_of(key: str) -> str:
    """What sets this key of the options, as it is typed."""
    words = [word for action in make_parser()._actions if action.dest == key for word in action.option_strings]
    return next((word for word in words if word.startswith("--")), "--")


def shown_path(folder: Path) -> Path:
    """The path as messages show it: relative to the project where it is inside."""
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def check_path(folder: Path) -> None:
    odd = re.findall(r"[^\w +,/.~()%=@!$-]", str(folder))
    if odd:
        raise Failure(f"{folder}: ninja cannot follow files below a path with {odd[0]!r} in it: rename the folder")


def check_not_taken(folder: Path) -> None:
    """folder: inside the project relative to its root."""
    if folder.name in manifests.TARGETS:
        raise Failure(f"{folder}: {folder.name} is one of ninja's targets, so it cannot be a name")
    if folder.parent != APPS and folder.name in app_names():
        raise Failure(f"{folder}: apps/{folder.name} has this name, and so its output folder: rename one")


def app_names() -> list[str]:
    return sorted(path.parent.name for path in APPS.glob("*/app.toml"))


def find_app(word: str, caller: Path) -> Path:
    """The folder of an application given by name or path; inside the project relative to its root."""
    name = word.removeprefix("apps/").rstrip("/")
    if name in app_names():
        return APPS / name
    folder = (caller / word).resolve()
    if (folder / "app.toml").is_file():
        check_path(folder)
        return shown_path(folder)
    if folder.is_dir():
        raise Failure(f"{word} has no app.toml; ./configure.py --new writes an application to start from")
    close = difflib.get_close_matches(name, app_names(), 3, 0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise Failure(f"there is no application {word!r}: {hint}./configure.py --list shows all")


def list_apps() -> None:
    names = app_names()
    width = max(map(len, names), default=0)
    for name in names:
        try:
            summary = read_manifest(APPS / name).summary
        except Failure as failure:
            summary = paint(f"cannot be built: {failure}", "31")
        print(f"{paint(name.ljust(width), '1')}  {summary}")


def new_app(name: str, caller: Path) -> None:
    folder = (caller / name).resolve() if "/" in name else ROOT / APPS / name
    last = folder.name if "/" in name else name
    if not manifests.NAME.fullmatch(last) or last in manifests.TARGETS or last.endswith("-debug"):
        raise Failure(f"--new {shlex.quote(name)}: a name is lower-case letters, digits and single '-' between them, and not one of ninja's targets")
    if folder.exists():
        raise Failure(f"--new {name}: {shown_path(folder)} exists already")
    check_path(folder)
    check_not_taken(shown_path(folder))
    mine = folder.parent == ROOT / APPS
    word = folder.name if mine else str(shown_path(folder))
    partial = folder.with_name(f".{folder.name}.new")
    try:
        partial.mkdir(parents=True)
        for source in sorted(TEMPLATE.iterdir()):
            text = source.read_text().replace("@NAME@", folder.name).replace("@WORD@", shlex.quote(word))
            (partial / source.name).write_text(text)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise Failure(f"--new {name}: {error.filename}: {error.strerror}") from None
    wrote, start, ninja = shown_path(folder), "./configure.py", "ninja run"
    if caller != ROOT:
        wrote = os.path.relpath(folder, caller)
        word = word if mine else wrote
        start = shlex.quote(os.path.relpath(ROOT / "configure.py", caller))
        ninja = f"ninja -C {shlex.quote(os.path.relpath(ROOT, caller))} run"
    print(f"Wrote {wrote}: app.toml, main.c, README.md. Next: {start} {shlex.quote(word)} && {ninja}")


@dataclass
class Memory:
    """What was configured before: for each output folder, the application's folder and the choices."""

    current: str = ""
    images: dict[str, dict] = field(default_factory=dict)
    measured: dict[str, dict] = field(default_factory=dict)  # by --bench or --sweep: the same, and the words of their axes

    @staticmethod
    def load() -> "Memory":
        try:
            return Memory(**json.loads(MEMORY.read_text()))
        except (OSError, ValueError, TypeError):
            return Memory()

    def save(self) -> None:
        write_if_changed(MEMORY, json.dumps(vars(self), indent=4) + "\n")

    def remember(self, image: Image) -> None:
        self.current = image.folder.name
        entry = {"folder": str(image.manifest.folder), "choices": vars(image.choices)}
        self.images = {**self.images, self.current: entry}


def image_of(folder: Path, choices: Choices, base: Path = graph.BUILD) -> Image:
    manifest = manifests.bare_program(Path(choices.program), app_names()) if choices.program else read_manifest(folder)
    if choices.files or choices.env:
        manifest = dataclasses.replace(
            manifest, files=[*manifest.files, *choices.files], env={**manifest.env, **choices.env}
        )
    image = Image(manifest, choices, base / (manifest.name + ("-debug" if choices.debug else "")))
    check_malloc(image)
    machines.check(image.boot)
    return image


def check_malloc(image: Image) -> None:
    """What the manifest says fits together; a choice may not fit."""
    why = allocators.why_not(image.malloc, image.libc)
    if why and image.choices.malloc and image.libc != "none":
        raise Failure(f"--malloc {image.malloc} {why}; add --libc {image.allocator.libcs[0]}")
    if why:
        raise Failure(f'{image.name}: malloc = "{image.malloc}" {why}; ' + ("leave out --malloc" if image.choices.malloc else "add --malloc libc"))
    if image.choices.inline and not image.allocator.inline:
        able = " or ".join(name for name, allocator in allocators.ALLOCATORS.items() if allocator.inline)
        raise Failure(f'{image.name}: --inline: malloc = "{image.malloc}" is always called; add --malloc {able}, or leave out --inline')


def image_again(entry: dict) -> Image:
    """An image from what Memory kept of it."""
    try:
        return image_of(Path(entry["folder"]), Choices(**entry["choices"]))
    except (KeyError, TypeError):
        raise Failure(f"{MEMORY} is of another version; configure again: ./configure.py --setup hello") from None


def word_of(image: Image) -> str:
    """What to type for the image."""
    if image.manifest.bare:
        return f"--program {shlex.quote(str(image.manifest.program_path))}"
    name = shlex.quote(image.name if image.manifest.folder.parent == APPS else str(image.manifest.folder))
    chosen = ((key, getattr(image.choices, key)) for key in ("libc", "malloc"))
    return name + "".join(f" --{key} {value}" for key, value in chosen if value)


def need_packages(wanted: dict[str, str], word: str) -> None:
    absent = packages.missing(wanted)
    if absent:
        what = "package is" if len(absent) == 1 else "packages are"
        raise Failure(f"the Debian {what} missing: {' '.join(absent)}; type   ./configure.py --setup {word}")


def setup(folder: Path | None, choices: Choices) -> None:
    """Gets what is missing for this application, the tests, and every application and test image of the project."""
    wanted = {**packages.BASE, **packages.TEST, **packages.BENCH}
    sources: list[tuple[Manifest, debian_source.Source]] = []
    folders = [*([folder] if folder else []), *folders_of(APPS, *TEST_IMAGES)]
    for other in folders:
        try:
            image = image_of(other, choices if other == folder else Choices())
            wanted |= image.packages()
            sources += [(image.manifest, source) for source in image.debian_sources if not source.fetched]
        except Failure:
            if other == folder:
                raise
    packages.install(wanted)
    fetch_sources(sources, folder)
    fetch_kernel()
    print(paint("All packages are installed.", "32"))


def fetch_sources(wanted: list[tuple[Manifest, debian_source.Source]], folder: Path | None) -> None:
    """What other applications than that in `folder` miss is said, and does not stop it; ninja test counts it as failed."""
    apt = debian_source.Apt()
    for manifest, source in wanted:
        try:
            apt.fetch(source)
        except Failure as failure:
            if manifest.folder == folder:
                raise Failure(f"{manifest.path}: {failure}") from None
            print(paint(f"{manifest.path}: {failure}", "31"), flush=True)


def fetch_kernel() -> None:
    """For the Linux guest of ninja bench, which says so too if there is none."""
    if not subjects.WORKLOADS.is_dir():
        return
    if not kernel.KERNEL.is_file():
        print(paint(f"Fetching Debian's {kernel.PACKAGE}, to measure against:", "1"), flush=True)
    try:
        kernel.fetch()
    except Failure as failure:
        print(paint(str(failure), "31"), flush=True)


def folders_of(*parents: Path) -> list[Path]:
    return sorted(path.parent for parent in parents for path in parent.glob("*/app.toml"))


def usable(image: Image) -> None:
    """Raises Failure for what would not build: packages, libraries, the memory plan."""
    need_packages(image.packages(), word_of(image))
    for library in image.manifest.libraries:
        archive_path(image, library)
    if image.manifest.program:
        elf.read_program(image.manifest.program_path)
    check_sources(image)
    for item in manifests.missing_files(image.manifest):
        raise Failure(
            f"{image.manifest.path}: files: there is no {manifests.split_item(item)[0]} on this machine: "
            f"name the package that has it in packages"
        )
    expected, current = expected_plan(image)
    if expected.over > 0:
        kind = "" if current else " (with an allowance for the image)"
        raise Failure(f"{image.name}: the memory plan{kind} is {plan.overflow(expected)}")


def check_sources(image: Image) -> None:
    for source in image.debian_sources:
        if not source.fetched:
            raise Failure(f"Debian's source of {source.package} is missing; type   ./configure.py --setup {word_of(image)}")
    try:
        for source in image.debian_sources:
            debian_source.check(source)
        if image.manifest.source:
            collect(manifests.packed_files(image.manifest))
    except Failure as failure:
        raise Failure(f"{image.manifest.path}: {failure}") from None


def known_images(memory: Memory, current: Image) -> list[Image]:
    """The current image, those configured before, and every other application with its defaults."""
    images = {current.folder.name: current}
    for output, entry in memory.images.items():
        try:
            image = image_again(entry)
            if output not in images and image.folder.name == output:
                usable(image)
                images[output] = image
        except Failure:
            continue  # gone or broken since: its own configuration will say so
    for folder in folders_of(APPS):
        try:
            image = image_of(folder, Choices())
            if image.folder.name not in images:
                usable(image)
                images[image.folder.name] = image
        except Failure:
            continue  # ninja test reports it
    return list(images.values())


def test_images(tests: graph.Tests) -> list[Image]:
    """All applications and test images with their defaults, in folders of their own; what cannot be built is noted."""
    images = []
    for folder in folders_of(APPS, *TEST_IMAGES):
        try:
            image = image_of(folder, Choices(), graph.BUILD / "test")
            usable(image)
            images.append(image)
        except Failure as failure:
            tests.left_out[f"image {folder.name}"] = str(failure)
    names = [image.name for image in images]
    for name in {name for name in names if names.count(name) > 1}:
        raise Failure(f"two of the folders in apps/ and tests/*/images/ are named {name}: rename one")
    return images


def host_programs(tests: graph.Tests) -> None:
    """The lists of tests/unit/programs*.py; what cannot be built is noted."""
    absent = packages.missing(packages.TEST)
    if absent:
        tests.left_out["unit tests"] = f"missing packages: {' '.join(absent)}; type   ./configure.py --setup hello"
        return
    for path in PROGRAM_LISTS:
        if not path.is_file():
            tests.left_out[f"unit tests of {path}"] = "the list is not there"
            continue
        lists = runpy.run_path(str(path))
        tests.programs |= lists["PROGRAMS"]
        tests.fuzzers |= lists["FUZZERS"]
    for group in (tests.programs, tests.fuzzers):
        for name, files in list(group.items()):
            absent = [source for source in files if not Path(source).is_file()]
            if absent:
                tests.left_out[name] = f"its list names {absent[0]}, which is not there"
                group.pop(name)


def measured_set(output: Path, wanted: dict[Path, list[str] | None]) -> list[subjects.Subject]:
    """These applications with these arguments; the plan says what of them cannot be built."""
    found, absent = [], []
    for folder, arguments in wanted.items():
        try:
            image = image_of(folder, Choices(args=arguments))
            usable(image)
            found.append(subjects.make_subject(image.manifest, image.choices, output / image.name))
        except Failure as failure:
            absent.append(subjects.Absent(folder.name, folder.name, {}, str(failure)))
    subjects.write_plan(output, found, absent, {}, {})
    return found


def default_subjects() -> list[subjects.Subject]:
    """What `ninja bench` and `ninja bench-threads` measure."""
    apps = {APPS / name: args for name, args in subjects.DEFAULT_APPS.items()}
    default = measured_set(subjects.DEFAULT, dict.fromkeys(folders_of(subjects.WORKLOADS)) | apps)
    threads = measured_set(subjects.THREADS, dict.fromkeys(folders_of(subjects.PARALLEL)))
    return [*default, *threads]


def self_test_subjects() -> list[subjects.Subject]:
    """What the tests of tests/bench measure."""
    manifests_there = [read_manifest(folder) for folder in folders_of(subjects.SELF_TESTS) if folder.name == subjects.SELF_TEST]
    return [subjects.make_subject(found, Choices(), subjects.DEFAULT / found.name) for found in manifests_there]


def remembered_subjects(memory: Memory) -> list[subjects.Subject]:
    """What --bench and --sweep were asked for before, as far as it is still there."""
    found = []
    for output, entry in memory.measured.items():
        try:
            image = image_of(Path(entry["folder"]), Choices(**entry["choices"]))
            usable(image)
            found.append(subjects.make_subject(image.manifest, image.choices, Path(output), entry["cell"]))
        except (Failure, KeyError, TypeError):
            continue
    return found


def dependencies(images: list[Image]) -> list[Path]:
    """Every file and folder whose change must run configure.py again."""
    found = [Path("configure.py"), *(Path(f"images/{name}.py") for name in TOOLS), APPS, *TEST_IMAGES]
    found += [folder / "app.toml" for folder in folders_of(APPS, *TEST_IMAGES)]
    found += PROGRAM_LISTS
    for image in images:
        found += [image.manifest.path, *([image.manifest.program_path] if image.manifest.program else [])]
        found += manifests.packed_folders(image.manifest)
    return [path for path in dict.fromkeys(found) if path.exists()]


def write_graph(memory: Memory, current: Image) -> None:
    """Everything ninja reads, for the current image and all others."""
    graph.check_sources()
    tests = graph.Tests()
    host_programs(tests)
    images, tested = known_images(memory, current), test_images(tests)
    chosen = [*default_subjects(), *self_test_subjects(), *remembered_subjects(memory)]
    everything = [*images, *tested, *(image for subject in chosen for image in subject.images)]
    for image in everything:
        write_generated(image)
    graph.write_targets(current, images, tested, chosen, tests)
    graph.write_depfile(dependencies(everything))


def configure(image: Image, memory: Memory) -> None:
    need_packages({**packages.BASE, **image.packages()}, word_of(image))
    if not image.manifest.bare:
        check_not_taken(image.manifest.folder)
    usable(image)
    memory.remember(image)
    write_graph(memory, image)
    memory.save()


def linked_with(image: Image) -> str:
    if image.manifest.program:
        return "an existing program"
    if image.malloc == allocators.default_of(image.libc):
        return image.libc
    return f"{image.libc} with {'its own malloc' if image.malloc == 'libc' else image.malloc}"


def report(image: Image, next_step: str, stream: TextIO) -> None:
    expected, current = expected_plan(image)
    for item in idle_patterns(image.manifest.folder, image.manifest.files):
        print(f"configure.py: files: {item} leaves out nothing: no name in the image matches {item[1:]}", file=sys.stderr)
    cpus = "1 CPU" if image.choices.cpus == 1 else f"{image.choices.cpus} CPUs"
    print(plan.render(expected), file=stream)
    if image.manifest.program and elf.read_program(image.manifest.program_path).executable_stack:
        print(f"configure.py: {image.manifest.program_path} asks for a stack that can be executed: "
              "its stack will not be executable", file=sys.stderr)  # fmt: skip
    print(
        f"{paint(f'Configured {image.name}', '1;32', stream)}: {linked_with(image)}, {image.variant}, "
        f"{format_size(image.ram)} of RAM, {cpus}, pages up to {image.pages}. {next_step}".rstrip(),
        file=stream,
    )


def current_image(memory: Memory) -> Image:
    entry = memory.images.get(memory.current)
    if not entry:
        raise Failure("nothing is configured; type   ./configure.py --setup hello")
    return image_again(entry)


def again() -> None:
    """As configured last; for ninja, quietly."""
    memory = Memory.load()
    configure(current_image(memory), memory)


def build(image: Image, targets: list[Path]) -> None:
    if subprocess.run([require("ninja"), "--quiet", *targets], stdout=sys.stderr, check=False).returncode:
        full = shutil.disk_usage(graph.BUILD).free < DISK_LEAST
        raise Failure(f"{image.name} was not built, " + ("the disk that has build/ is full" if full else "ninja says why"))


def run(image: Image, arguments: list[str] | None) -> NoReturn:
    """
    Builds the image and becomes its launcher: nobody stands between the program's exit status and the caller, as ninja
    does, and standard output is the program's alone. arguments: of the program, instead of the configured ones.
    """
    sys.stdout.flush()
    build(image, image.booted)
    command = ["images/qemu.py", "run", "--config", str(image.folder / "run.json")]
    os.execv(sys.executable, [sys.executable, *command, *(["--", *arguments] if arguments is not None else [])])


def describe_image(image: Image, launchers: list[str]) -> None:
    for path in describe.write_all(qemu.load_config(image.folder / "run.json"), launchers, image.folder / "launch"):
        print(f"Wrote {path}", file=sys.stderr)


def boot_chart(image: Image) -> NoReturn:
    """Builds the image and becomes what draws its boot: by Debian's Python, which has Debian's matplotlib."""
    sys.stdout.flush()
    build(image, [*image.booted, image.output(".debug"), graph.PHASES_PLUGIN])
    os.execv("images/boot_chart.py", ["images/boot_chart.py", "--config", str(image.folder / "run.json")])


def measure(image: Image, options: argparse.Namespace) -> NoReturn:
    """--bench and --sweep: builds the variants of an image and becomes what measures them."""
    axes = subjects.parse_axes(options.sweep or [])
    folder = (subjects.APPS if options.bench else subjects.SWEEPS) / image.name
    found, absent, entries = [], [], {}
    for cell in subjects.cells(axes):
        try:
            variant = image_of(image.manifest.folder, subjects.with_cell(image.choices, axes, cell))
            need_packages(variant.packages(), word_of(variant))
            usable(variant)
        except Failure as failure:
            absent.append(subjects.Absent(image.name, subjects.label(image.name, cell), cell, str(failure)))
            continue
        output = subjects.cell_folder(folder, cell)
        found.append(subjects.make_subject(variant.manifest, variant.choices, output, cell))
        entries[str(output)] = {"folder": str(variant.manifest.folder), "choices": vars(variant.choices), "cell": cell}
    memory = Memory.load()
    memory.measured = {name: entry for name, entry in memory.measured.items() if Path(name).parent != folder} | entries
    configure(image, memory)
    plan_file = subjects.write_plan(folder, found, absent, axes, subjects.default_cell(image, axes))
    command = [sys.executable, "tests/bench/bench.py", "--plan", str(plan_file)]
    command += ["--sweep"] if not options.bench else []
    command += ["--turns", str(options.turns)] if options.turns is not None else []
    sys.stdout.flush()
    os.execv(sys.executable, command)


def chosen(options: argparse.Namespace) -> Choices:
    line = options.cmdline or ""
    if "\n" in line:
        raise Failure("--cmdline must be one line")
    core_line(["quire.exit=debug", *core_words("--cmdline", line)])
    names = ("program", "files", "libc", "malloc", "inline", "ram", "pages", "machine", "firmware", "attach", "args", "cpus", "trust_virgin_ram",
             "accelerator", "debug", "stats", "timeline", "profile", "formats", "compress")  # fmt: skip
    return Choices(**{name: getattr(options, name) for name in names}, cmdline=line, env=dict(options.env))


def find_program(word: str, caller: Path) -> str:
    """The absolute path of --program: of a word without '/' that is no file here, the program in PATH."""
    if not word:
        raise Failure("--program: the name of the file is empty")
    path = Path(os.path.abspath(caller / word))
    if "/" not in word and not path.exists() and shutil.which(word):
        path = Path(shutil.which(word))
    check_path(path)
    if not path.exists():
        raise Failure(f"--program: there is no file {word}")
    return str(path)


def find_tree(item: str, caller: Path) -> str:
    """--files as an item of a manifest's files: an absolute path, and its name in the image."""
    if item.startswith("!"):
        return item
    host, colon, target = item.rpartition(":")
    if not (host if colon else item):
        raise Failure(f"--files {item!r}: the name of the file or folder is empty: HOST, HOST:TARGET or !PATTERN")
    path = Path(os.path.abspath(caller / (host if colon else item)))
    if not path.exists():
        raise Failure(f"--files {item}: there is no file or folder {host if colon else item}")
    return f"{path}:{target if colon else '/' if path.is_dir() else path.name}"


def path_named(option: str, name: str | None) -> Path | None:
    """None: the option was not given. An empty name is what a variable leaves that is not set: it does not mean that."""
    if name == "":
        raise Failure(f"{option}: the name of the file is empty")
    return None if name is None else Path(name)


def inspect_image(options: argparse.Namespace) -> int:
    try:
        print(inspection.inspect(Path(options.inspect), path_named("--key", options.key)), end="")
    except Altered as failure:
        print(f"{paint('configure.py:', '1;31', sys.stderr)} {failure}", file=sys.stderr)
        return 1
    return 0


def sign_image(options: argparse.Namespace) -> int:
    key = path_named("--key", options.key)
    if key is None:
        raise Failure("--sign: with which key? --key FILE; ssh-keygen -t ed25519 makes one")
    inspection.check(Path(options.sign))
    print(f"Wrote {signature.sign(Path(options.sign), key)}")
    return 0


def repack_image(options: argparse.Namespace) -> int:
    if options.arg_words is not None and options.args is not None:
        raise Failure("--args and words after -- are the same: give one of them")
    arguments = options.args
    if options.arg_words is not None:
        try:
            arguments = shlex.split(options.arg_words)
        except ValueError as error:
            raise Failure(f"--args: {error}: {options.arg_words}") from None
    files = expand(ROOT, [find_tree(item, Path.cwd()) for item in options.files])
    changes = repack.Changes(options.cmdline, dict(options.env), arguments, files)
    path = Path(options.repack)
    output = path_named("--output", options.output) or path
    signatures = signature.of_file(output)
    write_output(output, repack.repacked(path, output, changes))
    for file in signatures:  # they were of what the file held before
        file.unlink(missing_ok=True)
    print(f"Wrote {output}")
    return 0


# What is done with an image that is there, instead of configuring, and the options that belong to it.
WITH_IMAGES: dict[str, tuple[Callable[[argparse.Namespace], int], set[str]]] = {
    "inspect": (inspect_image, {"key"}),
    "sign": (sign_image, {"key"}),
    "repack": (repack_image, {"args", "arg_words", "env", "cmdline", "files", "output"}),
}


def with_image(name: str, options: argparse.Namespace) -> int:
    action, own = WITH_IMAGES[name]
    if not getattr(options, name):
        raise Failure(f"--{name}: of which image? its name is empty")
    if options.app:
        raise Failure(f"--{name} works on an image that is there: leave out {options.app}")
    default = vars(parse([]))
    odd = next((key for key, value in vars(options).items() if key not in own | {name} and value != default[key]), None)
    if odd is not None:
        raise Failure(f"{option_of(odd)} has no meaning with --{name}, which takes an image that is there")
    return action(options)


def check_options(options: argparse.Namespace) -> None:
    if options.program is not None and options.app:
        raise Failure(f"--program takes the place of an application: leave out {options.app}")
    if (options.bench or options.sweep) and (options.run or (options.app is None and options.program is None)):
        raise Failure("--bench and --sweep measure one application: ./configure.py APP --bench   (ninja bench: the default set)")
    if options.describe and (options.bench or options.sweep or (options.app is None and options.program is None)):
        raise Failure("--describe describes one application: ./configure.py APP --describe all   (ninja launchers: what is configured)")
    if options.boot_chart and (options.run or options.bench or options.sweep or (options.app is None and options.program is None)):
        raise Failure("--boot-chart draws the boot of one application: ./configure.py APP --boot-chart")
    if options.turns is not None and not (options.bench or options.sweep):
        raise Failure("--turns belongs to --bench or --sweep")
    if options.program is not None and options.libc:
        raise Failure("--libc has no meaning with --program, which is linked already")
    if options.harden_heap:
        if options.malloc not in (None, "heap", manifests.HARDENED):
            raise Failure(f"--harden-heap: there is no hardened {options.malloc}: leave out --malloc")
        options.malloc = manifests.HARDENED
    if options.program is not None and options.malloc:
        word = "--harden-heap" if options.harden_heap else "--malloc"
        raise Failure(f"{word} has no meaning with --program, which is linked already")
    if options.program is not None and options.inline is not None:
        raise Failure("--inline has no meaning with --program, which is compiled already")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    for name in WITH_IMAGES:
        if getattr(options, name) is not None:
            return with_image(name, options)
    if options.arg_words is not None or options.output is not None or options.key is not None:
        raise Failure("--args, --output and --key belong to --repack, --sign and --inspect")
    caller = Path.cwd()
    os.chdir(ROOT)
    if options.again:
        again()
        return 0
    if options.list:
        list_apps()
        return 0
    if options.new is not None:
        new_app(options.new, caller)
        return 0
    check_options(options)
    if options.program is not None:
        options.program = find_program(options.program, caller)
    options.files = [find_tree(item, caller) for item in options.files]
    folder = find_app(options.app, caller) if options.app else Path() if options.program else None
    if options.setup:
        setup(folder if options.app else None, chosen(options))
    elif folder is None and not options.run:
        raise Failure("which application? type   ./configure.py --setup hello   (--list shows all, --help the options)")
    if folder is not None:
        image = image_of(folder, chosen(options))
        if options.bench or options.sweep:
            measure(image, options)
        configure(image, Memory.load())
        if options.describe:
            describe_image(image, options.describe)
        if options.boot_chart:
            boot_chart(image)
        if options.run:
            report(image, "", sys.stderr)
            run(image, None)
        report(image, "Next: ninja run", sys.stdout)
    elif options.run:
        if chosen(options) != Choices(args=options.args):
            raise Failure("--run: these options need an application: ./configure.py --run APP [options]")
        run(current_image(Memory.load()), options.args)
    return 0


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(f"{paint('configure.py:', '1;31', sys.stderr)} {failure}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read this has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # of a file that is not written by write_output: a full disk, most likely
        place = error.filename or f"build/ or {os.environ.get('TMPDIR', '/tmp')}"
        print(f"configure.py: {place}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
