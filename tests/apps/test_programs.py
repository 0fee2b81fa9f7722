"""
Existing programs: Debian's busybox-static and bash-static, and programs of all static kinds that are compiled here, do in
an image what they do on this Linux machine. One image serves all: what differs is a file among the packed ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from booting import IMAGES, ROOT, TIMEOUT, AppCase

TREE = ROOT / "tests/boot/images/busybox/tree"
SOURCES = ROOT / "tests/apps/programs"
NOISE = "quire: system call "  # what the core says about calls that are not there

# Commands of busybox, run in the folder that is the root of the image.
APPLETS = [
    "cat data/words.txt etc/passwd",
    "cat data/link data/folder/bottom.txt",
    "ls -1 data data/deep",
    "ls -1RF data",
    "sort data/words.txt",
    "sort -n -r data/numbers.txt",
    "sort -t, -k2 data/table.csv",
    "sed -n -e s/a/<&>/gp -e $= data/words.txt",
    "awk {s+=$2;n[length($1)]++}END{print(s);for(i=1;i<9;i++)print(i,n[i])} data/words.txt",
    "awk -F, $3>7{printf(\"%-10s|%6.2f\\n\",$2,$3)} data/table.csv",
    "find data/deep",
    "find data/deep -type f -name *.txt",
    "grep -n -E (an|er) data/words.txt",
    "grep -c ^- data/numbers.txt",
    "wc data/words.txt data/numbers.txt",
    "md5sum data/words.txt data/numbers.txt",
    "sha512sum data/numbers.txt",
    "head -n 3 data/numbers.txt",
    "tail -n 3 data/numbers.txt",
    "cut -d, -f2,3 data/table.csv",
    "od -A d -t x1z data/words.txt",
    "hexdump -C data/table.csv",
    "base64 data/words.txt",
    "diff data/words.txt data/table.csv",
    "cmp data/words.txt data/link",
    "readlink data/link",
    "readlink -f data/folder/bottom.txt",
    "stat -c %s:%F:%A:%N data/words.txt data/link",
    "dd if=data/words.txt bs=7 skip=1 count=3 status=none",
    "tar cf - --help",
    "cat data/none.txt",
    "ls data/none",
    "cd",
    "expr 6 * 7",
    "seq 1 3 20",
    "factor 123456789 98765432",
    "date -u -d @1000000000",
    "uname -s -m",
    "printf %s-%05d\\n word 42",
    "test -d data/folder",
    "test -f data/folder",
    "false",
    "id",
    "awk BEGIN{while((getline<\"data/words.txt\")>0)print($2)>\"/tmp/quire-test.awk\";close(\"/tmp/quire-test.awk\");while((getline<\"/tmp/quire-test.awk\")>0)s+=$1;print(s)}",
    "dd if=data/numbers.txt of=/tmp/quire-test.dd bs=100 count=5 status=none",
    "dd if=/dev/zero of=/tmp/quire-test.none/dd count=1 status=none",
    "cp -r data /tmp/quire-test.copy",
    "mkdir -p /tmp/quire-test.folder/a/b/c",
    "rm -rf /tmp/quire-test.folder",
    "mv /tmp/quire-test.none /tmp/quire-test.other",
    "ln -s data/words.txt data/words.txt",
    "touch /none/file",
    "sha256sum /dev/null /proc/self/exe",
    "readlink /proc/self/exe",
]

# What the shells do without another process.
SCRIPTS = [
    'i=0; while [ $i -lt 5 ]; do i=$((i + 1)); [ $i = 3 ] && continue; echo "$i $((i * i % 7)) $((i << 40))"; done',
    'f() { local x=$1; [ $x -le 1 ] && { r=1; return; }; f $((x - 1)); r=$((r * x)); }; f 10; echo $r',
    'for f in data/*.txt data/deep/*; do case $f in *words*) echo "words: ${f##*/}";; *) echo "${f%.*}";; esac; done',
    'while read -r word number; do echo "$number:$word"; done < data/words.txt',
    'set -- a "b c" d; echo $#; shift; for w; do echo "<$w>"; done; echo "${1:-none} ${9:-none} ${#1}"',
    'exec 3< data/words.txt; read -r line <&3; echo "$line"; exec 3<&-; read -r line <&3 || echo closed',
    'trap "echo leaving" EXIT; cd data && pwd | true; echo not reached without fork',
    'cd data/deep/er && read -r line < bottom.txt; echo "$line"; cd nowhere || echo "no such folder"',
    'x=5; eval "y=\\$x"; echo "$y"; unset x; echo "${x-unset}"; readonly z=1; export E=2; echo "$E"; umask 027; umask',
    '[ -e data/link ] && [ -L data/link ] && [ ! -e data/none ] && [ data/words.txt -ef data/link ] && echo tests',
    'echo "$((0x1f | 3)) $((-7 / 2)) $((7 > 3 ? 1 : 2))"; printf "%5.2f|%-5s|%x\\n" 3.14159 ab 255; kill -l 11; exit 77',
    'f=/tmp/quire-test.shell; echo one > $f; echo two >> $f; echo three > $f.3; while read -r l; do echo "<$l>"; done < $f; '
    'exec 4<> $f; read -r l <&4; echo TWO >&4; exec 4<&-; while read -r l; do echo "<$l>"; done < $f; : > $f; [ -s $f ] || echo empty; '
    'echo x > /none/x; echo y > /tmp; set -C; echo z > $f.3; echo $?',
    'read -r a b <<E\none $((1 + 1)) three\nE\necho "$b|$a"',
    'echo $((1 / 0)); echo not reached',
]
FORKING = SCRIPTS[6]
BASH_SCRIPTS = [
    'a=(one two three); a[7]=eight; echo "${#a[@]} ${!a[@]} ${a[@]:1:2}"; a+=(nine); echo "${a[-1]}"; unset "a[0]"; echo "${a[*]}"',
    'declare -A m=([x]=1 [y]=2); m[z]=3; s=0; for k in "${!m[@]}"; do ((s += m[$k])); done; echo $s ${m[x]}',
    'echo $((2 ** 62)) $((16#ff)) $((1 << 3 | 1)); let "v = 5 % 3"; echo $v; ((v > 1)) && echo yes; for ((i = 3; i--;)); do echo $i; done',
    'v="Hello World"; echo "${v,,} ${v^^} ${v/o/0} ${v//o/0} ${v:6:3} ${#v} ${v%% *}"; [[ $v =~ ^H(.*)d$ ]] && echo "${BASH_REMATCH[1]}"',
    'f() { local -n r=$1; r="by name"; }; f out; echo "$out"; g() { echo "${FUNCNAME[@]}"; }; h() { g; }; h; type -t f; declare -f g',
    'mapfile -t lines < data/words.txt; echo "${#lines[@]} ${lines[3]}"; printf -v padded "%06d" 42; echo "$padded"',
    'shopt -s nullglob globstar; echo data/**/*.txt; echo data/*.none; shopt -u nullglob; echo data/*.none',
    'IFS=, read -r -a cells <<< "a,b,,d"; echo "${#cells[@]}:${cells[3]}"',
    'case "$(( RANDOM >= 0 ))" in 1) echo ok;; esac; set -e; trap "echo failed at the end" EXIT; false; echo not reached',
    'printf "%q %s\\n" "a b\\$c" {1..3}{x,y}; echo ~root; echo "$-" | true; echo after',
]
BASH_FORKING = BASH_SCRIPTS[9]


class Programs(AppCase):
    @classmethod
    def setUpClass(cls) -> None:
        if not hasattr(cls, "app"):
            return
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.addClassCleanup(remove_what_was_written)

    def run_here(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(program).name, *arguments], executable=program, cwd=TREE, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=TIMEOUT,
            check=False, env={"HOME": "/", "TERM": "linux"},
        )  # fmt: skip

    def run_there(self, *arguments: str, append: str = "") -> tuple[int, str, str]:
        """The status, what the program printed, and what the core said."""
        done = self.boot(*arguments, append=append)
        lines = done.stdout.replace("\r\n", "\n").splitlines(keepends=True)
        said = [line for line in lines if line.startswith("quire: ")]
        return done.returncode, "".join(line for line in lines if line not in said), "".join(said)

    def compare_all(self, program: str, commands: list[list[str]]) -> None:
        """The same output and status here and there, and nothing of the core but NOISE; two machines at a time."""
        resolved = Path(program).resolve()
        with ThreadPoolExecutor(2) as pool:
            booted = pool.map(lambda arguments: self.run_there(*arguments), commands)
            for arguments, (status, output, core) in zip(commands, booted, strict=True):
                with self.subTest(arguments):
                    remove_what_was_written()
                    here = self.run_here(program, *arguments)
                    expected = here.stdout.replace(str(TREE), "").replace(str(resolved), f"/{resolved.name}")
                    self.assertEqual(output, expected, core)
                    self.assertEqual(status, here.returncode, output)
                    self.assertEqual([line for line in core.splitlines() if not line.startswith(NOISE)], [])


class Busybox(Programs):
    app = "busybox"

    def test_applets(self) -> None:
        self.compare_all("/bin/busybox", [command.split() for command in APPLETS])

    def test_shell(self) -> None:
        self.compare_all("/bin/busybox", [["sh", "-c", script] for script in SCRIPTS if script != FORKING])

    def test_fork(self) -> None:
        for script in (FORKING, "ls | cat", "(exit 3); echo $?", "ls; echo $?"):
            with self.subTest(script):
                status, output, core = self.run_there("sh", "-c", script)
                self.assertIn("can't fork: Function not implemented", output)
                self.assertEqual(len([line for line in core.splitlines() if "fork" in line or "clone" in line]), 1, core)
                self.assertNotEqual(status, 0)


class Bash(Programs):
    app = "bash"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        config = json.loads((IMAGES / cls.app / "run.json").read_text())
        config["files"] = str(cls.folder / "files")
        pack(cls.folder / "files", "/bin/bash-static:bash-static", f"{TREE}:/")
        (cls.folder / "run.json").write_text(json.dumps(config))

    def launcher(self, *options: str) -> list[str]:
        return replaced_launcher(self.folder, *options)

    def test_scripts(self) -> None:
        scripts = [script for script in SCRIPTS + BASH_SCRIPTS if script not in (FORKING, BASH_FORKING)]
        self.compare_all("/bin/bash-static", [["-c", script] for script in scripts])

    def test_fork(self) -> None:
        for script in (FORKING, BASH_FORKING, "./bash-static --version; true", "echo $(echo sub)", "x=<(true)"):
            with self.subTest(script):
                status, output, core = self.run_there("-c", script)
                self.assertIn("fork: Function not implemented", output)
                self.assertEqual(len([line for line in core.splitlines() if "fork" in line or "clone" in line]), 1, core)


class Compiled(Programs):
    """The program takes the place of busybox."""

    app = "busybox"

    def launcher(self, *options: str) -> list[str]:
        return replaced_launcher(self.folder, *options)

    def check(self, source: str, *command: str) -> str:
        program = self.folder / "busybox"
        subprocess.run([*command, "-O1", "-g", "-w", "-o", program, SOURCES / source, "-lm"], check=True)
        return self.check_program()

    def check_program(self) -> str:
        program = self.folder / "busybox"
        config = json.loads((IMAGES / self.app / "run.json").read_text())
        config["files"] = str(self.folder / "files")
        pack(self.folder / "files", f"{program}:busybox", f"{TREE}:/")
        (self.folder / "run.json").write_text(json.dumps(config))
        here = self.run_here(str(program), "one", "two words")
        self.assertEqual(here.returncode, 5, here.stdout)
        for append in ("", "quire.aslr=off"):
            status, output, core = self.run_there("one", "two words", append=append)
            self.assertEqual((status, output, core), (5, here.stdout, ""))
        return here.stdout

    def test_glibc(self) -> None:
        for options in (["-static"], ["-static-pie"], ["-static", "-Wl,-z,max-page-size=0x200000"],
                        ["-static-pie", "-Wl,-z,max-page-size=0x200000"], ["-static", "-Wl,-z,noseparate-code"]):  # fmt: skip
            with self.subTest(options):
                self.check("start.c", "gcc", *options)

    def test_clang(self) -> None:
        for options in (["-static"], ["-static-pie", "-fPIE"], ["-static", "-fuse-ld=lld"],
                        ["-static-pie", "-fPIE", "-fuse-ld=lld"]):  # fmt: skip
            with self.subTest(options):
                self.check("start.c", "clang", *options)

    def test_musl(self) -> None:
        for options in (["-static"], ["-static", "-Wl,-Ttext-segment=0x10000000"]):
            with self.subTest(options):
                self.check("start.c", "x86_64-linux-musl-gcc", *options)

    def test_musl_pie(self) -> None:
        """musl-gcc knows no -static-pie: linked by hand."""
        musl, compiled = "/usr/lib/x86_64-linux-musl", self.folder / "start.o"
        compile_only = ["x86_64-linux-musl-gcc", "-fPIE", "-O1", "-w", "-c", SOURCES / "start.c", "-o", compiled]
        subprocess.run(compile_only, check=True)
        link = ["ld.lld", "-pie", "--no-dynamic-linker", "-z", "noexecstack", f"{musl}/rcrt1.o", f"{musl}/crti.o", compiled]
        link += [f"{musl}/libc.a", f"{musl}/crtn.o", "-o", self.folder / "busybox"]
        subprocess.run(link, check=True)
        self.check_program()

    def test_cxx(self) -> None:
        for options in (["g++", "-static"], ["g++", "-static-pie"], ["clang++", "-static"]):
            with self.subTest(options):
                self.assertIn("caught", self.check("start.cpp", *options))

    def test_refusals(self) -> None:
        """What an image does with a file that is no program of its kind: one line, status 126."""
        source = self.folder / "main.c"
        source.write_text("int main(void) { return 0; }\n")
        program = self.folder / "other"
        for words, command in {
            ("dynamically linked", "-static"): ["gcc"],
            ("an object file",): ["gcc", "-c"],
            ("both writable and executable",): ["gcc", "-static", "-nostdlib", "-Wl,-N,-emain"],
            ("a shared library",): ["gcc", "-shared", "-nostdlib", "-fPIC"],
        }.items():
            with self.subTest(words):
                subprocess.run([*command, "-o", program, source], check=True, stderr=subprocess.DEVNULL)
                self.refuse(program, *words)
        for words, data in {
            ("a script",): b"#!/bin/sh\necho hello\n",
            ("no ELF file",): b"hello\n",
            ("is truncated",): Path("/bin/busybox").read_bytes()[:50000],
        }.items():
            with self.subTest(words):
                program.write_bytes(data)
                self.refuse(program, *words)

    def refuse(self, program: Path, *words: str) -> None:
        config = json.loads((IMAGES / self.app / "run.json").read_text())
        config["files"] = str(self.folder / "files")
        pack(self.folder / "files", f"{program}:busybox")
        (self.folder / "run.json").write_text(json.dumps(config))
        done = self.boot()
        self.assertEqual(done.returncode, 126, done.stdout)
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
        for word in ("quire: the program busybox cannot be run: it ", *words):
            self.assertIn(word, done.stdout)


def remove_what_was_written() -> None:
    for path in Path("/tmp").glob("quire-test.*"):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def pack(output: Path, *items: str) -> None:
    command = [sys.executable, ROOT / "images/archive.py", "--output", output, *items]
    subprocess.run(command, cwd=ROOT, check=True)


def replaced_launcher(folder: Path, *options: str) -> list[str]:
    return [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(folder / "run.json"), *options]
