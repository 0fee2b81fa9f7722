"""images/calls.py and images/disassembly.py: which system calls code makes, and what an image gets; docs/linux.md."""

import subprocess
import unittest
from pathlib import Path

from support import ROOT, FolderCase

import calls
import disassembly
import linux_page

LIST = ROOT / calls.LIST
MUSL = Path("/usr/lib/x86_64-linux-musl/libc.a")
UNKNOWN = disassembly.UNKNOWN

# (what, code of a function that begins at `start`, the calls it makes)
CODE = [
    ("constant", "mov $60, %eax; syscall; ret", {60}),
    ("more than 32 bits", "movabs $0x100000027, %rax; syscall; ret", {39}),
    ("zero", "xor %eax, %eax; syscall; ret", {0}),
    ("pushed", "push $39; pop %rax; syscall; ret", {39}),
    ("copied", "mov $1, %ebx; mov %rbx, %rax; syscall; ret", {1}),
    ("copied twice", "mov $0xca, %r12d; mov %r12, %r9; movslq %r9d, %rax; syscall; ret", {202}),
    ("two ways", "mov $2, %eax; test %edi, %edi; je 1f; mov $257, %eax; 1: syscall; ret", {2, 257}),
    ("conditional move", "mov $2, %eax; mov $3, %ecx; test %edi, %edi; cmove %ecx, %eax; syscall; ret", {2, 3}),
    ("loop", "mov $202, %ebx; 1: mov %rbx, %rax; syscall; test %rax, %rax; jne 1b; ret", {202}),
    ("over padding", "mov $7, %eax; jmp 1f; .balign 16; 1: syscall; ret", {7}),
    ("an earlier result", "mov $7, %eax; syscall; syscall; ret", {7, UNKNOWN}),
    ("over a call", "mov $7, %ebx; call other; mov %ebx, %eax; syscall; ret", {7}),
    ("lost in a call", "mov $7, %eax; call other; syscall; ret", {UNKNOWN}),
    ("argument", "mov %rdi, %rax; syscall; ret", {UNKNOWN}),
    ("computed", "mov $7, %eax; add %edi, %eax; syscall; ret", {UNKNOWN}),
    ("from memory", "mov 8(%rdi), %eax; syscall; ret", {UNKNOWN}),
    ("jump table", "jmp *(%rdi); .balign 16; mov %ebx, %eax; syscall; ret", {UNKNOWN}),
    ("multiplied", "mov $7, %eax; mul %ecx; syscall; ret", {UNKNOWN}),
    ("copied string", "mov $7, %ecx; rep movsb; mov %ecx, %eax; syscall; ret", {UNKNOWN}),
    ("syscall()", "mov $0x29, %edi; xor %eax, %eax; call syscall; ret", {41}),
    ("last syscall()", "mov $0x29, %edi; jmp syscall", {41}),
    ("any syscall()", "call syscall; ret", {UNKNOWN}),
    ("address of syscall()", "lea syscall(%rip), %rax; ret", {UNKNOWN}),
    ("none", "mov $0x050f, %eax; ret", set()),
]


def glibc() -> Path:
    done = subprocess.run(["clang", "-print-file-name=libc.a"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


class Map(unittest.TestCase):
    def test_sections(self):
        row = "ffffffff80001000 1001000       10    16         "
        text = f"     VMA      LMA     Size Align Out     In      Symbol\n{row}a.o:(.text.f)\n{row}        f\n{row}lib.a(b.o):(own)\n"
        self.assertEqual(calls.kept_sections(text), {"a.o": {"": {".text.f"}}, "lib.a": {"b.o": {"own"}}})


class Disassembly(FolderCase):
    def test_code(self):
        source = self.folder / "code.s"
        for what, text, made in CODE:
            with self.subTest(what):
                rows = text.replace("; ", "\n")
                source.write_text(f'.section .text.start, "ax"\n.globl start\nstart:\n{rows}\n.text\nmov $9, %eax\nsyscall\n')
                subprocess.run(["clang", "-c", source, "-o", source.with_suffix(".o")], check=True)
                elf = source.with_suffix(".o").read_bytes()
                self.assertEqual(calls.made_by([("code.o", elf, {".text.start"})]), made)
                self.assertTrue(calls.may_call(elf, {".text.start"}) or not made)

    def test_every_call_of_the_c_libraries_is_known(self):
        used = set()
        for archive in (MUSL, glibc()):
            members = list(calls.archive_members(archive.read_bytes()))
            self.assertGreater(len(members), 1000)
            objects = []
            for name, elf in members:
                sections = {section for section, _ in calls.code_sections(elf)}
                used |= {(name, section) for section in sections}
                objects.append((name, elf, sections))
            made = calls.made_by(objects)
            self.assertNotIn(UNKNOWN, made)
            self.assertLessEqual(made, {call.number for call in calls.Interface.read(LIST).calls})
            self.assertGreater(len(made), 200)
        self.assertEqual(set(calls.KNOWN) - used, set(), "not in the C libraries any more")


class Selecting(unittest.TestCase):
    interface = calls.Interface.read(LIST)

    def select(self, parts=None, needed=(), made=None) -> calls.Selection:
        return calls.select(self.interface, parts, list(needed), made)

    def linked(self, *arguments, **options) -> set[str]:
        return {call.name for call in self.select(*arguments, **options).linked}

    def test_what_the_program_can_make(self):
        selection = self.select(made={0, 1, 2, 57})
        self.assertEqual([call.name for call in selection.linked], ["read", "write", "open"])
        self.assertEqual([call.name for call in selection.absent], ["fork"])
        self.assertEqual(selection.parts, ["base", "files"])

    def test_all_where_a_number_cannot_be_told(self):
        everything = {call.name for call in self.interface.there}
        self.assertEqual(self.linked(made={0, UNKNOWN}), everything)
        self.assertEqual(self.linked(), everything)
        self.assertEqual({call.name for call in self.select().absent}, {c.name for c in self.interface.calls} - everything)

    def test_parts_of_the_manifest(self):
        linked = self.linked(parts=["files"], made=set())
        self.assertEqual(linked, {call.name for call in self.interface.there if call.part in ("base", "files")})

    def test_packed_files_bring_their_part(self):
        self.assertIn("files", self.select(made={0}, needed=["files"]).parts)
        self.assertIn("open", self.linked(made={0}, needed=["files"]))


class List(FolderCase):
    def test_every_number_of_linux_is_listed(self):
        numbers = [call.number for call in calls.Interface.read(LIST).calls]
        self.assertEqual(numbers, [*range(335), *range(424, 451)])

    def test_every_function_is_there(self):
        core = ROOT / "build/core/release-threads/quire-core.o"  # the other lacks those of the part threads
        symbols = subprocess.run(["nm", "--defined-only", core], capture_output=True, text=True, check=True).stdout.split()
        shown = {name.removeprefix(calls.PREFIX) for name in symbols if name.startswith(calls.PREFIX)}
        self.assertEqual(shown, set(calls.Interface.read(LIST).functions()))

    def test_a_line_that_is_not_understood(self):
        path = self.write("calls.def", b'PART(base, "x")\nCALL(0, read, f, base, "") /* note */\n')
        with self.assertRaisesRegex(calls.Failure, "calls.def:2: a line"):
            calls.Interface.read(path)
        path = self.write("calls.def", b'PART(base, "x")\nCALL(0, read, f, bass, "")\n')
        with self.assertRaisesRegex(calls.Failure, "read: there is no part bass"):
            calls.Interface.read(path)

    def test_every_call_that_is_not_there_has_its_reason(self):
        self.assertEqual([call.name for call in calls.Interface.read(LIST).calls if not call.function and not call.note], [])

    def test_the_page_is_up_to_date(self):
        text = linux_page.page(calls.Interface.read(LIST))
        self.assertEqual(text, (ROOT / linux_page.PAGE).read_text(), "type   ninja docs")
