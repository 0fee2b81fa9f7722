"""
What is measured: images that are built for it, the same programs for Linux beside them, and the description of both that
tests/bench/bench.py reads.

    build/bench/NAME/               an image of the default set, which records what it measures (core/observe/measure.c)
    build/bench/NAME-timeline/      the same that also samples its memory over time
    build/bench/plan.json           the subjects of the default set
    build/bench-threads/            the same of workloads with threads
    build/measure/NAME/             an application that was measured by --bench, its variants below
    build/sweep/NAME/               or by --sweep

Objects do not depend on what is chosen when an image is linked, so all these images share those in build/test/.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, NamedTuple

import manifest as manifests
from allocators import ALLOCATORS, why_not
from image import LIBRARIES, Choices, Image
from manifest import Manifest, packed_files
from report import write_if_changed
from tool import Failure

BUILD = Path("build")
DEFAULT, THREADS, APPS = BUILD / "bench", BUILD / "bench-threads", BUILD / "measure"
SWEEPS = BUILD / "sweep"
PLAN = "plan.json"
WORKLOADS, PARALLEL = Path("tests/bench/workloads"), Path("tests/bench/parallel")
SELF_TESTS, SELF_TEST = Path("tests/bench/images"), "outcomes"  # what the tests of tests/bench measure
# Of apps/, and their arguments; None: those of the manifest.
DEFAULT_APPS = {"lua": ["scripts/trees.lua"], "sqlite": None, "python": None, "redis": ["test", "sds"]}
TIMELINE = "-timeline"
INTERVAL_NS = 10_000_000
CELLS_MAX = 64


@dataclass(frozen=True)
class Axis:
    """One choice of an image that --sweep varies."""

    choice: str  # of Choices
    check: Callable[[str], object]  # the value of a word; ValueError with what is allowed


def cpus(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", text) or int(text) > 64:
        raise ValueError("a number from 1 to 64")
    return int(text)


Axes = dict[str, dict[str, object]]  # for each axis the words that the user typed, and their values
AXES = {
    "pages": Axis("pages", manifests.one_of(*manifests.PAGES)),
    "malloc": Axis("malloc", manifests.one_of(*manifests.MALLOCS)),
    "libc": Axis("libc", manifests.one_of(*manifests.LIBCS)),
    "ram": Axis("ram", manifests.ram),
    "cpus": Axis("cpus", cpus),
}


def label(name: str, cell: dict[str, str]) -> str:
    return " ".join([name, *(f"{axis}={word}" for axis, word in cell.items())])


@dataclass(frozen=True)
class Subject:
    """One thing that is measured. cell: the word of each axis, as the user typed it."""

    image: Image
    traced: Image
    natives: dict[str, Image]  # what Linux runs, by allocator; only their programs are linked
    cell: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> tuple[Image, Image]:
        return self.image, self.traced

    @property
    def label(self) -> str:
        return label(self.image.name, self.cell)

    def description(self) -> dict:
        image, manifest = self.image, self.image.manifest
        arguments = manifest.args if image.choices.args is None else image.choices.args
        natives = {malloc: str(native.output(".native")) for malloc, native in self.natives.items()}
        if manifest.program:
            natives = {"its own allocator": str(manifest.program_path)}
        return {
            "workload": image.name,
            "label": self.label,
            "cell": self.cell,
            "libc": image.libc,
            "malloc": image.malloc,
            "pages": image.pages,
            "ram": image.ram,
            "machine": image.choices.machine or manifest.machine,
            "config": str(image.folder / "run.json"),
            "traced": str(self.traced.folder / "run.json"),
            "natives": natives,
            "missing": missing_rivals(self),
            "targets": [*targets(image), *([] if manifest.program else natives.values())],
            "traced_targets": targets(self.traced),
            "arguments": arguments,
            "environment": manifest.env,
            "files": [[str(path), target] for path, target in packed_files(manifest)],
        }


def targets(image: Image) -> list[str]:
    suffixes = [".elf", *([".files"] if image.manifest.has_files else [])]
    return [str(image.output(suffix)) for suffix in suffixes]


def objects_folder(manifest: Manifest, choices: Choices) -> Path:
    """Where the program's objects are: those of the tests, where they are compiled alike."""
    libc = "" if choices.libc in (None, manifest.libc) else f"-{choices.libc}"
    return BUILD / "test" / f"{manifest.name}{libc}{'-debug' if choices.debug else ''}"


def make_subject(manifest: Manifest, choices: Choices, folder: Path, cell: dict[str, str] | None = None) -> Subject:
    shared = objects_folder(manifest, choices)
    plain = dataclasses.replace(choices, measure=True, stats=False, timeline=0, profile=0)
    traced = dataclasses.replace(plain, timeline=INTERVAL_NS)
    image = Image(manifest, plain, folder, shared=shared)
    return Subject(
        image,
        Image(manifest, traced, folder.with_name(folder.name + TIMELINE), shared=shared),
        native_images(image),
        cell or {},
    )


def native_images(image: Image) -> dict[str, Image]:
    """What Linux runs, by allocator: the image's own; for those of this project, which are not there, every other one."""
    if image.manifest.program or image.libc == "none":
        return {}
    if not image.allocator.native:
        return {image.malloc: image}
    others = [name for name, other in ALLOCATORS.items() if not other.native and not why_not(name, image.libc)]
    variants = {name: dataclasses.replace(image.choices, malloc=name) for name in others}
    natives = {
        name: Image(image.manifest, choices, image.folder.with_name(f"{image.folder.name}-{name}"), shared=image.shared)
        for name, choices in variants.items()
    }
    return {name: native for name, native in natives.items() if is_there(native)}


def is_there(image: Image) -> bool:
    """True if what its allocator needs has been installed and fetched."""
    library = image.allocator.library
    return all(source.fetched for source in image.debian_sources) and (not library or (LIBRARIES / f"lib{library}.a").is_file())


def missing_rivals(subject: Subject) -> list[str]:
    """Allocators that Linux should run the program with, and that are not there."""
    image = subject.image
    if image.manifest.program or image.libc == "none" or not image.allocator.native:
        return []
    return [name for name, other in ALLOCATORS.items() if not other.native and not why_not(name, image.libc) and name not in subject.natives]


def parse_axes(words: list[str]) -> Axes:
    """AXIS=WORD,WORD... for each axis."""
    axes: Axes = {}
    for item in words:
        name, equals, listed = item.partition("=")
        if not equals or name not in AXES:
            raise Failure(f"--sweep {item}: write AXIS=VALUE,VALUE..., where AXIS is one of {', '.join(AXES)}")
        if name in axes:
            raise Failure(f"--sweep {item}: {name} is there twice; write all its values in one list")
        axes[name] = {}
        for word in listed.split(","):
            try:
                value = AXES[name].check(word)
            except ValueError as allowed:
                raise Failure(f"--sweep {name}={word}: must be {allowed}") from None
            if word in axes[name] or value in axes[name].values():
                raise Failure(f"--sweep {item}: {word} is there twice")
            axes[name][word] = value
    return axes


def cells(axes: Axes) -> list[dict[str, str]]:
    """Every combination, in the order of the words."""
    combined = [dict(zip(axes, words, strict=True)) for words in itertools.product(*axes.values())]
    if len(combined) > CELLS_MAX:
        raise Failure(f"--sweep: these are {len(combined)} combinations; at most {CELLS_MAX} are measured at once")
    return combined


def default_cell(image: Image, axes: Axes) -> dict[str, str]:
    """The words that stand for what the image has without them."""
    own = {axis: getattr(image, AXES[axis].choice, getattr(image.choices, AXES[axis].choice)) for axis in axes}
    return {axis: word for axis, words in axes.items() for word, value in words.items() if value == own[axis]}


def with_cell(choices: Choices, axes: Axes, cell: dict[str, str]) -> Choices:
    return dataclasses.replace(choices, **{AXES[axis].choice: axes[axis][word] for axis, word in cell.items()})


def cell_folder(folder: Path, cell: dict[str, str]) -> Path:
    return folder / ("-".join(f"{axis}-{word.lower()}" for axis, word in cell.items()) or "image")


class Absent(NamedTuple):
    """A subject that cannot be built, and why."""

    name: str
    label: str
    cell: dict[str, str]
    why: str


def write_plan(folder: Path, found: list[Subject], absent: list[Absent], axes: Axes, default: dict[str, str]) -> Path:
    """axes: those that are swept; default: the words that stand for what the application itself says, of axes that have one."""
    plan = {
        "axes": {axis: list(words) for axis, words in axes.items()},
        "subjects": [subject.description() for subject in found],
        "absent": [item._asdict() for item in absent],
        "default": default,
    }
    write_if_changed(folder / PLAN, json.dumps(plan, indent=1) + "\n")
    return folder / PLAN
