"""The summary as a table on the terminal."""

from __future__ import annotations

import math

import root  # noqa: F401

from report import format_size, paint

GROUP_ORDER = ("programs", "system calls", "faults", "mappings", "allocation", "frames", "operations")
LABEL_WIDTH = 46


def amount(value: float | None) -> str:
    """Instructions, with as many digits as mean something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def ratio_text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def wall_text(wall: dict | None) -> str:
    return f"{wall['median']:.2f} ({wall['min']:.2f}-{wall['max']:.2f})" if wall else "-"


def memory_text(row: dict, key: str) -> str:
    values = [row["here"][key], row["linux"][key] if row["linux"] else None]
    if values[0] is None:
        return ""
    show = format_size if key == "peak" else lambda number: f"{number:,}"
    return " / ".join("-" if value is None else show(value) for value in values)


def painted(text: str, ratio: float | None) -> str:
    return text if ratio is None else paint(text, "32" if ratio < 1 else "31")


def label_of(row: dict) -> str:
    if row["group"] != "programs":
        return row["label"] + (f", {format_size(row['size'])}" if row["size"] is not None else "")
    return row["variant"] if row["label"] == row["variant"] else f"{row['variant']}: {row['label']}"


def row_line(row: dict) -> str:
    label = label_of(row)
    linux = row["linux"]
    line = f"  {label[:LABEL_WIDTH]:<{LABEL_WIDTH}} {amount(row['here']['count']):>15} {amount(linux['count']) if linux else '-':>15}"
    line += " " + painted(f"{ratio_text(row['ratio']):>7}", row["ratio"])
    line += f" {wall_text(row['wall']):>18}  {memory_text(row, 'peak'):<21} {memory_text(row, 'faults')}"
    return line.rstrip()


def mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def verdict(rows: list[dict]) -> str:
    """In how many rows it is ahead, and the geometric mean."""
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    if not ratios:
        return "nothing to compare with"
    ahead = sum(ratio < 1 for ratio in ratios)
    return f"fewer instructions here in {ahead} of {len(ratios)}, geometric mean of the ratios {mean(ratios):.3f}"


def print_table(summary: dict) -> None:
    rows = summary["rows"]
    head = f"{'':<{LABEL_WIDTH + 2}} {'here':>15} {'best Linux':>15} {'ratio':>7} {'wall time (range)':>18}  {'peak here / Linux':<21} faults"
    for group in GROUP_ORDER:
        found = [row for row in rows if row["group"] == group]
        if not found:
            continue
        print(f"\n{paint(group, '1')}: {verdict(found)}\n{paint(head, '2')}")
        for row in found:
            print(row_line(row))
    print("\nInstructions an operation, or of all of a program. Ratios are here / Linux, wall time of runs in turn: median, least, most,")
    print("each without what the host's other work made the machine wait for a processor.")
    worst = summary["calibration"]["worst"]
    if worst is not None:
        print(f"An instruction took a nanosecond of guest time in every run, to {max(worst, 1e-6):.1g}.")
    notes = dict.fromkeys(note for row in rows for note in row["notes"])
    if notes:
        print("What differs in meaning (each row's are in the report):", *notes, sep="\n  ")


def print_sweep(summary: dict) -> None:
    axes = list(summary["axes"])
    widths = [max(len(axis), *(len(word) for word in summary["axes"][axis])) for axis in axes]
    print("  ".join(axis.ljust(width) for axis, width in zip(axes, widths)) + f"  {'instructions':>16} {'by the clock':>13} {'peak':>11} {'faults':>9}")
    counts = [cell["count"] for cell in summary["cells"] if cell["error"] is None]
    for cell in summary["cells"]:
        words = "  ".join(cell[axis].ljust(width) for axis, width in zip(axes, widths))
        if cell["error"] is not None:
            print(f"{words}  {paint(cell['error'], '31')}")
            continue
        clock = f"{cell['ns'] / 1e6:,.1f} ms" if cell["ns"] is not None else "-"
        line = f"{words}  {amount(cell['count']):>16} {clock:>13} {format_size(cell['peak']):>11} {cell['faults']:>9,}"
        print(paint(line + "  fewest", "1;32") if cell["count"] == min(counts) else line)
