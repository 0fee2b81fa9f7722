"""images/qemu.py: the command it builds, and how the end of a machine becomes a status.

The machine is a stand-in: a program named qemu-system-x86_64 at the front of PATH that behaves as the test says.
"""

import contextlib
import fcntl
import json
import os
import pty
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest
from pathlib import Path
from unittest import mock

from support import IMAGES, ROOT, FolderCase

import console
import machines
import qemu

MARKER = r"\036quire: app\n"
# By which a format is known; else it is an ISO.
HEADS = {"qcow2": b"QFI\xfb", "vhdx": b"vhdxfile", "vmdk": b"KDMV", "vhd": b"conectix"}


class QemuCase(FolderCase):
    def setUp(self) -> None:
        super().setUp()
        self.values = {
            "name": "app", "elf": str(self.write("app.elf")), "iso": str(self.write("app,1.iso")), "files": None,
            "debug_elf": None, "memory": 64 << 20, "cpus": 1, "command_line": "", "devices": [], "machine": "q35",
            "accelerator": "tcg",
        }  # fmt: skip

    def config(self, **changes: object) -> Path:
        return self.write("run.json", json.dumps(self.values | changes).encode())

    def launch(
        self, *arguments: str, config: Path | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        return self.tool("qemu.py", "run", "--config", config or self.config(), *arguments, **options)

    def command(self, *arguments: str, config: Path | None = None) -> list[str]:
        done = self.launch("--dry-run", *arguments, config=config)
        self.assertEqual(done.returncode, 0, done.stderr)
        return shlex.split(done.stdout)

    def stand_in(self, script: str) -> dict[str, str]:
        """An environment in which QEMU is this shell script."""
        self.write("bin/qemu-system-x86_64", f"#!/bin/sh\n{script}\n".encode(), 0o755)
        return os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}


class CommandTest(QemuCase):
    def after(self, command: list[str], option: str) -> str:
        return command[command.index(option) + 1]

    def test_elf(self) -> None:
        command = self.command()
        self.assertEqual(command[0], "qemu-system-x86_64")
        self.assertEqual(self.after(command, "-kernel"), self.values["elf"])
        self.assertEqual(self.after(command, "-append"), "quire.exit=debug")
        self.assertEqual(self.after(command, "-device"), "isa-debug-exit,iobase=0x501,iosize=1")
        self.assertEqual((self.after(command, "-M"), self.after(command, "-m")), ("q35", "64M"))
        self.assertNotIn("-initrd", command)

    def test_files_become_the_module(self) -> None:
        files = self.write("app.files")
        self.assertEqual(self.after(self.command(config=self.config(files=str(files))), "-initrd"), str(files))

    def test_arguments_are_quoted_as_the_core_reads_them(self) -> None:
        words = ["a b", "it's", 'say "x"', "", "back\\slash", "--"]
        command = self.command("--append", "quire.env='A=b c'", "--", *words)
        line = shlex.split(self.after(command, "-append"))
        self.assertEqual(line, ["quire.exit=debug", "quire.env=A=b c", "--", *words])

    def test_two_dashes_alone_take_the_arguments_away(self) -> None:
        self.assertEqual(self.after(self.command("--"), "-append"), "quire.exit=debug --")
        self.assertEqual(self.after(self.command(), "-append"), "quire.exit=debug")

    def test_iso_and_disk(self) -> None:
        drive = self.after(self.command("--iso"), "-drive")
        self.assertTrue("app,,1.iso,format=raw,media=cdrom" in drive, drive)
        command = self.command("--disk")
        self.assertIn("snapshot=on", self.after(command, "-drive"))
        self.assertEqual(self.after(command, "-device"), "virtio-blk-pci,drive=image,bootindex=0")
        self.assertNotIn("-append", self.command("--iso"))

    def built(self, config: Path, *arguments: str) -> list[str]:
        """As self.command, without a process for it."""
        options = qemu.make_parser().parse_args(["run", "--config", str(config), *arguments])
        options.arguments = None
        return qemu.build_command(qemu.load_config(config), options, "tcg", None)

    def test_every_way_to_attach(self) -> None:
        """Each is allowed and has its own devices, the last of them with the drive; the description may say it as well."""
        seen = set()
        for boot in machines.every_boot():
            command = self.built(self.config(), "--machine", boot.machine, "--firmware", boot.firmware, "--attach", boot.attach)
            devices = [command[index + 1] for index, word in enumerate(command) if word == "-device"]
            self.assertEqual([("drive=image,bootindex=0" in device) for device in devices][::-1], [True, *[False] * (len(devices) - 1)])
            self.assertEqual("-bios" in command, boot.firmware == "uefi")
            self.assertEqual(command, self.built(self.config(**boot._asdict())))
            seen.add((boot.machine, boot.firmware, *devices))
        self.assertEqual(len(seen), len(list(machines.every_boot())))

    def test_other_image(self) -> None:
        for ending, driver in machines.DRIVERS.items():
            file = self.write(f"other.{ending}", HEADS.get(ending, bytes(32769) + b"CD001").ljust(512, b"\0"))
            drive = self.after(self.command("--disk", "--image", str(file)), "-drive")
            self.assertIn(f"/other.{ending},format={driver},", drive)
        self.write("a:b.raw", bytes(32769) + b"CD001")
        with contextlib.chdir(self.folder):
            drive = self.after(self.command("--disk", "--image", "a:b.raw"), "-drive")
        self.assertIn(f"file={self.folder}/a:b.raw,format=raw,", drive)
        self.assert_refused(self.launch("--disk", "--image", self.write("other.img")), "other.img", ".qcow2")
        self.assert_refused(self.launch("--disk", "--image", "absent.raw"), "--image absent.raw: there is no such file")
        self.assert_refused(self.launch("--image", self.write("other.raw")), "--attach", "nvme")
        self.assert_refused(self.launch("--disk", "--image", self.write("other.raw")), "other.raw: it is none of iso, raw")
        self.assert_refused(self.launch("--disk", "--image", self.write("other.iso", HEADS["qcow2"])), "it is qcow2 by its contents and iso by its name")

    def test_ways_that_are_not_there(self) -> None:
        """One line, with those that there are."""
        for words, arguments in {
            ("attach ide", "BIOS on q35", "sata"): ["--attach", "ide"],
            ("attach sata", "BIOS on pc", "ide"): ["--attach", "sata", "--machine", "pc"],
            ("attach pvscsi", "UEFI on q35", "virtio-scsi"): ["--attach", "pvscsi", "--firmware", "uefi"],
            ("attach nvme", "BIOS on microvm", "there: elf"): ["--attach", "nvme", "--machine", "microvm"],
            ("uefi", "ELF file", "virtio-blk"): ["--firmware", "uefi"],
            ("uefi", "microvm has none"): ["--firmware", "uefi", "--machine", "microvm", "--attach", "cd"],
            ("--firmware", "'coreboot'", "bios nor uefi nor a file"): ["--firmware", "coreboot"],
            ("--attach", "'floppy'"): ["--attach", "floppy"],
        }.items():
            with self.subTest(words):
                self.assert_refused(self.launch(*arguments), *words)

    def test_another_firmware(self) -> None:
        file = self.write("SEABIOS.bin")
        self.assertEqual(self.after(self.command("--firmware", str(file)), "-bios"), str(file))

    def test_record(self) -> None:
        config = self.config(observe=True)
        command = self.command(config=config)
        self.assertEqual(self.after(command, "-chardev"), f"file,id=record,path={self.folder}/record.jsonl")
        self.assertIn("isa-debugcon,iobase=0x502,chardev=record", command)
        self.assertEqual(self.after(command, "-append"), "quire.exit=debug quire.record=debugcon")
        command = self.command("--record", "a,b.jsonl", "--machine", "microvm", config=config)
        self.assertEqual(self.after(command, "-chardev"), "file,id=record,path=a,,b.jsonl")
        for arguments, values in (((), False), (("--iso",), True), (("--disk",), True)):
            self.assertNotIn("debugcon", " ".join(self.command(*arguments, config=self.config(observe=values))))
        self.assertFalse((self.folder / "record.jsonl").exists(), "--dry-run leaves nothing")

    def test_counting(self) -> None:
        command = self.command("--icount")
        self.assertEqual(self.after(command, "-icount"), "shift=0,sleep=off")
        self.assertEqual(self.after(command, "-accel"), "tcg,thread=single")
        self.assertEqual(self.after(command, "-cpu"), "max,-erms,-fsrm")

    def test_memory(self) -> None:
        for text, shown in {"4": "4M", "4100K": "4100K", "2048M": "2G", "1g": "1G", "64T": "65536G"}.items():
            self.assertEqual(self.after(self.command("--memory", text), "-m"), shown)
        self.assertEqual(self.after(self.command(config=self.config(memory=(4 << 20) + 1)), "-m"), "4097K")

    def test_accelerator(self) -> None:
        info = self.write("cpuinfo", b"flags\t\t: fpu vmx\n")
        with mock.patch.object(qemu, "CPU_INFO", info):
            with mock.patch.object(qemu, "KVM", self.write("kvm")):
                self.assertEqual(qemu.choose_accelerator("auto"), ("kvm", None))
                self.assertEqual(qemu.choose_accelerator("tcg"), ("tcg", None))
            with mock.patch.object(qemu, "KVM", self.folder / "absent"):
                self.assertEqual(qemu.choose_accelerator("auto")[0], "tcg")
        with mock.patch.object(qemu, "CPU_INFO", self.write("cpuinfo", b"flags\t\t: fpu vmxlike\n")):
            self.assertIn("neither vmx nor svm", qemu.choose_accelerator("auto")[1])
            with self.assertRaises(qemu.Failure):
                qemu.choose_accelerator("kvm")

    def test_refusals(self) -> None:
        for words, arguments in {
            ("fixed when it is built", "--elf", "./configure.py --repack"): ["--iso", "--", "word"],
            ("fixed when it is built", "attach cd"): ["--iso", "--"],
            ("fixed when it is built", "attach virtio-blk"): ["--disk", "--append", "quire.aslr=off"],
            ("microvm",): ["--iso", "--machine", "microvm"],
            ("--append", "No closing quotation"): ["--append", "'open"],
            ("--append", "behind --"): ["--append", "a -- b"],
            ("--memory", "'4095K'", "at least 4M"): ["--memory", "4095K"],
            ("--memory", "'65T'", "at most 64T"): ["--memory", "65T"],
            ("--memory", "no amount"): ["--memory", "x"],
            ("--cpus", "'0' must be a number from 1 to 64"): ["--cpus", "0"],
            ("--cpus", "'65' must be a number from 1 to 64"): ["--cpus", "65"],
            ("--cpus", "'two' must be"): ["--cpus", "two"],
            ("command line", "4017 bytes", "4000"): ["--", "a" * 2000, "b" * 1996],
            ("--record", "app observes nothing", "--stats"): ["--record", "x"],
        }.items():
            with self.subTest(words):
                self.assert_refused(self.launch(*arguments), *words)

    def test_memory_below_the_image(self) -> None:
        """There it could not say itself how much it needs."""
        elf = self.folder / "large.elf"
        elf.write_bytes(struct.pack("<4sBB26xQ14xHH6x", b"\x7fELF", 2, 1, 64, 56, 1) + struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, 0, 5 << 20, 0))
        config = self.config(elf=str(elf))
        environment = self.stand_in("exit 1")
        self.assert_refused(self.launch("--memory", "7M", config=config, env=environment), "7M", "--memory 8M")
        self.assertNotIn("does not lie", self.launch("--memory", "8M", config=config, env=environment).stderr)

    def test_memory_below_the_image_and_its_files(self) -> None:
        """QEMU puts them at the top of RAM, below what it keeps for itself; the image lies from 2 MiB on."""
        header = struct.pack("<4sBB26xQ14xHH6x", b"\x7fELF", 2, 1, 64, 56, 2)
        loads = [struct.pack("<IIQQQQQQ", 1, 6, 0, address, 0, 0, 100 << 10, 0) for address in (0, 500 << 10)]
        elf = self.write("large.elf", header + b"".join(loads))
        config = self.config(elf=str(elf), files=str(self.write("app.files", bytes((2 << 20) - 1))))
        environment = self.stand_in("exit 1")
        for machine, least in (("q35", 4096 + 600 + 160), ("pc", 4096 + 600 + 160), ("microvm", 4096 + 600)):
            done = self.launch("--machine", machine, "--memory", f"{least - 4}K", config=config, env=environment)
            self.assert_refused(done, f"app with its files does not lie in {least - 4}K", "--memory 5M")
            done = self.launch("--machine", machine, "--memory", f"{least}K", config=config, env=environment)
            self.assertNotIn("does not lie", done.stderr)
        self.assertNotIn("does not lie", self.launch("--iso", "--memory", "4M", config=config, env=environment).stderr)

    def test_record_that_cannot_be(self) -> None:
        config = self.config(observe=True)
        self.assert_refused(self.launch("--iso", "--record", "x", config=config), "--record", "fixed when it is built")
        environment = self.stand_in("exit 1")
        for place, words in ((self.folder / "absent/x", "No such file"), (self.folder, "Is a directory")):
            done = self.launch("--record", place, config=config, env=environment)
            self.assert_refused(done, f"{place}: the record cannot be written", words)

    def test_wrong_descriptions(self) -> None:
        for words, changes in {
            ("'memory'", "not int"): {"memory": "64M"},
            ("'machine'", "not one of q35, microvm, pc"): {"machine": "isapc"},
            ("'files'", "str or null"): {"files": 1},
            ("'devices'",): {"devices": [1]},
            ("'attach'", "virtio-scsi"): {"attach": "tape"},
            ("'arguments'", "texts"): {"arguments": [1]},
            ("absent.elf", "ninja"): {"elf": "/absent.elf"},
            ("'observe'", "not true or false"): {"observe": 1},
        }.items():
            with self.subTest(words):
                self.assert_refused(self.launch(config=self.config(**changes)), *words)
        self.assert_refused(self.launch(config=self.write("run.json", b"{")), "run.json")
        self.assert_refused(self.launch(config=self.write("run.json", b"{}")), "'elf' is missing", "configure.py")
        self.assert_refused(self.launch(config=self.folder / "absent.json"), "absent.json", "No such file")

    def test_missing_qemu(self) -> None:
        environment = os.environ | {"PATH": str(self.folder)}
        self.assert_refused(self.launch(env=environment), "not installed", "apt-get install qemu-system-x86")


class MatrixTest(FolderCase):
    def test_refusals(self) -> None:
        for words, expected in ((["--jobs", "0"], "'0' must be a number from 1 to 99"), (["hello", "vax"], "no cell has hello and vax")):
            done = subprocess.run([ROOT / "tests/boot/matrix.py", *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(expected, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


class StatusTest(QemuCase):
    def end(self, script: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        options.setdefault("stdin", subprocess.DEVNULL)
        return self.launch(*arguments, env=self.stand_in(script), **options)

    def test_status_line_wins(self) -> None:
        for status in (0, 1, 42, 127, 128, 255):
            code = (status & 0x7F) << 1 | 1
            done = self.end(f"printf 'noise {MARKER}hello\\n\\036quire: exit {status}\\n'; exit {code & 0xFF}")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (status, "hello\n", ""))

    def test_where_the_record_is_said_when_asked(self) -> None:
        script = f"printf '{MARKER}\\036quire: exit 0\\n'"
        config = self.config(observe=True)
        self.assertEqual(self.end(script, config=config).stderr, "")
        self.assertIn(f"the record is in {self.folder}/record.jsonl", self.end(script, "--verbose", config=config).stderr)

    def test_an_iso_records_nothing_and_that_is_said(self) -> None:
        done = self.end(f"printf '{MARKER}\\036quire: exit 0\\n'", "--iso", config=self.config(observe=True))
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (0, 1))
        self.assertIn("nothing is recorded from an ISO", done.stderr)

    def test_disagreement_is_told_when_asked(self) -> None:
        script = f"printf '{MARKER}\\036quire: exit 3\\n'; exit 1"
        self.assertEqual(self.end(script).stderr, "")
        self.assertIn("the status line says 3", self.end(script, "--verbose").stderr)

    def test_refusal_before_the_marker(self) -> None:
        done = self.end("printf 'quire: this CPU has no long mode\\n\\036quire: exit 126\\n'")
        self.assertEqual((done.returncode, done.stdout), (126, "quire: this CPU has no long mode\n"))

    def test_output_that_cannot_be_written(self) -> None:
        command = [sys.executable, str(IMAGES / "qemu.py"), "run", "--config", str(self.config())]
        for script in (f"printf '{MARKER}hello\\n'; exec sleep 60", "printf firmware"):
            environment = self.stand_in(script)
            for arguments in ([], ["--dry-run"]):
                for where, words in ((">/dev/full", "No space left"), (">&-", "standard output is closed")):
                    with self.subTest(script=script, arguments=arguments, where=where):
                        line = f"{shlex.join(command + arguments)} </dev/null {where}"
                        done = subprocess.run(
                            line, shell=True, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, check=False
                        )
                        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
                        self.assertIn(words, done.stderr)

    def test_died_without_status(self) -> None:
        done = self.end(f"printf '{MARKER}almost\\n'")
        self.assertEqual((done.returncode, done.stdout), (125, "almost\n"))
        self.assertIn("died without status", done.stderr)
        self.assertIn("'almost'", done.stderr)
        done = self.end("printf '\\033[2Jfirmware only\\r\\n'; exit 3")
        self.assertEqual((done.returncode, done.stdout), (125, "firmware only\n"))
        self.assertIn("QEMU ended with 3", done.stderr)
        done = self.end("kill -SEGV $$")
        self.assertEqual(done.returncode, 125)
        self.assertIn("SIGSEGV", done.stderr)

    def test_refused_by_qemu(self) -> None:
        """Its own line is the only one."""
        done = self.end("echo 'qemu-system-x86_64: cannot set up guest memory' >&2; exit 1")
        self.assert_refused(done, "qemu-system-x86_64: cannot set up guest memory")
        done = self.end("printf firmware; exit 1")
        self.assertEqual((done.returncode, done.stdout), (125, "firmware"))
        self.assertIn("QEMU ended with 1", done.stderr)

    def test_time_out(self) -> None:
        done = self.end(f"printf '{MARKER}working\\n'; exec sleep 60", "--timeout", "0.5")
        self.assertEqual((done.returncode, done.stdout), (124, "working\n"))
        self.assertIn("within 0.5 s", done.stderr)

    def test_machine_that_does_not_power_off(self) -> None:
        start = time.monotonic()
        done = self.end(f"printf '{MARKER}\\036quire: exit 5\\n'; exec sleep 60")
        self.assertEqual(done.returncode, 5)
        self.assertLess(time.monotonic() - start, 20)

    def test_input_waits_for_the_core_and_ends_with_control_d(self) -> None:
        script = f"sleep 0.3; printf '{MARKER}'; head -c 6 | od -An -c; printf '\\036quire: exit 0\\n'"
        done = self.end(script, stdin=None, input="ab\0c\n")
        self.assertEqual(done.stdout.split(), ["a", "b", r"\0", "c", r"\n", "004"])

    def test_unfinished_line_is_completed_first(self) -> None:
        script = f"printf '{MARKER}'; head -c 3 | od -An -c; printf '\\036quire: exit 0\\n'"
        self.assertEqual(self.end(script, stdin=None, input="x").stdout.split(), ["x", "004", "004"])

    def test_terminal(self) -> None:
        """Bytes go through as typed, Ctrl-Z included; Ctrl-C ends; the terminal is as before afterwards."""
        main, terminal = pty.openpty()
        before = termios.tcgetattr(terminal)
        script = f"printf '{MARKER}up\\n'; head -c 3 | od -An -c; exec sleep 60"
        command = [sys.executable, str(IMAGES / "qemu.py"), "run", "--config", str(self.config())]
        streams = {"stdin": terminal, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        become = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)}
        with subprocess.Popen(command, env=self.stand_in(script), **streams, **become) as launcher:
            assert launcher.stdout
            self.assertEqual(launcher.stdout.readline(), b"up\n")
            os.write(main, b"\x1a\ry")
            self.assertEqual(launcher.stdout.readline().split(), [b"032", rb"\r", b"y"])
            os.write(main, b"\x03")
            self.assertEqual(launcher.wait(timeout=10), 130)
        self.assertEqual(termios.tcgetattr(terminal), before)
        os.close(main)
        os.close(terminal)

    def test_signals_may_come_twice(self) -> None:
        """Also while QEMU is being ended."""
        session = console.Session(["sleep", "60"], console.ConsoleFilter("app"), None, 1)
        ends = iter([signal.SIGTERM, signal.SIGTERM])
        self.addCleanup(session.process.stdin.close)
        self.addCleanup(session.process.stdout.close)
        stop = session._stop

        def stop_slowly(grace: float) -> int:
            for number in ends:
                os.kill(os.getpid(), number)
            return stop(grace)

        with mock.patch.object(session, "_stop", stop_slowly):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
            self.assertEqual(session.run(None), (console.End.INTERRUPTED, signal.SIGTERM))

    def test_much_input_and_output(self) -> None:
        text = "0123456789abcdef" * 65536
        script = f"printf '{MARKER}'; head -c {len(text)}; printf '\\036quire: exit 0\\n'"
        done = self.end(script, stdin=None, input=text)
        self.assertEqual((done.returncode, done.stdout), (0, text))

    def test_signals_end_the_machine(self) -> None:
        pid_file = self.folder / "pid"
        script = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; printf '{MARKER}up\\n'; exec sleep 60"
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            command = [sys.executable, str(IMAGES / "qemu.py"), "run", "--config", str(self.config())]
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with subprocess.Popen(command, env=self.stand_in(script), **streams) as launcher:
                assert launcher.stdout
                self.assertEqual(launcher.stdout.readline(), b"up\n")
                launcher.send_signal(number)
                self.assertEqual(launcher.communicate(timeout=10)[1], b"")
                self.assertEqual(launcher.returncode, status)
            with self.assertRaises(ProcessLookupError):
                os.kill(int(pid_file.read_text()), 0)


if __name__ == "__main__":
    unittest.main()
