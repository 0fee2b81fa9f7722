#!/usr/bin/env python3
"""
Who may include whom, as docs/architecture.md says. A quoted include is a path from the root of the project, so its first
part is the dependency; "machine.h" alone is found through the include path (arch/x86_64, or the fake of tests/unit).

    tests/include_rule.py        prints a line for each include that breaks the rule; status 1 if there is one
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
COMPILER = {"limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdnoreturn.h"}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

# The contracts that arch/ implements or fills, with the flags of vm/vm.h that they use, and those an application may use.
ARCH_CONTRACTS = ["vm/vm.h", "vm/mmu.h", "vm/fault.h", "vm/frames.h", "vm/space.h", "core/linux/linux.h",
                  "core/linux/abi.h", "core/linux/frame.h"]
PUBLIC = ["vm/vm.h", "vm/driver.h", "vm/heap.h", "vm/malloc.h", "core/pci.h", "core/cpu.h", "core/clock.h", "core/config.h"]

# Folder: patterns of what its files may include. The first folder that a file is in counts.
RULES: list[tuple[str, list[str]]] = [
    ("core/libc/", [r"vm/heap\.h", r"vm/malloc_inline\.h", r"core/libc/malloc\.c"]),
    ("core/base/", [r"core/base/[^/]+\.h", r"core/console\.h"]),
    ("core/", [r"core/.+\.(h|def)", r"vm/.+\.h", r"machine\.h"]),
    ("vm/", [r"core/base/[^/]+\.h", r"core/percpu\.h", r"core/spinlock\.h", r"core/cpu\.h", r"vm/.+\.h", r"machine\.h"]),
    ("arch/x86_64/", [r"core/base/[^/]+\.h", r"core/[^/]+\.h", *map(re.escape, ARCH_CONTRACTS), r"arch/x86_64/.+\.h", r"machine\.h"]),
    ("apps/", [r"core/base/[^/]+\.h", *map(re.escape, PUBLIC)]),
]
# Built as application code: they see the headers of a C library.
HOSTED = ("core/libc/", "apps/")


def includes(text: str) -> list[tuple[int, str, bool]]:
    """(line, name, quoted) of every include outside of comments."""
    text = COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    found = INCLUDE.finditer(text)
    return [(text.count("\n", 0, m.start()) + 1, m[1] or m[2], m[1] is not None) for m in found]


def problem(file: str, name: str, quoted: bool, root: Path = ROOT) -> str | None:
    """Why this file may not include this; None if it may."""
    folder, allowed = next(((folder, allowed) for folder, allowed in RULES if file.startswith(folder)), (None, []))
    if folder is None:
        return None
    ours = (root / name).is_file() or name == "machine.h"
    if not ours and not quoted:
        return None if folder in HOSTED or name in COMPILER else "is not a header of the compiler"
    if not ours:
        own = folder == "apps/" and any((root / file).parent.glob(f"**/{name}"))
        return None if own else "is not a path from the root of the project"
    if folder == "apps/" and name.startswith("/".join(file.split("/")[:2]) + "/"):
        return None
    return None if any(re.fullmatch(pattern, name) for pattern in allowed) else f"is not for {folder}"


def check(root: Path = ROOT) -> list[str]:
    lines = []
    for folder in dict.fromkeys(folder.split("/")[0] for folder, _ in RULES):
        for path in sorted((root / folder).rglob("*.[chS]")):
            file = path.relative_to(root).as_posix()
            for line, name, quoted in includes(path.read_text()):
                why = problem(file, name, quoted, root)
                if why:
                    lines.append(f"{file}:{line}: {name} {why}")
    return lines


if __name__ == "__main__":
    broken = check()
    print("\n".join(broken) if broken else "every include is allowed")
    sys.exit(1 if broken else 0)
