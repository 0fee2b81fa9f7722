"""Writes build/targets.ninja: what is built, by the rules of build.ninja."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import debian_source
import disk
import sources
from archive import collect, packed_size
from image import LIBRARIES, Image, archive_path, include_folders, source_files
from manifest import CXX_SUFFIXES, packed_files
from report import format_size, write_if_changed
from subjects import Subject
from tool import Failure

BUILD = Path("build")
TARGETS = BUILD / "targets.ninja"
# Written last. Ninja removes what a command that is interrupted was to make, and without the targets it knows nothing.
CONFIGURED = BUILD / "configured"
HOT_MODES = {"release": "-O2 -fno-unroll-loops", "debug": "-O1 -DQUIRE_DEBUG=1"}
LARGE_MODES = {"release": f"{HOT_MODES['release']} -mllvm -inline-threshold=100", "debug": HOT_MODES["debug"]}
SMALLER_MODES = {"release": "-Os", "debug": HOT_MODES["debug"]}
MODES = {"release": "-Oz -fno-jump-tables", "debug": "-O1 -DQUIRE_DEBUG=1"}
APP_MODES = {"release": "-O2", "debug": "-O1"}
MUSL = Path("/usr/lib/x86_64-linux-musl")
MUSL_HEADERS = "-nostdinc -isystem /usr/include/x86_64-linux-musl"
FREESTANDING = "-ffreestanding -nostdinc -fno-stack-protector"
# What begins the command by compiler and libc; the compiler's own headers come last.
COMPILERS = {
    "clang": {
        "musl": f"$clang --target=x86_64-linux-musl {MUSL_HEADERS} -isystem $clang_include",
        "glibc": "$clang --target=x86_64-linux-gnu -isystem $clang_include",
        "none": f"$clang --target=x86_64-linux-gnu {FREESTANDING} -isystem $clang_include",
    },
    "gcc": {
        "musl": f"gcc {MUSL_HEADERS} -isystem $gcc_include",
        "glibc": "gcc",
        "none": f"gcc {FREESTANDING} -isystem $gcc_include",
    },
}
LANGUAGE_C = "-std=gnu11"
LANGUAGE_CXX = "-xc++ -std=gnu++17"
CALL_TOOLS = ("images/calls.py", "images/disassembly.py", "images/tool.py")
FONT_TOOLS = ("images/font.py", "images/tool.py")
LIMIT_IMAGES = ("hello", "micro", "heap-costs", "heap-day", "system-calls", "frames", "faults", "mapping-calls")  # what tests/bench/limits.py boots
ISO_TOOLS = ("images/iso.py", "images/fat.py", "images/description.py", "images/tool.py")
DISK_TOOLS = ("images/disk.py", "images/gpt.py", "images/machines.py", "images/ova.py")
GUEST_INIT = BUILD / "linux/init"  # of the Linux guest, tests/bench/guest.py
GUEST_SOURCE = "tests/bench/guest/init.c"
LINES_PLUGIN = BUILD / "bench-threads/lines.so"  # of QEMU, tests/bench/lines.py
PHASES_PLUGIN, PHASES_SOURCE = BUILD / "boot-chart/phases.so", "images/plugin/phases.c"  # of QEMU, images/boot_chart.py
LINES_SOURCE = "tests/bench/lines/lines.c"
PACK_ALONE = 256 << 20  # bytes from which on packing has the terminal, to show how far it is
UNIT_SANITIZE = "-fsanitize=address,undefined"
# By the end of a program's name: for its objects' folder, and what they are compiled with.
UNIT_VARIANTS = {
    "_tsan": "-fsanitize=thread",  # CPUs are threads of the host
    "_one": f"{UNIT_SANITIZE} -UQUIRE_THREADS -DQUIRE_THREADS=0",  # the core for programs without threads
}
FUZZ_SANITIZE = "-fsanitize=fuzzer,address,undefined"


@dataclass
class Toolchain:
    """Paths that clang alone knows."""

    include: str
    gcc_include: str  # empty without gcc
    glibc: dict[str, str]

    @staticmethod
    def find() -> Toolchain:
        ask = lambda *arguments: subprocess.run(  # noqa: E731
            ["clang", *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
        names = ("crt1.o", "crti.o", "crtbeginS.o", "crtendS.o", "crtn.o", "libc.a", "libm.a", "libgcc.a", "libgcc_eh.a",
                 "libstdc++.a")
        gcc = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True) if shutil.which("gcc") else None
        return Toolchain(ask("-print-resource-dir") + "/include", gcc.stdout.strip() if gcc else "", {n: ask(f"-print-file-name={n}") for n in names})


@dataclass
class Tests:
    """What `ninja test` runs; also written to build/tests.json for tests/run.py."""

    programs: dict[str, list[str]] = field(default_factory=dict)
    fuzzers: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # name: why it cannot be built; each is a failed test


def escape(path) -> str:
    """A path in a build line."""
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def value(text: str) -> str:
    """A variable's value."""
    return text.replace("$", "$$")


def shell(*parts) -> str:
    return value(" ".join(shlex.quote(str(part)) for part in parts))


def shell_words(words) -> str:
    return shell(*words)


class Writer:
    def __init__(self):
        self.rows = ["# Written by configure.py.", ""]
        self.made: set[str] = set()

    def set(self, name: str, text: str) -> None:
        self.rows.append(f"{name} = {text}")

    def edge(self, outputs, rule: str, inputs=(), implicit=(), **variables: str) -> None:
        """One build statement; a second one for the same output is left out, so that images can share objects."""
        outputs = [outputs] if isinstance(outputs, (str, Path)) else outputs
        if str(outputs[0]) in self.made:
            return
        self.made.update(map(str, outputs))
        more = f" | {' '.join(map(escape, implicit))}" if implicit else ""
        self.rows.append(f"build {' '.join(map(escape, outputs))}: {rule} {' '.join(map(escape, inputs))}{more}".rstrip())
        self.rows += [f"  {name} = {text}" for name, text in variables.items() if text]


def core_folder(variant: str, threads: bool) -> Path:
    return BUILD / "core" / (f"{variant}-threads" if threads else variant)


def core_modes(source: str, threads: bool) -> dict[str, str]:
    """By what a source of the core is compiled."""
    if source not in sources.HOT or (not threads and source in sources.ALONE_SMALL):
        return MODES
    if not threads and source in sources.ALONE_SMALLER:
        return SMALLER_MODES
    return LARGE_MODES if source in sources.HOT_LARGE else HOT_MODES


def core_object(ninja: Writer, variant: str, threads: bool) -> Path:
    """The core, one relocatable object: the same for every application, but for whether its program can create threads."""
    folder = core_folder(variant, threads)
    objects = []
    for source in [*sources.CORE, *(sources.THREADS if threads else sources.ALONE)]:
        objects.append(folder / f"{source}.o")
        mode = core_modes(source, threads)[variant]
        ninja.edge(objects[-1], "cc_core", [source], mode=f"{mode} -DQUIRE_THREADS={threads:d}")
    font = BUILD / "core" / "font.c"
    ninja.edge(font, "font", [], FONT_TOOLS)
    objects.append(folder / "font.o")
    ninja.edge(objects[-1], "cc_core", [font], mode=MODES[variant])
    result = folder / "quire-core.o"
    renamed = BUILD / "core" / "calls.txt"
    ninja.edge(renamed, "call_symbols", [], [sources.CALLS, *CALL_TOOLS])
    ninja.edge(
        result,
        "link_core",
        objects,
        [sources.PUBLIC_SYMBOLS, renamed],
        public_symbols=sources.PUBLIC_SYMBOLS,
        calls=str(renamed),
    )
    return result


def calls_object(ninja: Writer, folder: Path, made: list[Path], options: list, inputs: list) -> Path:
    """The tables of system calls, made by images/calls.py with these options, which name what else it makes."""
    source = folder / "calls.S"
    ninja.edge([source, *made], "calls", [], [sources.CALLS, *CALL_TOOLS, *inputs], options=shell(*options), output=shell(source))
    ninja.edge(folder / "calls.o", "cc_core", [source])
    return folder / "calls.o"


def image_calls(ninja: Writer, image: Image, inputs: list, ldflags: str, script: Path, core: CoreChoice) -> Path:
    """
    The system calls of an image. inputs: of its link, without them. Without a libc the numbers could stand in any code,
    and packed files are there to be opened.
    """
    report = [image.calls_report, core.input, core.dependency]
    options = ["--need", "files"] if image.manifest.files else []
    options += ["--report", image.calls_report, *core.options]
    if image.manifest.calls is not None:
        parts = ["--parts", ",".join(image.manifest.calls)] if image.manifest.calls != "all" else []
        return calls_object(ninja, image.folder, report, [*options, *parts], [])
    if image.libc == "none":
        return calls_object(ninja, image.folder, report, options, [])
    every = calls_object(ninja, BUILD / "core", [], [], [])
    own = [core.plain, inputs[1], every]
    link_map = image.folder / "program.map"
    ninja.edge(link_map, "link_map", [*own, *inputs[2:]], [script], script=str(script), ldflags=ldflags)
    options += ["--map", link_map, "--ignore", *own]
    return calls_object(ninja, image.folder, report, options, [link_map])


@dataclass
class CoreChoice:
    """Which core an image is linked with is known with its calls: images/calls.py says it to the linker and to ninja."""

    plain: Path
    threads: Path
    input: Path  # of the links: a linker script that names the core
    dependency: Path  # of the links, as ninja's dyndep
    options: list

    @staticmethod
    def of(ninja: Writer, image: Image, links: list[Path]) -> CoreChoice:
        plain, threads = (core_object(ninja, image.variant, threads) for threads in (False, True))
        name, dependency = image.folder / "core.ld", image.folder / "core.dd"
        options = ["--cores", plain, threads, "--core", name, "--core-dependency", dependency, "--links", *links]
        return CoreChoice(plain, threads, name, dependency, options)


def link_script(ninja: Writer) -> Path:
    script = BUILD / "core" / "image.ld"
    ninja.edge(script, "link_script", [sources.IMAGE_SCRIPT])
    return script


def libc_archive(ninja: Writer, libc: str, variant: str) -> list[Path]:
    """What the project itself adds to a C library, as an archive, so that only what is used is linked."""
    if not sources.LIBC_SOURCES[libc]:
        return []
    folder = BUILD / "core" / variant / libc
    objects = []
    for source in sources.LIBC_SOURCES[libc]:
        objects.append(folder / f"{Path(source).name}.o")
        ninja.edge(
            objects[-1],
            "cc_app",
            [source],
            compiler=COMPILERS["clang"][libc],
            language=LANGUAGE_C,
            mode=APP_MODES[variant],
        )
    archive = folder / "libquire.a"
    ninja.edge(archive, "archive", objects)
    return [archive]


def app_objects(ninja: Writer, image: Image) -> list[Path]:
    flags = [*(f"-I{folder}" for folder in include_folders(image)), *image.manifest.cflags]
    inline = ["-include", image.inline_header] if image.inline_header else []
    objects = []
    for name, path in source_files(image).items():
        own = name in image.manifest.sources
        is_cxx = name.endswith(CXX_SUFFIXES)
        front = [*inline, *(["-fsized-deallocation"] if inline and is_cxx else [])]
        objects.append(image.objects / f"{name}.o")
        ninja.edge(
            objects[-1],
            "cc_app",
            [path],
            compiler=COMPILERS[image.manifest.compiler][image.libc],
            language=LANGUAGE_CXX if is_cxx else LANGUAGE_C,
            mode=APP_MODES[image.variant],
            app_flags=shell_words([*front, *([] if own else ["-w"]), *flags]),
        )
    return objects


def own_allocator(ninja: Writer, image: Image) -> list[Path]:
    """The project's own allocator: the sources of C++ are an archive that only programs in C++ get."""
    folder = BUILD / "core" / image.variant / image.libc
    archives = []
    for name, files in (("cxx", image.allocator.own_cxx if image.links_cxx else ()), ("c", image.allocator.own)):
        objects = []
        for source in files:
            objects.append(folder / f"{source}.o")
            if source.endswith(".S"):
                ninja.edge(objects[-1], "cc_core", [source])
                continue
            language = LANGUAGE_CXX if source.endswith(CXX_SUFFIXES) else LANGUAGE_C
            compiler = COMPILERS["clang"][image.libc]
            ninja.edge(objects[-1], "cc_app", [source], compiler=compiler, language=language, mode=APP_MODES[image.variant],
                       app_flags="-fno-builtin")  # fmt: skip
        if objects:
            archives.append(folder / f"lib{image.malloc}-{name}.a")
            ninja.edge(archives[-1], "archive", objects)
    return archives


def allocator_archive(ninja: Writer, image: Image) -> list[Path]:
    """The allocator in place of the C library's; one that is compiled is so once for all images (allocators.py)."""
    allocator = image.allocator
    if allocator.library:
        return [LIBRARIES / f"lib{allocator.library}.a"]
    if allocator.own:
        return own_allocator(ninja, image)
    if not allocator.source:
        return []
    folder = BUILD / "core" / image.variant / image.libc / (image.malloc + ("-cxx" if image.manifest.is_cxx else ""))
    flags = ["-w", *(f"-I{allocator.source.tree / name}" for name in allocator.source.include), *allocator.cflags]
    objects = []
    for name in debian_source.listed(allocator.source):
        objects.append(folder / f"{name}.o")
        ninja.edge(
            objects[-1],
            "cc_app",
            [allocator.source.tree / name],
            compiler=COMPILERS["clang"][image.libc],
            language=LANGUAGE_CXX if image.manifest.is_cxx else LANGUAGE_C,
            mode=APP_MODES[image.variant],
            app_flags=shell_words(flags),
        )
    archive = folder / f"lib{image.malloc}.a"
    ninja.edge(archive, "archive", objects)
    return [archive]


def program_ldflags(image: Image) -> list[str]:
    return [*image.allocator.link.get(image.libc, ()), *image.manifest.ldflags]


def program_inputs(ninja: Writer, image: Image, toolchain: Toolchain) -> list:
    """The program's part of the link line, in order: start files, objects, libraries, end files."""
    if image.manifest.program:
        return []  # it is one of the packed files
    libraries = allocator_archive(ninja, image)
    libraries += [archive_path(image, library) for library in image.manifest.libraries]
    libraries += libc_archive(ninja, image.libc, image.variant)
    objects = app_objects(ninja, image)
    if image.libc == "musl":
        return [MUSL / "crt1.o", MUSL / "crti.o", *objects, *libraries, MUSL / "libc.a", MUSL / "crtn.o"]
    if image.libc == "none":
        return [*objects, *libraries]
    glibc = toolchain.glibc
    start, end = ("crt1.o", "crti.o", "crtbeginS.o"), ("libm.a", "libc.a", "libgcc.a", "libgcc_eh.a", "crtendS.o", "crtn.o")
    if image.links_cxx:
        end = ("libstdc++.a", *end)
    return [*(glibc[name] for name in start), *objects, *libraries, *(glibc[name] for name in end)]


def files_archive(ninja: Writer, image: Image) -> list[Path]:
    packed = packed_files(image.manifest)
    if not packed:
        return []
    archive = image.output(".files")
    size = packed_size(collect(packed))
    hosts = [path for path, _ in packed if path.is_symlink() or not path.is_dir()]
    ninja.edge(
        archive,
        "pack",
        [],
        ["images/archive.py", *(path for path in hosts if path.exists())],
        files=value(json.dumps([(str(path), target) for path, target in packed])),
        what=value(f"{archive} ({len(hosts)} files, {format_size(size)})"),
        pool="console" if size >= PACK_ALONE else "",
    )
    return [archive]


def linked_program(ninja: Writer, image: Image, files: list[Path], toolchain: Toolchain) -> Path:
    """Both links and what lies between them; the result still has its debug information."""
    script = link_script(ninja)
    config, first, blob = image.folder / "config.o", image.output(".first"), image.folder / "symbols.bin"
    plan, options, names = image.folder / "plan.txt", image.folder / "plan.link", image.folder / "symbols.o"
    ninja.edge(config, "cc_core", [image.folder / "config.c"], mode=MODES[image.variant])
    result = image.output(".debug")
    core = CoreChoice.of(ninja, image, [first, result])
    inputs = [core.input, config, *program_inputs(ninja, image, toolchain)]
    # The core refers to _start weakly, and without a libc it lies in an archive.
    entry = [] if image.manifest.program else ["--undefined=_start"]
    ldflags = shell_words([*entry, *program_ldflags(image)])
    inputs.insert(2, image_calls(ninja, image, inputs, ldflags, script, core))
    no_plan = "--defsym=quire_plan_ram=0"
    ninja.edge(
        first,
        "link",
        inputs,
        [script, core.dependency],
        script=str(script),
        link_options=no_plan,
        ldflags=ldflags,
        dyndep=str(core.dependency),
    )
    program = [image.manifest.program_path] if image.manifest.program else []
    options_of_blob = shell("--program", *program) if program else ""
    ninja.edge(blob, "symbols", [first], ["images/symbols.py", *program], options=options_of_blob)
    ninja.edge(names, "symbols_object", [blob])
    ninja.edge(
        [plan, options],
        "plan",
        [],
        [first, blob, *files, image.folder / "plan.json", image.calls_report, "images/plan.py"],
        elf=shell(first),
        symbols=shell(blob),
        files_option=shell("--files", *files) if files else "",
        calls=shell(image.calls_report),
        settings=shell(image.folder / "plan.json"),
        text=shell(plan),
        link_options_file=shell(options),
    )
    ninja.edge(
        result,
        "link",
        [*inputs, names],
        [script, options, core.dependency],
        script=str(script),
        link_options="@" + shell(options),
        ldflags=ldflags,
        dyndep=str(core.dependency),
    )
    return result


def native_image(image: Image) -> Image:
    """The image with an allocator that Linux has."""
    native = image.allocator.native
    return replace(image, choices=replace(image.choices, malloc=native)) if native else image


def native_program(ninja: Writer, image: Image, toolchain: Toolchain) -> None:
    """The same sources and libraries as a program for Linux: what tests and the benchmark compare an image with."""
    if image.libc != "none":
        image = native_image(image)
        inputs = program_inputs(ninja, image, toolchain)
        ninja.edge(image.output(".native"), "link_native", inputs, ldflags=shell_words(program_ldflags(image)))


def image_edges(ninja: Writer, image: Image, toolchain: Toolchain) -> list[Path]:
    """All edges of one image; what a user asks for: the ELF file and the formats that were chosen."""
    files = files_archive(ninja, image)
    debug = linked_program(ninja, image, files, toolchain)
    elf, iso = image.output(".elf"), image.output(".iso")
    about = image.folder / "about.json"
    ninja.edge(elf, "strip", [debug])
    ninja.edge(
        iso,
        "iso",
        [],
        [elf, *files, about, image.calls_report, *ISO_TOOLS],
        elf=shell(elf),
        files_option=shell("--files", *files) if files else "",
        about=shell("--about", about, "--calls", image.calls_report, "--compress", image.choices.compress),
        label=shell(image.name),
    )
    return [elf, *format_edges(ninja, image, iso)]


def format_edges(ninja: Writer, image: Image, iso: Path) -> list[Path]:
    """What is made of the ISO; in the order in which the formats were chosen, the ISO itself among them."""
    machine = shell("--name", image.name, "--cpus", image.choices.cpus, "--memory", image.ram)
    outputs = [image.output(disk.SUFFIXES[kind]) for kind in image.choices.formats]
    for kind, output in zip(image.choices.formats, outputs, strict=True):
        if output != iso:
            ninja.edge(output, "disk", [iso], DISK_TOOLS, kind=kind, machine=machine)
    return outputs


def program_edges(ninja: Writer, folder: Path, programs: dict[str, list[str]], sanitize: str, libraries: str) -> list[Path]:
    """Test programs for the host; an object that several of them need is compiled once for each variant."""
    results = []
    for name, files in programs.items():
        variant = next((ending for ending in UNIT_VARIANTS if name.endswith(ending)), "")
        checks = UNIT_VARIANTS.get(variant, sanitize)
        objects = []
        for source in files:
            objects.append(folder / f"obj{variant}" / f"{source}.o")
            ninja.edge(objects[-1], "cc_host", [source], sanitize=checks.replace("fuzzer,", "fuzzer-no-link,"))
        results.append(folder / name)
        ninja.edge(results[-1], "link_host", objects, sanitize=checks, libraries=libraries)
    return results


def user_targets(ninja: Writer, current: Image) -> None:
    config = current.folder / "run.json"
    launch = shell("images/qemu.py", "run", "--config", config)
    # Debian 12's ninja ends with 1 whatever the program's status is, so it is said.
    tell = f'|| {{ status=$$?; echo "{current.name} ended with status $$status" >&2; exit $$status; }}'
    ninja.edge("run", "terminal", current.booted, [config], start=f"{launch} {tell}", what=f"run {current.name}")
    describe = shell("images/describe.py", "--config", config, "--output", current.folder / "launch")
    ninja.edge("launchers", "terminal", [*current.booted, current.output(".iso")], [config], start=describe, what=f"describe {current.name}")
    ninja.edge(PHASES_PLUGIN, "plugin", [PHASES_SOURCE])
    ninja.edge("debug", "terminal", current.booted, [config], start=f"{launch} --gdb", what=f"debug {current.name}")


def test_targets(ninja: Writer, tests: Tests, images: list[Path]) -> None:
    unit = program_edges(ninja, BUILD / "unit", tests.programs, UNIT_SANITIZE, "-lcmocka")
    fuzz = program_edges(ninja, BUILD / "fuzz", tests.fuzzers, FUZZ_SANITIZE, "")
    ninja.edge("test", "terminal", [*unit, *fuzz, *images], start="tests/run.py", what="test")
    ninja.edge("matrix", "terminal", start="tests/boot/matrix.py", what="matrix")
    ninja.edge("stress", "terminal", start="tests/stress.py", what="stress")
    ninja.edge("reproduce", "terminal", start="tests/reproduce.py", what="reproduce")
    ninja.edge("fuzz", "terminal", fuzz, start="tests/run.py --fuzz-seconds 600 fuzz", what="fuzz")
    suites = {"unit": list(tests.programs), "fuzz": list(tests.fuzzers), "left_out": tests.left_out}
    write_if_changed(BUILD / "tests.json", json.dumps(suites, indent=4) + "\n")


def guest_init(ninja: Writer) -> None:
    """The first program of the Linux guest that images are compared with."""
    made = f"{GUEST_INIT}.o"
    ninja.edge(made, "cc_app", [GUEST_SOURCE], compiler=COMPILERS["clang"]["musl"], language=LANGUAGE_C, mode=APP_MODES["release"])
    ninja.edge(GUEST_INIT, "link_native", [MUSL / "crt1.o", MUSL / "crti.o", made, MUSL / "libc.a", MUSL / "crtn.o"])


def bench_targets(ninja: Writer, tested: dict[str, list[Path]], measured: list[Subject], toolchain: Toolchain) -> None:
    """What tests/bench builds for itself when it is run, and the commands."""
    for subject in measured:
        for image in subject.images:
            image_edges(ninja, image, toolchain)
        for image in subject.natives.values():
            native_program(ninja, image, toolchain)
    guest_init(ninja)
    ninja.edge(LINES_PLUGIN, "plugin", [LINES_SOURCE])
    counted = [path for name in LIMIT_IMAGES for path in tested.get(name, [])]
    ninja.edge("bench", "terminal", start="tests/bench/bench.py", what="bench")
    ninja.edge("bench-boot", "terminal", start="tests/bench/boot.py", what="bench-boot")
    ninja.edge("bench-threads", "terminal", start="tests/bench/threads.py", what="bench-threads")
    ninja.edge("report", "terminal", start="/usr/bin/python3 tests/bench/report.py", what="report")
    ninja.edge("bench-heap", "terminal", start="tests/bench/heap/run.py", what="bench-heap")
    ninja.edge("limits", "terminal", counted, start="tests/bench/limits.py", what="limits")


def write_targets(
    current: Image, images: list[Image], test_images: list[Image], measured: list[Subject], tests: Tests
) -> None:
    """images: with targets of their own names, the current one among them; test_images: for `ninja test` only."""
    toolchain = Toolchain.find()
    ninja = Writer()
    ninja.set("clang", "clang")
    ninja.set("clang_include", toolchain.include)
    ninja.set("gcc_include", toolchain.gcc_include)
    for image in images:
        outputs = image_edges(ninja, image, toolchain)
        ninja.edge(image.folder.name, "phony", outputs)
        if image is current:
            ninja.edge("images", "phony", outputs[1:])
    tested = {image.name: image_edges(ninja, image, toolchain) for image in test_images}
    for image in test_images:
        native_program(ninja, image, toolchain)
    user_targets(ninja, current)
    test_targets(ninja, tests, [path for outputs in tested.values() for path in outputs])
    bench_targets(ninja, tested, measured, toolchain)
    ninja.edge(BUILD / "compile_commands.json", "compile_commands", [], [CONFIGURED])
    ninja.edge("all", "phony", [current.folder.name, BUILD / "compile_commands.json"])
    ninja.rows.append("default all")
    TARGETS.parent.mkdir(exist_ok=True)
    temporary = TARGETS.with_suffix(".new")
    temporary.write_text("\n".join(ninja.rows) + "\n")
    temporary.replace(TARGETS)


def write_depfile(inputs: list[Path]) -> None:
    """What configure.py has read: a change of any of it writes the graph again."""
    names = " ".join(re.sub(r"([\\ #])", r"\\\1", str(path)).replace("$", "$$") for path in inputs)
    (BUILD / "configure.d").write_text(f"{CONFIGURED}: {names}\n")
    CONFIGURED.write_bytes(b"")


def check_sources() -> None:
    lists = [sources.CORE, sources.THREADS, sources.ALONE, *sources.LIBC_SOURCES.values(), sources.HEAP_SOURCES, sources.HEAP_CXX_SOURCES, sources.HARDENED_SOURCES, [sources.IMAGE_SCRIPT, sources.PUBLIC_SYMBOLS]]
    for source in (item for group in lists for item in group):
        if not Path(source).is_file():
            raise Failure(f"images/sources.py lists {source}, which is not there")
