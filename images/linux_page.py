#!/usr/bin/env python3
"""
Writes docs/linux.md from core/linux/calls.def: every system call, implemented, partly, or not.

    images/linux_page.py            writes it (`ninja docs`)
    images/linux_page.py --check    status 2 and one line if it is not up to date
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Callable, Iterable

from calls import LIST, Call, Interface
from tool import Failure, read_input, run_main, write_output

PAGE = Path("docs/linux.md")
WIDTH = 120
REPORTS = [
    "* `system call NAME (N) is not there: ENOSYS; REASON`: the lists below say what is there instead. Most programs go on without it:",
    "  look at what they print behind the report. Processes and sockets cannot be had yet: choose the program's option for one",
    "  process, or for running in the foreground.",
    "* `system call NAME (N) is of the part PART, without which this image was linked: ENOSYS`, or `system call N is not in this image`:",
    "  the image was made without it, because the program's code did not show it. `calls = \"all\"` in the manifest brings it; images of",
    "  existing programs have all.",
    "* Nothing is reported and the program fails: the call is there in part, and its row below says what is missing.",
]
NO_REASON = "not there yet"


def names(calls: Iterable[Call]) -> str:
    """Wrapped, but not between a name and its number."""
    shown = ", ".join(f"`{call.name}`\0{call.number}" for call in calls)
    return "\n".join(textwrap.wrap(shown, WIDTH, break_long_words=False, break_on_hyphens=False)).replace("\0", " ")


def groups(calls: list[Call], key: Callable[[Call], str]) -> dict[str, list[Call]]:
    """In the order in which the keys come first."""
    result: dict[str, list[Call]] = {}
    for call in calls:
        result.setdefault(key(call), []).append(call)
    return result


def page(interface: Interface) -> str:
    whole = [call for call in interface.there if not call.note]
    partly = [call for call in interface.there if call.note]
    absent = [call for call in interface.calls if not call.function]
    parts = groups(whole, lambda call: call.part)
    reasons = groups(absent, lambda call: call.note or NO_REASON)
    rows = [
        "# System calls of Linux",
        "",
        f"<!-- Written by images/linux_page.py (ninja docs) from {LIST}. -->",
        "",
        "\n".join(
            textwrap.wrap(
                f"Of the {len(interface.calls)} system calls of Linux 6.1 on x86-64, {len(whole)} are implemented, {len(partly)} are partly, "
                f"and {len(absent)} are not: these return `ENOSYS`, and the first time a line on the console says which it was. "
                "Arguments, results and errors are Linux's. The number of each call stands behind its name.",
                WIDTH,
            )
        ),
        "",
        "An image holds the calls that its program can make (docs/application.md, System calls).",
        "",
        "## When a call is reported",
        "",
        *REPORTS,
        "",
        f"## Implemented: {len(whole)}",
        "",
    ]
    for part in interface.parts:
        calls = parts.get(part.name, [])
        if calls:
            rows += [f"### {part.name}: {part.summary}", "", names(calls), ""]
    rows += [f"## Partly: {len(partly)}", ""]
    if partly:
        rows += ["| call | number | what is missing |", "|---|---|---|"]
        rows += [f"| `{call.name}` | {call.number} | {call.note} |" for call in partly]
        rows.append("")
    rows += [f"## Not there: {len(absent)}", ""]
    for reason, calls in sorted(reasons.items(), key=lambda item: (item[0] == NO_REASON, -len(item[1]), item[0])):
        rows += [f"**{reason[0].upper()}{reason[1:]}** ({len(calls)}):", names(calls), ""]
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Writes docs/linux.md from the list of system calls.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is not up to date")
    options = parser.parse_args(arguments)
    text = page(Interface.read()).encode()
    if options.check:
        if read_input(PAGE) != text:
            raise Failure(f"{PAGE} is not what {LIST} says: ninja docs")
    else:
        write_output(PAGE, text)
    return 0


if __name__ == "__main__":
    run_main("linux_page", main)
