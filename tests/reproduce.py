#!/usr/bin/env python3
"""
Builds every application and test image a second time, in another folder, and compares what users get with the first
build, byte by byte. `ninja reproduce` calls it when the first build is done; it takes as long as that did.

    tests/reproduce.py [WORD...]     all, or those whose names hold one of the words

A line for each image; the last one counts. The status is 1 if any differs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "build/test"
SUFFIXES = (".elf", ".files", ".iso")


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-20:]
        sys.exit("\n".join(["tests/reproduce.py: the second build failed:", *last]))


def copy_project(folder: Path) -> None:
    """What git knows, as it is now, and Debian's sources, which are fetched."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    if (ROOT / "build/sources").is_dir():
        (folder / "build").mkdir()
        shutil.copytree(ROOT / "build/sources", folder / "build/sources", symlinks=True)


def difference(first: Path, second: Path) -> str:
    """Why two images are not the same; empty if they are."""
    for suffix in SUFFIXES:
        one, two = first.with_suffix(suffix), second.with_suffix(suffix)
        if one.exists() != two.exists():
            return f"only one of them has {one.name}"
        if one.exists() and one.read_bytes() != two.read_bytes():
            return f"{one.name} differs"
    return ""


def main(words: list[str]) -> int:
    names = sorted(path.parent.name for path in IMAGES.glob("*/run.json"))
    names = [name for name in names if not words or any(word in name for word in words)]
    if not names:
        sys.exit("tests/reproduce.py: there are no images of these names; type   ./configure.py hello")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="quire-elsewhere-") as folder:
        copy = Path(folder, "another", "quire")
        copy.mkdir(parents=True)
        copy_project(copy)
        targets = [f"build/test/{name}/{name}.iso" for name in names]
        run(ROOT, "ninja", "--quiet", *targets)
        run(copy, "./configure.py", "hello")
        run(copy, "ninja", "--quiet", *targets)
        for name in names:
            why = difference(IMAGES / name / name, copy / "build/test" / name / name)
            failed += bool(why)
            print(f"FAIL {name}: {why}" if why else f"ok {name}", flush=True)
    print(f"{len(names) - failed} identical, {failed} different")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
