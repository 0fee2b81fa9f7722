"""
Application manifests: apps/NAME/app.toml, checked strictly. docs/application.md describes the keys for users.

Every error is one line `FILE:LINE: KEY: what is allowed`. tomllib does not report lines of keys, so the line is found by
scanning the text for the key under its table header.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Callable

from allocators import ALLOCATORS, why_not
from archive import Pair, collect, expand, split_item
from calls import Interface
from debian_source import Source
from machines import MACHINES
from report import RAM_LEAST, RAM_MOST, RAM_RANGE, SIZE_HELP, format_size, parse_size
from tool import Failure

COMPILERS = ("clang", "gcc")
LIBCS = ("musl", "glibc", "none")
MALLOCS = tuple(ALLOCATORS)
PAGES = ("4k", "2m", "1g")
CACHES = ("uc", "wc", "wt", "wb")
CXX_SUFFIXES = (".cc", ".cpp", ".cxx")
SOURCE_SUFFIXES = (".c", ".S", *CXX_SUFFIXES)
PAGE = 4096
TIMELINE_LEAST, TIMELINE_MOST = 100_000, 3600 * 10**9
PROFILE_MOST = 10_000
NAME = re.compile(r"(?=.{1,32}\Z)[a-z](-?[a-z0-9])*")  # a name in DNS and in XML comments as well (images/describe.py)
# An existing program is started as Linux starts the first one; its stack is what people are used to.
PROGRAM_ENVIRONMENT = {"HOME": "/", "TERM": "linux"}
PROGRAM_MEMORY = {"ram": 256 << 20, "stack": 8 << 20}
NOT_WITH_PROGRAM = ("sources", "compiler", "libc", "malloc", "harden_heap", "inline", "libraries", "include", "cflags", "ldflags", "calls")
HARDENED = "hardened"  # what harden_heap stands for
# Names that ninja targets, folders of build/ and of the project have already.
RESERVED = set("all apps arch bench bench-boot bench-heap bench-threads clean configure core debug docs fuzz images launchers limits linux measure report reproduce run sources sweep test tests unit vm".split())
# And those that test images and workloads have, which are no targets by themselves.
TARGETS = RESERVED | {"matrix", "stress"}


@dataclass(frozen=True)
class Window:
    name: str
    size: int
    cache: str = "uc"
    description: str = ""


@dataclass(frozen=True)
class Manifest:
    folder: Path
    name: str
    summary: str
    version: str = ""
    sources: list[str] = field(default_factory=list)
    program: str = ""  # an existing static program instead of sources; also the first of `files`
    bare: bool = False  # there is no app.toml: made for --program
    source: Source | None = None
    libc: str = "musl"
    malloc: str | None = None  # that of the C library (allocators.py)
    inline: bool = True  # what the allocator can do without a call is done so
    calls: str | list[str] | None = None  # "all", parts, or what the program can make
    compiler: str = "clang"
    packages: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    cflags: list[str] = field(default_factory=list)
    ldflags: list[str] = field(default_factory=list)
    ram: int = 64 << 20
    stack: int = 256 << 10
    heap: int = 0
    pages: str = "2m"
    windows: list[Window] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    machine: str = "q35"
    stats: bool = False
    timeline: int = 0  # ns between two samples; 0: none
    profile: int = 0  # samples a second; 0: none

    @property
    def is_cxx(self) -> bool:
        debian = self.source.sources if self.source else []
        return any(source.endswith(CXX_SUFFIXES) for source in (*self.sources, *debian))

    @property
    def has_files(self) -> bool:
        return bool(self.files or (self.source and self.source.files))

    @property
    def path(self) -> Path:
        """Where it is written what is built."""
        return self.program_path if self.bare else self.folder / "app.toml"

    @property
    def program_path(self) -> Path:
        return self.folder / self.program

    @property
    def program_name(self) -> str:
        """Of the existing program in the image, where it lies in the root."""
        return PurePosixPath(self.program).name


def packed_files(manifest: Manifest) -> list[Pair]:
    """What both `files` stand for: a path on the host and a name in the image for every file, link and folder."""
    debian = expand(manifest.source.tree, manifest.source.files) if manifest.source else []
    return [*expand(manifest.folder, manifest.files), *debian]


def missing_files(manifest: Manifest) -> list[str]:
    """Items of `files` from the root of this machine that are not there: a package may still bring them."""
    return [item for item in manifest.files if item.startswith("/") and not Path(split_item(item)[0]).exists()]


def packed_folders(manifest: Manifest) -> list[Path]:
    """Folders in which a new file would be packed."""
    roots = [manifest.folder / split_item(item)[0] for item in manifest.files if not item.startswith("!")]
    folders = [path for path, _ in packed_files(manifest) if path.is_dir() and not path.is_symlink()]
    return list(dict.fromkeys([*(path for path in roots if path.is_dir()), *folders]))


# A check returns the value to keep, or raises ValueError with what is allowed.
Check = Callable[[Any], Any]


def is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def text(value: Any) -> str:
    if not is_text(value):
        raise ValueError("a string")
    return value


def line(value: Any) -> str:
    if not is_text(value) or not value or "\n" in value:
        raise ValueError("a string of one line")
    return value


def texts(value: Any) -> list[str]:
    if not is_texts(value):
        raise ValueError("a list of strings")
    return value


def words(value: Any) -> list[str]:
    if not is_texts(value) or not all(value):
        raise ValueError("a list of strings that are not empty")
    return value


def names(value: Any) -> list[str]:
    if not is_texts(value) or not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", item) for item in value):
        raise ValueError("a list of names (letters, digits, + . _ -)")
    return value


def libraries(value: Any) -> list[str]:
    if not is_texts(value) or not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*|/[^\n]+\.a", item) for item in value):
        raise ValueError("a list of names (letters, digits, + . _ -), or of paths of .a files from the root of this machine")
    return value


def is_inside(path: str) -> bool:
    return path != "" and not path.startswith("/") and ".." not in path.split("/") and "\n" not in path


def inside(value: Any) -> list[str]:
    if not is_texts(value) or not all(map(is_inside, value)):
        raise ValueError("a list of paths inside the application's folder")
    return value


def packed(value: Any) -> list[str]:
    parts = [item.lstrip("!/").split(":")[0] for item in words(value)]
    if not all(is_inside(part) or not part for part in parts):
        raise ValueError('a list of paths inside the application\'s folder or from the root of this machine, "HOST:TARGET", "!PATTERN"')
    return value


def program(value: Any) -> str:
    if not is_text(value) or not value or value.endswith("/") or not is_inside(value.removeprefix("/")):
        raise ValueError("the path of a static program in the application's folder or from the root of this machine")
    return value


def package(value: Any) -> str:
    if not is_text(value) or not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", value):
        raise ValueError("the name of a Debian source package")
    return value


def sources(value: Any) -> list[str]:
    if not inside(value) or not all(item.endswith(SOURCE_SUFFIXES) for item in value):
        raise ValueError(f"a list of at least one source file ({' or '.join(SOURCE_SUFFIXES)})")
    if len(set(value)) < len(value):
        raise ValueError("a list of source files, each listed once")
    return value


def calls(value: Any) -> str | list[str]:
    parts = [part.name for part in Interface.read().parts]
    if value != "all" and not (is_texts(value) and set(value) <= set(parts)):
        raise ValueError(f'"all" or a list of parts, {", ".join(parts)}: what is linked of the system calls')
    return value


def environment(value: Any) -> dict[str, str]:
    good = isinstance(value, dict) and all(
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and is_text(item) for name, item in value.items()
    )
    if not good:
        raise ValueError('a table of strings: env = { NAME = "value" }')
    return value


def size(value: Any) -> int:
    try:
        return parse_size(value)
    except (TypeError, ValueError):
        raise ValueError(SIZE_HELP) from None


def size_of(what: str, unit: int, least: int, most: float = float("inf")) -> Check:
    """A size of whole units."""

    def check(value: Any) -> int:
        try:
            result = parse_size(value)
        except (TypeError, ValueError):
            result = 0
        if not least <= result <= most or result % unit:
            raise ValueError(f"{SIZE_HELP}: {what}")
        return result

    return check


pages_of = size_of("whole 4K pages, more than 0", PAGE, PAGE)
ram = size_of(f"whole MiB, {RAM_RANGE}", 1 << 20, RAM_LEAST, RAM_MOST)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def duration(value: Any) -> int:
    """Nanoseconds between two samples of a timeline."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})(us|ms|s)", value) if isinstance(value, str) else None
    result = int(match[1]) * {"us": 1000, "ms": 1000000, "s": 1000000000}[match[2]] if match else 0
    if not TIMELINE_LEAST <= result <= TIMELINE_MOST:
        raise ValueError('a time such as "10ms", "1s" or "500us", at least 100us and at most 3600s')
    return result


def rate(value: Any) -> int:
    """Samples of a profile in a second."""
    if type(value) is not int or not 1 <= value <= PROFILE_MOST:
        raise ValueError(f"a number from 1 to {PROFILE_MOST}: samples a second")
    return value


def one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return value

    return check


TOP: dict[str, Check] = {
    "summary": line,
    "version": line,
    "libc": one_of(*LIBCS),
    "malloc": one_of(*MALLOCS),
    "harden_heap": flag,
    "inline": flag,
    "calls": calls,
    "compiler": one_of(*COMPILERS),
    "sources": sources,
    "program": program,
    "packages": names,
    "include": inside,
    "libraries": libraries,
    "files": packed,
    "args": texts,
    "env": environment,
    "cflags": words,
    "ldflags": words,
}
MEMORY: dict[str, Check] = {"ram": ram, "stack": pages_of, "pages": one_of(*PAGES), "heap": size}
WINDOW: dict[str, Check] = {"name": line, "size": pages_of, "cache": one_of(*CACHES), "description": text}
SOURCE: dict[str, Check] = {
    "package": package,
    "sources": sources,
    "exclude": inside,
    "include": inside,
    "commands": words,
    "files": packed,
}
QEMU: dict[str, Check] = {"devices": words, "machine": one_of(*MACHINES)}
OBSERVE: dict[str, Check] = {"stats": flag, "timeline": duration, "profile": rate}
TABLES = ("source", "memory", "qemu", "window", "observe")


def find_line(content: str, table: str, number: int, key: str) -> int:
    """Where the key of the table's number-th occurrence stands; else the table's line; else 1."""
    current, seen, best = "", {"": 1}, 1
    for index, row in enumerate(content.splitlines(), 1):
        header = re.match(r"\s*\[{1,2}\s*([\w.-]+)\s*\]{1,2}", row)
        if header:
            current = header[1]
            seen[current] = seen.get(current, 0) + 1
        here = current == table and seen[current] == number
        if here and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", row):
            return index
        inline = current == "" and re.match(rf"\s*{re.escape(table)}\s*[=.]", row) if table else False
        if (header and (here or (table == "" and current == key))) or inline:
            best = index
    return best


class Reader:
    """One manifest's text and the folder it describes, while it is checked."""

    def __init__(self, folder: Path, shown: Path):
        self.shown = shown
        self.folder = folder
        try:
            self.content = (folder / "app.toml").read_text()
            self.data = tomllib.loads(self.content)
        except OSError as error:
            raise Failure(f"{shown}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Failure(f"{shown}:1: not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            where = re.search(r"at line (\d+)", str(error))
            number = int(where[1]) if where else self.content.count("\n") + 1
            raise Failure(f"{shown}:{number}: not valid TOML: {error}") from None

    def refuse(self, key: str, message: str, table: str = "", number: int = 1) -> Failure:
        where = find_line(self.content, table, number, key)
        shown = f"{table}.{key}" if table else key
        return Failure(f"{self.shown}:{where}: {shown}: {message}")

    def check(self, data: Any, schema: dict[str, Check], required: tuple[str, ...], table: str = "", number: int = 1):
        result = {}
        for key, value in data.items():
            if table == "" and key in TABLES:
                continue
            if key not in schema:
                allowed = [*schema, *(f"[{name}]" for name in TABLES if table == "")]
                close = difflib.get_close_matches(key, schema, 1)
                hint = f"did you mean {close[0]}? " if close else ""
                raise self.refuse(key, f"unknown key; {hint}allowed are {', '.join(allowed)}", table, number)
            try:
                result[key] = schema[key](value)
            except ValueError as allowed:
                raise self.refuse(key, f"must be {allowed}", table, number) from None
        for key in required:
            if key not in result:
                raise self.refuse(key, "missing; every manifest must give it", table, number)
        return result

    def table(self, name: str, schema: dict[str, Check], required: tuple[str, ...] = ()) -> dict[str, Any]:
        data = self.data.get(name, {})
        if not isinstance(data, dict):
            raise self.refuse(name, f"must be a table: [{name}]")
        return self.check(data, schema, required if name in self.data else (), name)

    def source(self) -> Source | None:
        keys = self.table("source", SOURCE, ("package", "sources"))
        return Source(**keys) if keys else None

    def windows(self) -> list[Window]:
        data = self.data.get("window", [])
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise self.refuse("window", "must be a list of tables: [[window]]")
        return [
            Window(**self.check(item, WINDOW, ("name", "size"), "window", number)) for number, item in enumerate(data, 1)
        ]

    def check_files(self, manifest: Manifest) -> None:
        own = [item for item in manifest.files if not item.startswith("!") and not item.startswith("/")]
        if manifest.program:
            own = own if manifest.program.startswith("/") else own[1:]
            if not manifest.program.startswith("/") and not manifest.program_path.exists():
                raise self.refuse("program", f"there is no file {manifest.program} in {self.shown.parent}")
        for key, wanted in (("sources", manifest.sources), ("files", own), ("include", manifest.include)):
            for item in wanted:
                path = self.folder / (split_item(item)[0] if key == "files" else item)
                found = path.is_dir() if key == "include" else path.is_file() if key == "sources" else path.exists()
                if not found:
                    kind = "folder" if key == "include" else "file"
                    raise self.refuse(key, f"there is no {kind} {item} in {self.shown.parent}")
        absent = missing_files(manifest)
        try:
            collect(expand(self.folder, [item for item in manifest.files if item not in absent]), self.folder)
        except Failure as failure:
            raise self.refuse("files", str(failure)) from None

    def check_libc(self, manifest: Manifest) -> None:
        if manifest.libc != "glibc" and manifest.is_cxx:
            raise self.refuse("sources" if manifest.sources else "source", 'C++ needs libc = "glibc": Debian\'s C++ library is built for that')
        if manifest.libc == "none" and manifest.libraries:
            raise self.refuse("libraries", 'must be empty with libc = "none": Debian\'s archives need a libc')
        if manifest.malloc and (why := why_not(manifest.malloc, manifest.libc)):
            raise self.refuse("malloc", f'"{manifest.malloc}" {why}')
        if manifest.stack + manifest.heap > manifest.ram:
            needed = format_size(manifest.stack + manifest.heap)
            raise self.refuse("ram", f"stack and heap alone need {needed}", "memory")


def program_keys(top: dict[str, Any]) -> dict[str, Any]:
    """The keys of a manifest with an existing program, with what they imply."""
    name = PurePosixPath(top["program"]).name
    files = [f"{top['program']}:{name}", *top.get("files", [])]
    return {**top, "libc": "none", "files": files, "env": PROGRAM_ENVIRONMENT | top.get("env", {})}


def bare_program(path: Path, taken: list[str]) -> Manifest:
    """What --program stands for. The name is made from the file's; taken: names that others have."""
    name = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")
    name = (name if name[:1].isalpha() else f"program-{name}")[:24].strip("-")
    if name in TARGETS or name in taken or name.endswith("-debug"):
        name += "-program"
    top = program_keys({"program": path.name, "summary": f"the existing program {path.name}"})
    return Manifest(folder=path.parent, name=name, bare=True, **top, **PROGRAM_MEMORY)


def read_manifest(folder: Path, shown: Path | None = None) -> Manifest:
    """Reads and checks folder/app.toml; `shown` is its path in messages. The application is named after its folder."""
    reader = Reader(folder, shown or folder / "app.toml")
    name = folder.resolve().name
    if not NAME.fullmatch(name) or name in RESERVED or name.endswith("-debug"):
        raise Failure(
            f"{reader.shown.parent}: an application is named after its folder, and {name!r} cannot be a name: "
            f"use lower-case letters, digits and single '-' between them, beginning with a letter, and none of {', '.join(sorted(RESERVED))}"
        )
    top = reader.check(reader.data, TOP, ("summary",) if {"program", "source"} & set(reader.data) else ("summary", "sources"))
    memory = reader.table("memory", MEMORY)
    if "program" in top:
        for key in set(NOT_WITH_PROGRAM) & set(top):
            raise reader.refuse(key, "has no meaning with program, which is linked already")
        if "source" in reader.data:
            raise reader.refuse("source", "has no meaning with program, which is linked already")
        top, memory = program_keys(top), PROGRAM_MEMORY | memory
    if top.pop("harden_heap", False):
        if top.get("malloc", HARDENED) not in ("heap", HARDENED):
            raise reader.refuse("harden_heap", f'there is no hardened {top["malloc"]}: leave out malloc')
        top["malloc"] = HARDENED
    manifest = Manifest(
        folder=folder,
        name=name,
        source=reader.source(),
        windows=reader.windows(),
        **top,
        **memory,
        **reader.table("qemu", QEMU),
        **reader.table("observe", OBSERVE),
    )
    reader.check_files(manifest)
    reader.check_libc(manifest)
    return manifest
