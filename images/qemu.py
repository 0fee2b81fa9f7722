#!/usr/bin/env python3
"""Boots an image in QEMU, with its serial line on the terminal and its exit status as the launcher's.

    images/qemu.py run --config build/APP/run.json [options] [-- ARGUMENTS]
    images/qemu.py report FILE --config build/APP/run.json [--number N]

The words behind -- are the program's arguments, instead of those in its manifest; a bare -- gives it none. The exit
status is that of the program (0 to 255), told by the image's status line; besides

    2     wrong options, what QEMU itself refuses,  125   the image died without a status
          a missing program, or output that cannot  130   ended by Ctrl-C (128 and the signal's number)
          be written
    124   the time given by --timeout was over

report shows a crash report, saved from the console, with source lines (images/panic.py).

The description (run.json) is written by configure.py:

    name           of the application              devices       QEMU's -device arguments
    elf, iso       the image's two forms           machine       q35, pc or microvm
    files          packed files, or null           accelerator   auto, kvm or tcg
    debug_elf      the ELF file with debug data    memory        bytes of RAM
    command_line   words for the core          cpus          their number
    program        of an image with an existing program: its file and its base with quire.aslr=off, or null
    observe        whether it observes its run (docs/observing.md): then the record goes to --record
    firmware, attach   what it boots by and from (images/machines.py); bios and elf if not given
    arguments      the program's own, as they are built in; for images/describe.py

File names in it are relative to the project's root folder.
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until everything is imported Ctrl-C just ends it

import argparse
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import disk
import elf
import machines
import panic
import plan
from console import STATUS_LINE, ConsoleFilter, End, Outcome, Session, readable, write_all
from machines import ATTACHMENTS, DIRECT, DRIVERS, FIRMWARES, MACHINES, Boot, quote_option
from report import RAM_LEAST, RAM_MOST, RAM_RANGE
from tool import Failure, core_line, core_words, read_input, require, run_main

ROOT = Path(__file__).resolve().parent.parent
QEMU = "qemu-system-x86_64"
ACCELERATORS = ("auto", "kvm", "tcg")
KVM = Path("/dev/kvm")
CPU_INFO = Path("/proc/cpuinfo")

FIXED = "the command line of an ISO is fixed when it is built"

CPUS_MOST = 64  # CPUS_MAX, core/percpu.h

STATUS_REFUSED = 2
STATUS_TIME_OUT = 124
STATUS_DIED = 125

# QEMU ends with 2 * value + 1 when the image writes the value there; only seven bits of it survive.
DEBUG_EXIT = "isa-debug-exit,iobase=0x501,iosize=1"

# The record of an image that observes: bytes that it writes to this port go to a file (core/record.h).
RECORD = "isa-debugcon,iobase=0x502,chardev=record"
RECORD_NAME = "record.jsonl"

# What QEMU keeps at the top of RAM for tables of ACPI; the packed files lie right below.
RAM_KEPT = {"q35": 160 << 10, "pc": 160 << 10, "microvm": 0}

COUNTING = ["-icount", "shift=0,sleep=off", "-cpu", "max,-erms,-fsrm", "-accel", "tcg,thread=single"]


class Config(NamedTuple):
    name: str
    elf: Path
    iso: Path | None
    files: Path | None
    debug_elf: Path | None
    memory: int
    cpus: int
    command_line: str
    devices: list[str]
    machine: str
    accelerator: str
    program: tuple[str, int] | None = None
    observe: bool = False
    firmware: str = "bios"
    attach: str = DIRECT
    arguments: tuple[str, ...] = ()


def config_value(path: Path, values: dict[str, Any], key: str, kinds: tuple[type, ...]) -> Any:
    if key not in values:
        raise Failure(f"{path}: '{key}' is missing; write the file again with ./configure.py")
    value = values[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        allowed = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise Failure(f"{path}: '{key}' is {json.dumps(value)}, not {allowed}")
    return value


def program_value(path: Path, values: dict[str, Any]) -> tuple[str, int] | None:
    program = values.get("program")
    if program is None:
        return None
    if not isinstance(program, dict) or not isinstance(program.get("file"), str) or not isinstance(program.get("base"), int):
        raise Failure(f"{path}: 'program' must have a file and a base")
    return str(ROOT / program["file"]), program["base"]


def observe_value(path: Path, values: dict[str, Any]) -> bool:
    observe = values.get("observe", False)
    if not isinstance(observe, bool):
        raise Failure(f"{path}: 'observe' is {json.dumps(observe)}, not true or false")
    return observe


def texts(path: Path, values: dict[str, Any], key: str) -> list[str]:
    found = config_value(path, values, key, (list,))
    if not all(isinstance(text, str) for text in found):
        raise Failure(f"{path}: '{key}' must hold texts")
    return found


def choice(path: Path, key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise Failure(f"{path}: '{key}' is '{value}', not one of {', '.join(allowed)}")
    return value


def load_config(path: Path) -> Config:
    """The description of an image, checked."""
    try:
        values = json.loads(read_input(path))
    except ValueError as error:
        raise Failure(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise Failure(f"{path}: no JSON object")

    def text(key: str) -> str:
        return config_value(path, values, key, (str,))

    def file(key: str) -> Path | None:
        name = config_value(path, values, key, (str, type(None)))
        return None if name is None else ROOT / name

    elf = file("elf")
    if elf is None:
        raise Failure(f"{path}: 'elf' must name a file")
    values = {"firmware": "bios", "attach": DIRECT, "arguments": []} | values
    return Config(
        name=text("name"),
        elf=elf,
        iso=file("iso"),
        files=file("files"),
        debug_elf=file("debug_elf"),
        memory=config_value(path, values, "memory", (int,)),
        cpus=config_value(path, values, "cpus", (int,)),
        command_line=text("command_line"),
        devices=texts(path, values, "devices"),
        machine=choice(path, "machine", text("machine"), MACHINES),
        accelerator=choice(path, "accelerator", text("accelerator"), ACCELERATORS),
        program=program_value(path, values),
        observe=observe_value(path, values),
        firmware=choice(path, "firmware", text("firmware"), FIRMWARES),
        attach=choice(path, "attach", text("attach"), (DIRECT, *ATTACHMENTS)),
        arguments=tuple(texts(path, values, "arguments")),
    )


def parse_memory(text: str) -> int:
    """Bytes of "64M", "1G", "512K" or "64" (MiB, as for QEMU)."""
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text.upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no amount of memory: write 64M, 1G or 4096K")
    size = int(match[1]) << {"K": 10, "M": 20, "G": 30, "T": 40}[match[2] or "M"]
    if not RAM_LEAST <= size <= RAM_MOST:
        raise argparse.ArgumentTypeError(f"'{text}' must be {RAM_RANGE}")
    return size


def parse_cpus(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", text) or int(text) > CPUS_MOST:
        raise argparse.ArgumentTypeError(f"'{text}' must be a number from 1 to {CPUS_MOST}")
    return int(text)


def format_memory(size: int) -> str:
    """The amount as QEMU takes it; it counts whole KiB at best."""
    for unit, shift in (("G", 30), ("M", 20)):
        if size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return f"{-(-size >> 10)}K"


def why_not_kvm() -> str | None:
    """The reason why hardware virtualisation cannot be used here; None if it can."""
    flags = re.search(r"^flags\s*:(.*)$", CPU_INFO.read_text(), re.MULTILINE)
    if flags is None or not {"vmx", "svm"} & set(flags[1].split()):
        return "the CPU shows neither vmx nor svm"
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{KVM}: {error.strerror}"
    return None


def choose_accelerator(wanted: str) -> tuple[str, str | None]:
    """kvm or tcg, and if it is tcg for want of kvm the reason."""
    if wanted == "tcg":
        return "tcg", None
    reason = why_not_kvm()
    if wanted == "kvm" and reason is not None:
        raise Failure(f"accelerator kvm does not work here: {reason}")
    return ("kvm", None) if reason is None else ("tcg", reason)


def command_line(config: Config, append: str, arguments: list[str] | None, record: bool) -> str:
    """
    What the boot loader passes; the core reads it as the shell would (core/command_line.h). arguments: instead of the
    manifest's, also if there are none; None: the manifest's. record: the device is there.
    """
    words = ["quire.exit=debug", *(["quire.record=debugcon"] if record else [])]
    words += [*core_words("command_line", config.command_line), *core_words("--append", append)]
    return core_line(words + (["--", *arguments] if arguments is not None else []))


def need_file(path: Path | None, what: str) -> Path:
    if path is None:
        raise Failure(f"the image has no {what}")
    if not path.is_file():
        raise Failure(f"{path} is missing: build it with ninja first")
    return path


def boot_of(config: Config, options: argparse.Namespace) -> Boot:
    """The way to boot. Firmware that is given as a file is taken to boot what is attached."""
    firmware = options.firmware or config.firmware
    boot = Boot(options.machine or config.machine, firmware if firmware in FIRMWARES else "bios", options.attach or config.attach)
    return machines.check(boot)


def firmware_arguments(config: Config, options: argparse.Namespace) -> list[str]:
    firmware = options.firmware or config.firmware
    file = machines.firmware_file(firmware) if firmware in FIRMWARES else firmware
    return ["-bios", str(file)] if file else []


def record_path(config: Config, options: argparse.Namespace) -> Path | None:
    """Where the image's record goes; None: there is none."""
    direct = boot_of(config, options).is_direct
    if options.record and not config.observe:
        raise Failure(f"--record: {config.name} observes nothing: configure it with --stats, --timeline or --profile")
    if options.record and not direct:
        raise Failure(f"--record: {FIXED}; use --elf")
    if not config.observe or not direct:
        return None
    return options.record or options.config.parent / RECORD_NAME


def prepare_record(config: Config, options: argparse.Namespace, record: Path | None) -> None:
    """Says here, in one line, what QEMU would say in its own way; QEMU replaces what the file held."""
    if config.observe and record is None:
        say("nothing is recorded from an ISO: of what is observed, only the table of --stats is shown")
    if record is None:
        return
    try:
        record.open("a").close()
    except OSError as error:
        raise Failure(f"{record}: the record cannot be written: {error.strerror}") from None


def record_arguments(record: Path | None) -> list[str]:
    if record is None:
        return []
    return ["-chardev", f"file,id=record,path={quote_option(record)}", "-device", RECORD]


def check_image(file: Path) -> None:
    """Firmware says nothing, or waits for ever, where a file is none that boots; QEMU goes by the name."""
    try:
        disk.check_name(file, disk.kind_of(file))
    except Failure as failure:
        raise Failure(f"--image {file}: {failure}") from None


def image_file(config: Config, options: argparse.Namespace) -> tuple[Path, str]:
    """The file that is attached, and QEMU's driver for it, which the end of its name tells."""
    file = options.image or need_file(config.iso, "ISO file")
    if not file.is_file():
        raise Failure(f"--image {file}: there is no such file")
    driver = DRIVERS.get(file.suffix.removeprefix("."))
    if driver is None:
        raise Failure(f"--image {file}: the name must end with one of {', '.join(f'.{name}' for name in DRIVERS)}")
    if options.image:
        check_image(file)
    return file, driver


def boot_arguments(config: Config, options: argparse.Namespace, boot: Boot) -> list[str]:
    """Where the image comes from."""
    if boot.is_direct:
        if options.image:
            raise Failure(f"--image {options.image}: how is it attached? add --attach with one of {', '.join(ATTACHMENTS)}")
        arguments = ["-kernel", str(need_file(config.elf, "ELF file"))]
        if config.files is not None:
            arguments += ["-initrd", str(need_file(config.files, "packed files"))]
        record = record_path(config, options)
        arguments += ["-device", DEBUG_EXIT, *record_arguments(record)]
        return [*arguments, "-append", command_line(config, options.append, options.arguments, record is not None)]
    if options.append or options.arguments is not None:
        raise Failure(f"--attach {boot.attach}: {FIXED}; use --elf, or change it with ./configure.py --repack")
    return machines.drive_arguments(boot.attach, *image_file(config, options))


def counter_arguments(options: argparse.Namespace, accelerator: str, cpus: int) -> list[str]:
    """The CPU, and how it is run: each emulated one by a thread of its own, where instructions need not be counted."""
    if options.icount:
        return COUNTING
    return ["-cpu", options.cpu, "-accel", "tcg,thread=multi" if accelerator == "tcg" and cpus > 1 else accelerator]


def machine_arguments(machine: str, memory: int, cpus: int, processor: list[str]) -> list[str]:
    """QEMU's command as far as it does not depend on what is booted. processor: the CPU and how it is emulated."""
    command = [QEMU, "-M", machine, "-m", format_memory(memory), "-smp", str(cpus), *processor]
    return command + ["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]


def build_command(config: Config, options: argparse.Namespace, accelerator: str, gdb_port: int | None) -> list[str]:
    boot = boot_of(config, options)
    cpus = options.cpus or config.cpus
    command = machine_arguments(boot.machine, options.memory or config.memory, cpus, counter_arguments(options, accelerator, cpus))
    command += firmware_arguments(config, options)
    for device in config.devices:
        command += ["-device", device]
    if gdb_port is not None:
        command += ["-S", "-gdb", f"tcp:127.0.0.1:{gdb_port}"]
    return command + options.qemu + boot_arguments(config, options, boot)


def least_with_files(image: bytes, files: Path, machine: str) -> int:
    """RAM without which QEMU puts the packed files over the image."""
    loads = [segment for segment in elf.read_segments(image) if segment.kind == elf.PT_LOAD]
    span = elf.page_up(max(load.address + load.memory_size for load in loads)) - min(load.address for load in loads)
    return plan.IMAGE_START + span + plan.pages(files.stat().st_size + 1) + RAM_KEPT[machine]


def check_memory(config: Config, options: argparse.Namespace) -> None:
    """The image itself says if RAM is below its plan; here, what is too little for it to say anything."""
    if options.memory is None or options.image:
        return
    image = read_input(need_file(config.elf, "ELF file"))
    least, what = plan.least_for(plan.image_rows(image)), config.name
    boot = boot_of(config, options)
    if boot.is_direct and config.files:
        least, what = max(least, least_with_files(image, config.files, boot.machine)), f"{config.name} with its files"
    if options.memory < least:
        given, whole = format_memory(options.memory), -(-least >> 20)
        raise Failure(f"{what} does not lie in {given} of RAM beside the firmware: give it --memory {whole}M or more")


def say(text: str) -> None:
    print(f"qemu.py: {text}", file=sys.stderr, flush=True)


def show_hidden(console: ConsoleFilter) -> None:
    """The core did not come up: whatever was on the serial line is all there is to go by."""
    if not console.started:
        write_all(sys.stdout.fileno(), readable(STATUS_LINE.sub(b"", console.hidden)))


def is_refused(console: ConsoleFilter, code: int) -> bool:
    """QEMU did not start the machine, and has said why itself: an image ends it with 1 only behind its status line."""
    return code == 1 and not console.started and not console.hidden


def explain_death(config: Config, console: ConsoleFilter, code: int) -> None:
    if not console.started and not console.hidden:
        hint = "nothing was printed: QEMU's own message is above, or the image did not reach its console"
    elif not console.started:
        hint = "the core did not come up; what the serial line showed is above"
    else:
        hint = f"the last line was '{console.last_line()}'; a triple fault or a reset looks like this, try ninja debug"
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with {code}"
    say(f"{config.name} died without status (QEMU ended {how}): {hint}")


def status_of(config: Config, console: ConsoleFilter, outcome: Outcome, options: argparse.Namespace) -> int:
    """The launcher's status, with what has to be said about it."""
    if outcome.end is End.INTERRUPTED:
        return 128 + outcome.code
    show_hidden(console)
    if console.status is not None:
        if outcome.code > 0 and outcome.code >> 1 != console.status & 0x7F and options.verbose:
            say(f"the status line says {console.status}, QEMU ended with {outcome.code}")
        return console.status
    if outcome.end is End.TIMED_OUT:
        say(f"{config.name} did not end within {options.timeout:g} s: ended by the launcher")
        return STATUS_TIME_OUT
    if is_refused(console, outcome.code):
        return STATUS_REFUSED
    explain_death(config, console, outcome.code)
    return STATUS_DIED


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def gdb_command(config: Config) -> list[str]:
    """gdb with the image's names, an existing program's too, and the commands of images/gdb.py."""
    gdb = [require("gdb"), "-q", str(need_file(config.debug_elf, "file with debug data"))]
    if config.program:
        file, base = config.program
        gdb += ["-ex", "set confirm off", "-ex", f"add-symbol-file {shlex.quote(file)} -o {base:#x}"]
    return [*gdb, "-x", str(ROOT / "images" / "gdb.py")]


def debug(config: Config, command: list[str], port: int) -> int:
    """Runs QEMU, stopped, below gdb: the image prints between gdb's lines and reads no input; Ctrl-C goes to gdb."""
    hint = "echo The commands for images: help quire\\n"
    gdb = [*gdb_command(config), "-ex", hint, "-ex", f"target remote 127.0.0.1:{port}"]
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as machine:
        try:
            return subprocess.run(gdb, check=False, preexec_fn=default_interrupt).returncode
        finally:
            machine.kill()
            signal.signal(signal.SIGINT, handler)


def run(options: argparse.Namespace) -> int:
    if sys.stdout is None:
        raise Failure("standard output is closed: send it to /dev/null instead")
    config = load_config(options.config)
    accelerator, reason = choose_accelerator("tcg" if options.icount else options.accelerator or config.accelerator)
    port = free_port() if options.gdb else None
    if options.gdb and config.program and config.program[1]:
        options.append = f"{options.append} quire.aslr=off".strip()  # so that the program lies where gdb is told
    command = build_command(config, options, accelerator, port)
    if options.dry_run:
        write_all(sys.stdout.fileno(), os.fsencode(shlex.join(command) + "\n"))
        return 0
    command[0] = require(QEMU)
    check_memory(config, options)
    record = record_path(config, options)
    prepare_record(config, options, record)
    if options.verbose or sys.stderr.isatty():
        if reason:
            say(f"software emulation: {reason}")
        say(shlex.join(command))
    if port is not None:
        return debug(config, command, port)
    console = ConsoleFilter(config.name)
    session = Session(command, console, sys.stdin.fileno() if sys.stdin else None, sys.stdout.fileno())
    outcome = session.run(options.timeout)
    if record is not None and (options.verbose or sys.stderr.isatty()):
        say(f"the record is in {record}")
    return status_of(config, console, outcome, options)


def report(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    program = Path(config.program[0]) if config.program else None
    image = need_file(config.debug_elf, "file with debug data")
    text = panic.read_back(options.file, options.number, image, program)
    write_all(sys.stdout.fileno(), text.encode(errors="replace"))
    return 0


def positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive number of seconds")
    return seconds


def firmware_option(text: str) -> str:
    if text not in FIRMWARES and not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is neither {' nor '.join(FIRMWARES)} nor a file")
    return text


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Failure(f"{message}; images/{self.prog} --help lists the options")


def make_parser() -> Parser:
    parser = Parser(prog="qemu.py", description="Boots an image in QEMU, or reads a crash report of one.")
    actions = parser.add_subparsers(dest="action", required=True)
    add_run(actions.add_parser("run", help="boot an image"))
    command = actions.add_parser("report", help="read a crash report back, with source lines")
    command.add_argument("file", type=Path, metavar="FILE", help="what the console printed")
    command.add_argument("--config", type=Path, required=True, help="build/APP/run.json of the image that printed it")
    command.add_argument("--number", type=int, metavar="N", help="which report of the file (default: the last)")
    return parser


def add_machine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, help="build/APP/run.json")
    route = command.add_mutually_exclusive_group()
    route.add_argument("--attach", choices=(DIRECT, *ATTACHMENTS), metavar="HOW", help=f"{DIRECT}: the ELF file directly; the ISO as {', '.join(ATTACHMENTS)}")
    for name, attach in (("elf", DIRECT), ("iso", "cd"), ("disk", "virtio-blk")):
        route.add_argument(f"--{name}", dest="attach", action="store_const", const=attach, help=f"--attach {attach}")
    command.add_argument("--machine", choices=MACHINES)
    command.add_argument("--memory", type=parse_memory, metavar="SIZE", help="RAM, such as 64M")
    command.add_argument("--cpus", type=parse_cpus, metavar="N", help="virtual CPUs")
    command.add_argument("--firmware", type=firmware_option, metavar="bios|uefi|FILE", help="what boots what is attached (default: bios)")


def add_run(command: argparse.ArgumentParser) -> None:
    add_machine(command)
    command.add_argument("--image", type=Path, metavar="FILE", help=f"attach this instead of the ISO (.{', .'.join(DRIVERS)})")
    command.add_argument("--accelerator", choices=ACCELERATORS)
    command.add_argument("--cpu", default="max", help="QEMU's -cpu (default: max)")
    command.add_argument("--append", default="", metavar="WORDS", help="more words for the core")
    command.add_argument("--timeout", type=positive_seconds, metavar="S", help="end after so many seconds (status 124)")
    command.add_argument("--record", type=Path, metavar="FILE", help=f"where the record goes (default: {RECORD_NAME} beside run.json)")
    command.add_argument("--icount", action="store_true", help="count instructions: repeatable time, emulated")
    command.add_argument("--gdb", action="store_true", help="stop at the first instruction and start gdb")
    command.add_argument("--qemu", action="append", default=[], metavar="ARGUMENT", help="one more argument for QEMU")
    command.add_argument("--dry-run", action="store_true", help="print QEMU's command line and end")
    command.add_argument("--verbose", action="store_true", help="say what is run and why")


def main(arguments: list[str]) -> int:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = make_parser().parse_args(arguments[:end])
    options.arguments = arguments[end + 1 :] if end < len(arguments) else None
    if options.action == "report":
        return report(options)
    return run(options)


if __name__ == "__main__":
    run_main("qemu.py", main)
