"""
What is not the same here and on Linux, beside the figures that it touches: differences of meaning, in our favour or not, that
no tuning of either side takes away.
"""

ISOLATION = "no isolation here: the program runs with the core's privileges, so a call or a fault crosses into no other address space or ring"
TEARDOWN = "on Linux the end of the process is part of it (from execve to wait4); here the machine ends with the program and tears down nothing"
CONSOLE = "the program's output goes to the serial line here, and into a file in memory on Linux"
ALONE = "one address space on one CPU: no page is ever shared with, or taken away by, another process, and nothing is accounted to one"

GROUPS = {
    "system calls": [ISOLATION],
    "faults": [ISOLATION, ALONE],
    "mappings": [ISOLATION, ALONE],
    "allocation": [ISOLATION, ALONE],
    "programs": [ISOLATION],
}


def notes_of(group: str, whole: bool) -> list[str]:
    """whole: the figure is of all of the program's run, and not what the program has measured of itself."""
    return [*GROUPS.get(group, []), *([TEARDOWN, CONSOLE] if whole else [])]
