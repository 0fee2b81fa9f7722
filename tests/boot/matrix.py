#!/usr/bin/env python3
"""Boots one image in every way there is (`ninja matrix`): firmware, machine, attachment, format of the file.

    tests/boot/matrix.py [--jobs N] [--list] [WORD...]     all cells, or those whose names have all of the words

The ISO is attached in every way that images/machines.py allows. The other formats hold the same bytes, so each is booted
only as it is met outside (FORMATS). A sample with lua shows that files beside the image are loaded as well. A line comes
for each cell as it ends, then a table, then what failed with the end of what it printed; the status is 1 if anything
did. A cell works if all is printed that the image prints, and the status is 0.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Iterable, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "images"))

import disk  # noqa: E402
import machines  # noqa: E402
import ova  # noqa: E402
from machines import Boot  # noqa: E402
from tool import Failure, run_main  # noqa: E402

IMAGES = ROOT / "build/test"
LAUNCHER = ROOT / "images/qemu.py"
TIMEOUT = 120
MEMORY = 64 << 20
TAIL_LINES = 15

# What each image prints.
EXPECTED = {
    "hello": re.compile(r"Hello, world\.\nargv\[0\] = hello\nargv\[1\] = world\nenviron: GREETING=Hello\nenviron: LANG=C\.UTF-8\n"),
    "lua": re.compile(r"(?s).*\nall +more than 3 million allocations\n"),
}


class Format(NamedTuple):
    """boots: as it is met outside; member: of an archive, how the name of the file in it ends that is attached."""

    name: str
    boots: tuple[Boot, ...]
    member: str = ""


FORMATS = [
    Format("raw", (Boot("pc", "bios", "virtio-blk"), Boot("q35", "uefi", "nvme"))),
    Format("qcow2", (Boot("q35", "bios", "virtio-scsi"), Boot("q35", "uefi", "virtio-blk"))),
    Format("vhd", (Boot("pc", "bios", "ide"), Boot("q35", "uefi", "virtio-scsi"))),
    Format("vhdx", (Boot("pc", "bios", "ide"), Boot("q35", "uefi", "virtio-scsi"))),
    Format("vmdk", (Boot("pc", "bios", "lsi-sas"), Boot("pc", "bios", "pvscsi"), Boot("q35", "uefi", "sata"))),
    Format("ova", (Boot("pc", "bios", "lsi-sas"), Boot("q35", "uefi", "sata")), ".vmdk"),
    Format("gce", (Boot("q35", "bios", "virtio-scsi"), Boot("q35", "uefi", "nvme")), ".raw"),
]  # fmt: skip
SAMPLE = [Boot("q35", "bios", "cd"), Boot("pc", "bios", "ide"), Boot("q35", "bios", "nvme"), Boot("q35", "uefi", "virtio-blk")]


class Cell(NamedTuple):
    image: str
    format: str
    boot: Boot

    @property
    def words(self) -> list[str]:
        return [self.image, self.format, *self.boot]


class Result(NamedTuple):
    cell: Cell
    problem: str  # empty: it works
    seconds: float
    output: str


def iso_file(image: str) -> Path:
    return IMAGES / image / f"{image}.iso"


def every_cell() -> list[Cell]:
    cells = [Cell("hello", "iso", boot) for boot in machines.every_boot()]
    cells += [Cell("hello", form.name, boot) for form in FORMATS for boot in form.boots]
    return cells + [Cell("lua", "iso", boot) for boot in SAMPLE]


# ---- files ----


def build(paths: Iterable[Path]) -> None:
    targets = [str(path.relative_to(ROOT)) for path in paths]
    if subprocess.run(["ninja", "--quiet", *targets], cwd=ROOT, check=False).returncode:
        raise Failure("ninja failed, nothing was booted")


def make_file(image: str, form: Format, folder: Path) -> Path:
    made = folder / f"{image}{disk.SUFFIXES[form.name]}"
    made.write_bytes(disk.make(form.name, iso_file(image).read_bytes(), ova.Machine(image, 1, MEMORY)))
    if not form.member:
        return made
    taken = disk.extracted(made, lambda name: name.endswith(form.member), folder)
    return taken.rename(folder / f"{image}-{form.name}{form.member}")


def make_files(cells: list[Cell], folder: Path) -> dict[tuple[str, str], Path]:
    """The file of each image and format."""
    images = {cell.image for cell in cells}
    build(iso_file(image) for image in images)
    files = {(image, "iso"): iso_file(image) for image in images}
    by_name = {form.name: form for form in FORMATS}
    for key in {(cell.image, cell.format) for cell in cells} - set(files):
        files[key] = make_file(key[0], by_name[key[1]], folder)
    return files


# ---- boots ----


def boot(cell: Cell, file: Path) -> Result:
    start = time.monotonic()
    command = [sys.executable, str(LAUNCHER), "run", "--config", str(IMAGES / cell.image / "run.json"), "--timeout", str(TIMEOUT)]
    command += ["--machine", cell.boot.machine, "--firmware", cell.boot.firmware, "--attach", cell.boot.attach, "--image", str(file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    output = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    problem = ""
    if done.returncode:
        problem = f"status {done.returncode}"
    elif not EXPECTED[cell.image].fullmatch(output):
        problem = "it printed something else"
    return Result(cell, problem, time.monotonic() - start, output + done.stderr.decode(errors="replace"))


def boot_all(cells: list[Cell], files: dict[tuple[str, str], Path], jobs: int) -> list[Result]:
    results = []
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(boot, cell, files[cell.image, cell.format]) for cell in cells]
        for ended in as_completed(waiting):
            result = ended.result()
            results.append(result)
            verdict = f"FAIL: {result.problem}" if result.problem else "ok"
            print(f"[{len(results)}/{len(cells)}] {' '.join(result.cell.words)}: {verdict} ({result.seconds:.1f} s)", flush=True)
    return results


def print_table(results: list[Result]) -> None:
    """A row for each image, format and attachment; a column for each machine and firmware: seconds to the end, or FAIL."""
    columns = sorted({(result.cell.boot.machine, result.cell.boot.firmware) for result in results})
    rows: dict[tuple[str, str, str], dict[tuple[str, str], str]] = {}
    for result in sorted(results, key=lambda result: (result.cell.image, result.cell.format != "iso")):
        cell = result.cell
        shown = "FAIL" if result.problem else f"{result.seconds:.1f} s"
        rows.setdefault((cell.image, cell.format, cell.boot.attach), {})[cell.boot.machine, cell.boot.firmware] = shown
    print("\n" + f"{'image':<8}{'format':<8}{'attached as':<20}" + "".join(f"{' '.join(column):>12}" for column in columns))
    for key, found in rows.items():
        print(f"{key[0]:<8}{key[1]:<8}{key[2]:<20}" + "".join(f"{found.get(column, '-'):>12}" for column in columns))


def print_failures(results: list[Result]) -> None:
    for result in results:
        if result.problem:
            print(f"\nFAIL {' '.join(result.cell.words)}: {result.problem}")
            print(*(f"    | {line}" for line in result.output.splitlines()[-TAIL_LINES:]), sep="\n")


def jobs_option(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 to 99")
    return int(text)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Boots hello, and sometimes lua, in every way there is.")
    parser.add_argument("--jobs", type=jobs_option, default=2, help="machines that run at the same time")
    parser.add_argument("--list", action="store_true", help="the names of the cells")
    parser.add_argument("words", nargs="*", metavar="WORD", help="image, format, machine, firmware or attachment")
    options = parser.parse_args(arguments)
    cells = [cell for cell in every_cell() if set(options.words) <= set(cell.words)]
    if not cells:
        raise Failure(f"no cell has {' and '.join(options.words)}; --list shows all")
    if options.list:
        print(*(" ".join(cell.words) for cell in cells), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="quire-matrix-") as name:
        results = boot_all(cells, make_files(cells, Path(name)), options.jobs)
    print_table(results)
    print_failures(results)
    failed = sum(bool(result.problem) for result in results)
    print(f"\n{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    run_main("matrix.py", main)
