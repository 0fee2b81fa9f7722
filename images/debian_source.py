"""
Source packages of Debian: fetched at set-up, unpacked and patched as Debian does, compiled like an application's own files.

    build/sources/apt/                 lists of source packages, ours alone: apt's own files are not touched
    build/sources/PACKAGE/             what apt-get fetched and verified: the .dsc and what it names
    build/sources/PACKAGE/tree         unpacked; tree-XXXXXXXX where a manifest's commands have run in it too

Each folder gets its name when it is complete and is not changed after that, so that what is there is whole. Patterns in
a manifest's [source] are looked up in such a tree only; build/NAME/sources.txt records what they stand for.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import packages
from archive import split_item
from report import paint
from tool import Failure

FOLDER = Path("build/sources")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = {"dpkg-dev": "unpacks Debian's sources"}


@dataclass(frozen=True)
class Source:
    """A manifest's [source]; paths and patterns are relative to the package's tree."""

    package: str
    sources: list[str]
    exclude: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def download(self) -> Path:
        return FOLDER / self.package

    @property
    def tree(self) -> Path:
        if not self.commands:
            return self.download / "tree"
        digest = hashlib.sha256("\0".join(self.commands).encode()).hexdigest()
        return self.download / f"tree-{digest[:8]}"

    @property
    def fetched(self) -> bool:
        return self.tree.is_dir()


def version(source: Source) -> str | None:
    """Of the package that was fetched, as its .dsc says."""
    for path in source.download.glob("*.dsc"):
        found = re.search(r"^Version: (\S+)$", path.read_text(), re.MULTILINE)
        return found[1] if found else None
    return None


def matching(tree: Path, pattern: str) -> list[str]:
    """Files of the tree that a path or pattern (* in a name, ** for folders) stands for, in the order of their names."""
    return sorted(str(path.relative_to(tree)) for path in tree.glob(pattern) if path.is_file())


def listed(source: Source) -> list[str]:
    """Every source file, once. A pattern that names nothing is refused: it was written for another version."""
    found: dict[str, None] = {}
    left_out = set()
    for key, patterns in (("exclude", source.exclude), ("sources", source.sources)):
        for pattern in patterns:
            names = matching(source.tree, pattern)
            if not names:
                raise Failure(f"source.{key}: there is no file {pattern} in Debian's source of {source.package}")
            if key == "exclude":
                left_out.update(names)
            found |= dict.fromkeys(names)
    return [name for name in found if name not in left_out]


def check(source: Source) -> None:
    """Raises Failure for a name that the tree does not have."""
    listed(source)
    for key, names in (("include", source.include), ("files", [split_item(item)[0] for item in source.files if item[0] != "!"])):
        for name in names:
            if not (source.tree / name).exists() or (key == "include" and not (source.tree / name).is_dir()):
                kind = "folder" if key == "include" else "file"
                raise Failure(f"source.{key}: there is no {kind} {name} in Debian's source of {source.package}")


class Apt:
    """apt-get with a list of sources of its own: the configured Debian archives, deb-src instead of deb."""

    def __init__(self):
        self.folder = (FOLDER / "apt").absolute()
        self.updated = False
        self.options = [
            *("-o", f"Dir::Etc::SourceList={self.folder}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null"),
            *("-o", f"Dir::State::Lists={self.folder}/lists", "-o", f"Dir::Cache={self.folder}/cache"),
            *("-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Languages=none"),
        ]

    def fetch(self, source: Source) -> None:
        """Fetches, unpacks and prepares what is not there yet, showing apt-get's own progress."""
        if source.fetched:
            return
        print(paint(f"Fetching Debian's source of {source.package}:", "1"))
        if not source.download.is_dir():
            self.update()
            self.download(source)
        unpack(source)

    def update(self) -> None:
        if self.updated:
            return
        rows = self.archives()
        if not rows:  # apt-get knows whose an archive is from its lists, and they are not there on a fresh machine
            packages.update(packages.apt_get([]))
            rows = self.archives()
        if not rows:
            raise Failure("apt-get is configured with no archive of Debian: there is nothing to fetch sources from")
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "sources.list").write_text("".join(f"{row}\n" for row in rows))
        if self.run("update"):
            raise Failure("the lists of Debian's sources could not be fetched: apt-get's message is above; is there a network?")
        self.updated = True

    def archives(self) -> list[str]:
        """Lines for sources.list: what `apt-get install` takes Debian's packages from."""
        form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
        answer = subprocess.run(
            ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], capture_output=True, text=True, check=False
        )
        trusted = f"[signed-by={KEYRING}] " if KEYRING.is_file() else ""
        rows = (row.split("|") for row in answer.stdout.splitlines())
        return list(dict.fromkeys(f"deb-src {trusted}{uri} {suite} {part}" for who, uri, suite, part in rows if who == "Debian"))

    def download(self, source: Source) -> None:
        """The package's files, complete and verified, into its folder."""
        command = ["apt-get", *self.options, "source", "--print-uris", source.package]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise Failure(f"source.package: Debian has no source package {source.package}")
        partial = source.download.with_name(f"{source.package}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        # An archive that is just being updated may list a version whose files are gone: any other that it has will do.
        for version in ("", *(f"={version}" for version in self.versions(source.package))):
            if self.run("source", "--download-only", source.package + version, folder=partial) == 0:
                partial.rename(source.download)
                return
        raise Failure(f"apt-get could not fetch the source of {source.package}: its message is above")

    def versions(self, package: str) -> list[str]:
        command = ["apt-cache", *self.options, "showsrc", "--only-source", package]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return [row.split()[1] for row in answer.splitlines() if row.startswith("Version: ")]

    def run(self, *command: str, folder: Path = Path()) -> int:
        print(paint(f"$ apt-get {' '.join(command)}", "2"), flush=True)
        return subprocess.run(["apt-get", *self.options, *command], cwd=folder, check=False).returncode


def unpack(source: Source) -> None:
    """The tree, with Debian's patches, after the manifest's commands have run in it."""
    partial = source.tree.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    description = next(source.download.glob("*.dsc"))
    # The files are apt's, which has verified them; dpkg-source itself knows no keys and would say so in many lines.
    steps = [["dpkg-source", "--no-check", "-x", str(description), str(partial)]]
    steps += [["sh", "-ec", command] for command in source.commands]
    for number, step in enumerate(steps):
        folder, shown = (partial, step[-1]) if number else (Path(), f"dpkg-source -x {description}")
        print(paint(f"$ {shown}", "2"), flush=True)
        done = subprocess.run(step, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(done.stdout, end="", flush=True)
            raise Failure(f"source.package: {source.package}: `{shown}` ended with {done.returncode}: its message is above")
    partial.rename(source.tree)

