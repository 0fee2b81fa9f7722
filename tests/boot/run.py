#!/usr/bin/env python3
"""Boots images in QEMU and compares what they print and how they end with the table tests.toml.

    tests/boot/run.py [--list] [--jobs N] [WORD...]     all tests, or those whose names hold one of the words

A line for each test: "ok NAME (1.2 s)", or "FAIL NAME: why" with the end of the output. The last line counts. The
images are applications of apps/ or of tests/boot/images/, with the options of their manifests; ninja builds them
first, all in one call. Keys of the table:

    name        of the test                        image      name of the application
    routes      machines and ways to boot (see ROUTES): a test for each; ["q35"] if not given
    memory      RAM, such as "64M"; the plan's if not given
    append      words for the core                 arguments  instead of the manifest's
    input       text typed on the console          cpu        QEMU's -cpu
    cpus        virtual CPUs, each a thread of the host's; the manifest's if not given
    repeat      how many times it is typed         stall      seconds in which nobody reads the output
    damage      what happens to the packed files before the boot (see DAMAGE)
    status      expected exit status, 0 to 255     timeout    seconds
    output      regular expressions that match, each behind the one before ("^" and "$" at lines)
    forbidden   regular expressions that match nowhere
    native      true: the program is also compiled for this host, and must print and return the same there
    program     a source of tests/boot/linux: compiled to a static program, which is packed instead of the image's own and
                runs on this host as well, the same file, and must print and return the same there
    alone       true: not on this host, where it could do harm
    icount      true: an instruction takes a nanosecond
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "images"))

import archive  # noqa: E402
import machines  # noqa: E402

TABLE = Path(__file__).with_name("tests.toml")
IMAGES = ROOT / "build" / "test"  # where configure.py puts the images that are built for tests
PROGRAMS = Path(__file__).with_name("linux")
LAUNCHER = ROOT / "images" / "qemu.py"
DEFAULT_TIMEOUT = 30
TAIL_LINES = 25

# Arguments of the launcher: short names, and every cell of the matrix (images/machines.py) as FIRMWARE-MACHINE-ATTACHMENT.
# Those by UEFI need Debian's package ovmf; without it their tests fail.
ROUTES = {
    "q35": ["--machine", "q35"],
    "microvm": ["--machine", "microvm"],
    "pc": ["--machine", "pc"],
    "iso": ["--iso", "--machine", "q35"],
    "disk": ["--disk", "--machine", "q35"],
    "uefi": ["--iso", "--machine", "q35", "--firmware", "uefi"],
    "uefi-disk": ["--disk", "--machine", "q35", "--firmware", "uefi"],
    **{
        f"{boot.firmware}-{boot.machine}-{boot.attach}": ["--attach", boot.attach, "--machine", boot.machine, "--firmware", boot.firmware]
        for boot in machines.every_boot()
    },
}


def flip_byte(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """The same length, where the bytes are first; what is not there cannot be damaged."""

    def damage(data: bytes) -> bytes:
        if len(old) != len(new) or old not in data:
            raise BadTable(f"the packed files hold no {old!r} to damage")
        return data.replace(old, new, 1)

    return damage


def sealed(damage: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The same, with the checksum of what it has become: what else is looked at has to tell."""
    return lambda data: archive.sealed(damage(data)[: -archive.SEAL_SIZE])


# What can be wrong with the module that holds the packed files; None: no module at all.
DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "last byte gone": lambda data: data[:-1],
    "wrong magic": sealed(lambda data: flip_byte(data, 5)),
    "wrong name length": sealed(lambda data: data[:94] + b"ffffffff" + data[102:]),
    "not hexadecimal": sealed(lambda data: data[:54] + b"g" + data[55:]),
    "another version": sealed(replaced(b"quire-files 3", b"quire-files 9")),
    "wrong count": sealed(replaced(b"\nentries 8", b"\nentries 9")),
    "wrong kind": sealed(replaced(b"00000005000081a4", b"0000000500001180")),
    "wrong size": sealed(replaced(b"000000070000000000000000000000000000000000000018", b"0fffffff0000000000000000000000000000000000000018")),
    "name out of the root": sealed(replaced(b"data/deep/er/bottom", b"data/deep/../bottom")),
    "file as a folder": sealed(replaced(b"data/hello.txt", b"data/empty/txt")),
    "wrong order": sealed(replaced(b"etc/motd", b"aaa/motd")),
    "no trailer": sealed(replaced(b"TRAILER!!!", b"TRAILER!!?")),
    "wrong name": replaced(b"etc/motd", b"etc/mote"),
    "wrong checksum": lambda data: data[:-2] + (b"1" if data[-2:-1] == b"0" else b"0") + b"\n",
    "no checksum": lambda data: flip_byte(data, len(data) - archive.SEAL_SIZE),
    "contents moved": lambda data: data[:-4096] + data[-2048:-1024] + data[-4096:-2048] + data[-1024:],
    "wrong contents": lambda data: flip_byte(data, data.rindex(b"hello from a file")),
    "program corrupt": lambda data: flip_byte(data, data.rindex(b"\x7fELF") + 5000),
    "program renamed": sealed(lambda data: data.replace(b"busybox\0", b"busybux\0", 1)),
}

KEYS: dict[str, type] = {
    "name": str, "image": str, "routes": list, "memory": str, "append": str, "arguments": list, "input": str,
    "cpu": str, "stall": int, "damage": str, "status": int, "timeout": int, "output": list, "forbidden": list,
    "native": bool, "cpus": int, "repeat": int, "program": str, "alone": bool, "icount": bool,
}  # fmt: skip


class Test(NamedTuple):
    name: str
    image: str
    route: str
    status: int
    memory: str = ""
    append: str = ""
    arguments: tuple[str, ...] | None = None
    input: str = ""
    repeat: int = 1
    cpu: str = ""
    cpus: int = 0
    stall: int = 0
    damage: str = ""
    timeout: int = DEFAULT_TIMEOUT
    output: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    native: bool = False
    program: str = ""
    alone: bool = False
    icount: bool = False


class Result(NamedTuple):
    test: Test
    problem: str  # empty: passed
    seconds: float
    output: str


class BadTable(Exception):
    """The table is wrong: the message says where."""


def check_keys(where: str, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if key not in KEYS:
            raise BadTable(f"{where}: unknown key '{key}'; there are {', '.join(KEYS)}")
        if type(value) is not KEYS[key]:
            raise BadTable(f"{where}: '{key}' is not of type {KEYS[key].__name__}")
    for key in ("name", "image", "status"):
        if key not in values:
            raise BadTable(f"{where}: '{key}' is missing")
    if "damage" in values and values["damage"] not in DAMAGE:
        raise BadTable(f"{where}: damage is one of {', '.join(DAMAGE)}")
    for route in values.get("routes", []):
        if route not in ROUTES:
            raise BadTable(f"{where}: unknown route '{route}'; there are {', '.join(ROUTES)}")


def load_tests() -> list[Test]:
    """The table, a test for each route."""
    tests = []
    for number, values in enumerate(tomllib.loads(TABLE.read_text())["test"], start=1):
        check_keys(f"{TABLE.name}, test {number} ({values.get('name', '?')})", values)
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        routes = fields.pop("routes", ("q35",))
        for route in routes:
            suffix = f"@{route}" if len(routes) > 1 else ""
            tests.append(Test(**fields | {"name": fields["name"] + suffix, "route": route}))
    names = [test.name for test in tests]
    for name in names:
        if names.count(name) > 1:
            raise BadTable(f"{TABLE.name}: two tests named '{name}'")
    return tests


def build(tests: list[Test]) -> None:
    """Builds everything that the tests boot, in one call."""
    targets: dict[str, None] = {}
    for test in tests:
        config_file = IMAGES / test.image / "run.json"
        if not config_file.is_file():
            where = config_file.relative_to(ROOT)
            raise BadTable(f"there is no {where}: ./configure.py hello (is {test.image} an application?)")
        config = json.loads(config_file.read_text())
        uses_iso = ROUTES[test.route][0] in ("--iso", "--disk", "--attach")
        wanted = [config["iso"]] if uses_iso else [config["elf"], config["files"]]
        targets.update((target, None) for target in wanted if target)
    if subprocess.run(["ninja", "--quiet", *targets], cwd=ROOT, check=False).returncode != 0:
        raise BadTable("ninja failed, nothing was booted")


def damaged_config(test: Test, config: Path, folder: Path) -> Path:
    """A description of the same image with other packed files."""
    values = json.loads(config.read_text())
    data = DAMAGE[test.damage]((ROOT / values["files"]).read_bytes())
    values["files"] = None
    if data is not None:
        (folder / "files").write_bytes(data)
        values["files"] = str(folder / "files")
    (folder / "run.json").write_text(json.dumps(values))
    return folder / "run.json"


def compile_program(test: Test, folder: Path) -> Path:
    """A static program of this host's C library."""
    source, program = PROGRAMS / test.program, folder / "program"
    compiler = ["clang++", "-std=gnu++17"] if source.suffix == ".cpp" else ["clang", "-std=gnu11"]
    command = [*compiler, "-O1", "-w", "-static", "-I", str(ROOT), str(source), "-o", str(program)]
    subprocess.run([*command, "-lm"], check=True)
    return program


def program_config(test: Test, config: Path, folder: Path) -> Path:
    """A description of the same image with the test's program in the place of its own."""
    values = json.loads(config.read_text())
    own = Path(values["program"]["file"]).name
    packed = archive.pack(archive.collect([(compile_program(test, folder), own)]))
    (folder / "files").write_bytes(packed)
    (folder / "run.json").write_text(json.dumps(values | {"files": str(folder / "files")}))
    return folder / "run.json"


def launcher_command(test: Test, folder: Path) -> list[str]:
    config = IMAGES / test.image / "run.json"
    if test.program:
        config = program_config(test, config, folder)
    if test.damage:
        config = damaged_config(test, config, folder)
    command = [sys.executable, str(LAUNCHER), "run", "--config", str(config), "--timeout", str(test.timeout)]
    command += ROUTES[test.route]
    for option, value in (("--memory", test.memory), ("--append", test.append), ("--cpu", test.cpu)):
        if value:
            command += [option, value]
    command += ["--cpus", str(test.cpus)] if test.cpus else []
    command += ["--icount"] if test.icount else []
    return command + (["--", *test.arguments] if test.arguments is not None else [])


def find_difference(test: Test, status: int, output: str) -> str:
    """Why the run is not as expected, or nothing."""
    at = 0
    for pattern in test.output:
        match = re.compile(pattern, re.MULTILINE).search(output, at)
        if match is None:
            return f"no match for /{pattern}/" + (" behind the one before" if at else "") + f", exit status {status}"
        at = match.end()
    for pattern in test.forbidden:
        if re.search(pattern, output, re.MULTILINE):
            return f"forbidden output matches /{pattern}/"
    if status != test.status:
        return f"exit status {status}, not {test.status}"
    return ""


def compile_native(test: Test, folder: Path) -> Path:
    """The same source for this host; what lies in folders below is for the image alone."""
    folder_of_image = Path(__file__).with_name("images") / test.image
    sources = sorted(folder_of_image.glob("*.c*"))
    manifest = tomllib.loads((folder_of_image / "app.toml").read_text())
    gcc = manifest.get("compiler") == "gcc"
    compiler = ["gcc", "-std=gnu11"] if gcc else ["clang", "-std=gnu11"]
    if sources[0].suffix == ".cpp":
        compiler = ["g++" if gcc else "clang++", "-std=gnu++17"]
    command = [*compiler, "-O1", "-w", *manifest.get("cflags", []), "-I", str(ROOT)]
    command += [*map(str, sources), "-o", str(folder / "native"), "-lm"]
    subprocess.run(command, check=True)
    return folder / "native"


def compare_native(test: Test, folder: Path, status: int, output: str) -> str:
    """Runs the program on this host; why it differs, or nothing."""
    program = folder / "program" if test.program else compile_native(test, folder)
    done = subprocess.run([str(program), *(test.arguments or ())], input=test.input * test.repeat,
                          capture_output=True, text=True, timeout=test.timeout, check=False)  # fmt: skip
    if done.returncode != status:
        return f"exit status {status}, on Linux {done.returncode}"
    own = [row for row in output.splitlines() if not row.startswith("quire: system call ")]  # the core says what is ENOSYS
    for here, there in zip([*own, None], [*done.stdout.splitlines(), None], strict=False):
        if here != there:
            return f"prints {here!r} where Linux prints {there!r}"
    return ""


def boot(test: Test, folder: Path) -> tuple[int, str]:
    """Runs the launcher: its status and its output."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(launcher_command(test, folder), **streams) as launcher:
        time.sleep(test.stall)
        output, _ = launcher.communicate((test.input * test.repeat).encode())
    return launcher.returncode, output.decode(errors="replace").replace("\r\n", "\n")


def run_test(test: Test) -> Result:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quire-boot-") as name:
        folder = Path(name)
        status, output = boot(test, folder)
        problem = find_difference(test, status, output)
        if (test.native or (test.program and not test.alone)) and not problem:
            problem = compare_native(test, folder, status, output)
    return Result(test, problem, time.monotonic() - start, output)


def report(result: Result) -> None:
    if not result.problem:
        print(f"ok {result.test.name} ({result.seconds:.1f} s)", flush=True)
        return
    tail = result.output.splitlines()[-TAIL_LINES:]
    print(f"FAIL {result.test.name}: {result.problem}", *(f"    | {line}" for line in tail), sep="\n", flush=True)


def run_all(tests: list[Test], jobs: int) -> int:
    """Runs the tests; the number of those that failed."""
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(run_test, tests):
            report(result)
            failed += result.problem != ""
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Boots test images in QEMU.")
    parser.add_argument("--list", action="store_true", help="print the names of the tests")
    parser.add_argument("--jobs", type=int, default=2, help="machines that run at the same time")
    parser.add_argument("words", nargs="*", metavar="WORD", help="run tests whose names hold one of the words")
    options = parser.parse_args(arguments)
    try:
        tests = [test for test in load_tests() if not options.words or any(word in test.name for word in options.words)]
        if options.list:
            print(*(test.name for test in tests), sep="\n")
            return 0
        if not tests:
            raise BadTable(f"no test is named like {' or '.join(options.words)}")
        build(tests)
    except BadTable as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    return 1 if run_all(tests, options.jobs) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
