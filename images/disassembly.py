"""
Which system calls machine code makes: the values that reach the number's register of `syscall` instructions, and the
first argument of functions that take a number. Works on the text of `objdump -dr`, section by section.

The value is followed backwards over all paths: constants and copies between registers are understood. Whatever else
writes the register, an entry of the function, or code that no path leads to (a jump table's) makes the call unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Functions whose first argument is a number: libc's for programs, and musl's for calls that a thread can be ended in.
WRAPPERS = {"syscall", "__syscall_cp"}
UNKNOWN = -1

INSTRUCTION = re.compile(r" *([0-9a-f]+):\t(?:(?:lock|rep|repz|repnz|bnd|notrack) )*(\S+) *(.*)")
RELOCATION = re.compile(r"\t+ *[0-9a-f]+: R_X86_64_\w+\t([^-+]+)")
LABEL = re.compile(r"[0-9a-f]+ <.*>:$")
SECTION = re.compile(r"Disassembly of section (.*):$")
FILE = re.compile(r"(\S.*): +file format ")
NO_WRITE = re.compile(r"cmp[bwlq]?|test[bwlq]?|push[wlq]?|bt[wlq]?|nop[wl]?|u?comis[sd]|v?ptest|prefetch.*|ucomi.*")
ENDS = re.compile(r"jmp[wlq]?|ret[wlq]?|hlt|ud2|iretq")
CLOBBERED = {"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"}
IMPLICIT = {  # what instructions write besides their last operand
    "syscall": {"rax", "rcx", "r11"},
    "cpuid": {"rax", "rbx", "rcx", "rdx"},
    "rdtsc": {"rax", "rdx"},
    "rdtscp": {"rax", "rcx", "rdx"},
    "xgetbv": {"rax", "rdx"},
    "cltd": {"rdx"},
    "cqto": {"rdx"},
}
IMPLICIT_PREFIXES = {
    "cmpxchg": {"rax", "rdx"},
    "mul": {"rax", "rdx"},
    "imul": {"rax", "rdx"},
    "div": {"rax", "rdx"},
    "idiv": {"rax", "rdx"},
}


def register_names() -> dict[str, str]:
    """Every name of a part of a general register: the name of the whole."""
    names = {}
    for letter in "abcd":
        names |= dict.fromkeys((f"r{letter}x", f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h"), f"r{letter}x")
    for letter in ("si", "di", "bp", "sp"):
        names |= dict.fromkeys((f"r{letter}", f"e{letter}", letter, f"{letter}l"), f"r{letter}")
    for number in range(8, 16):
        names |= dict.fromkeys((f"r{number}", f"r{number}d", f"r{number}w", f"r{number}b"), f"r{number}")
    return {f"%{name}": whole for name, whole in names.items()}


REGISTERS = register_names()


@dataclass
class Instruction:
    address: int
    name: str
    operands: list[str]
    is_entry: bool
    symbol: str = ""  # of its relocation

    def target(self) -> int | None:
        """Where a jump inside of the section leads."""
        if self.name[0] == "j" and not self.symbol and re.match(r"[0-9a-f]+ <", self.operands[0]):
            return int(self.operands[0].split()[0], 16)
        return None


def constant(operand: str) -> int:
    """The core looks at 32 bits, as Linux does."""
    return int(operand[1:], 16) & 0xFFFFFFFF


def split_operands(text: str) -> list[str]:
    text = text.split("#")[0].strip()
    return re.findall(r"(?:[^,(]|\([^)]*\))+", text)


def writes(instruction: Instruction, register: str) -> bool:
    name, operands = instruction.name, instruction.operands
    if name.startswith("call"):
        return register in CLOBBERED
    implicit = IMPLICIT.get(name)
    if implicit is None:
        implicit = next((found for start, found in IMPLICIT_PREFIXES.items() if name.startswith(start)), set())
        if name.startswith("imul") and len(operands) > 1:
            implicit = set()
    if any("%es:" in operand or "%ds:" in operand for operand in operands):  # string instructions
        implicit = {"rcx", "rsi", "rdi"}
    if register in implicit:
        return True
    if not operands or NO_WRITE.fullmatch(name):
        return False
    written = operands[-2:] if name.startswith(("xchg", "xadd")) else operands[-1:]
    return any(REGISTERS.get(operand) == register for operand in written)


@dataclass
class Code:
    """One section's instructions."""

    rows: list[Instruction] = field(default_factory=list)

    def predecessors(self) -> list[list[int]]:
        index = {row.address: number for number, row in enumerate(self.rows)}
        result: list[list[int]] = [[] for _ in self.rows]
        for number, row in enumerate(self.rows):
            if number + 1 < len(self.rows) and not ENDS.fullmatch(row.name):
                result[number + 1].append(number)
            target = row.target()
            if target in index:
                result[index[target]].append(number)
        return result

    def has_jump_table(self) -> bool:
        return any(row.name.startswith("jmp") and row.operands[0].startswith("*") for row in self.rows)

    def values(self, start: int, register: str, before: list[list[int]]) -> set[int]:
        """What the register may hold before the instruction with the index `start`."""
        found: set[int] = set()
        work, seen = [(start, register)], set()
        hidden = self.has_jump_table()
        while work:
            at, register = work.pop()
            if (at, register) in seen:
                continue
            seen.add((at, register))
            padding = not before[at] and not hidden and "nop" in self.rows[at].name + "".join(self.rows[at].operands)
            if (self.rows[at].is_entry or not before[at]) and not padding:
                found.add(UNKNOWN)
            for previous in before[at]:
                work += self.step(previous, register, found)
        return found

    def step(self, at: int, register: str, found: set[int]) -> list[tuple[int, str]]:
        """Goes back over one instruction: adds a constant to `found`, or returns what to look for from there."""
        row = self.rows[at]
        if not writes(row, register):
            return [(at, register)]
        source = row.operands[0] if row.operands else ""
        if re.fullmatch(r"mov[lq]?|movabs|movslq|movs?z?x?[lq]?", row.name) and len(row.operands) == 2:
            if re.fullmatch(r"\$0x[0-9a-f]+", source) and not row.symbol:
                found.add(constant(source))
                return []
            if source in REGISTERS:
                return [(at, REGISTERS[source])]
        elif row.name.startswith("cmov") and source in REGISTERS:
            return [(at, REGISTERS[source]), (at, register)]
        elif row.name.startswith(("xor", "sub")) and len(row.operands) == 2 and len(set(row.operands)) == 1:
            found.add(0)
            return []
        elif row.name == "pop" and at > 0 and self.rows[at - 1].name == "push":
            pushed = self.rows[at - 1].operands[0]
            if re.fullmatch(r"\$0x[0-9a-f]+", pushed):
                found.add(constant(pushed))
                return []
        found.add(UNKNOWN)
        return []

    def calls(self) -> set[int]:
        """Numbers of the calls, with UNKNOWN if there are some that cannot be told."""
        made: set[int] = set()
        sites = []
        for number, row in enumerate(self.rows):
            if row.name == "syscall":
                sites.append((number, "rax"))
            elif row.symbol in WRAPPERS:
                if row.name.startswith(("call", "jmp")):
                    sites.append((number, "rdi"))
                else:
                    made.add(UNKNOWN)  # its address is taken
        if sites:
            before = self.predecessors()
            for site, register in sites:
                made |= self.values(site, register, before)
        return made


def read_listing(listing: str) -> dict[tuple[str, str], Code]:
    """The code of (file, section)s of an `objdump -dr --no-show-raw-insn` listing."""
    result: dict[tuple[str, str], Code] = {}
    file, code, entry = "", Code(), False
    for line in listing.splitlines():
        if match := INSTRUCTION.match(line):
            code.rows.append(Instruction(int(match[1], 16), match[2], split_operands(match[3]), entry))
            entry = False
        elif match := RELOCATION.match(line):
            code.rows[-1].symbol = match[1]
        elif LABEL.match(line):
            entry = True
        elif match := SECTION.match(line):
            code = result.setdefault((file, match[1]), Code())
        elif match := FILE.match(line):
            file = match[1]
    return result
