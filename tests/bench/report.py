#!/usr/bin/python3
"""
Draws what `ninja bench` and sweeps have measured (`ninja report`): a page that needs nothing else, and charts as PNG.

    tests/bench/report.py [--summary build/bench/summary.json] [--output build/bench]      report.html
    tests/bench/report.py --sweep build/sweep/NAME/summary.json [--output FOLDER]           sweep.html

Debian's python3-matplotlib belongs to Debian's Python, hence the first line.
"""

from __future__ import annotations

import argparse
import sys
from html import escape
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "images"))

import charts  # noqa: E402
from charts import Chart, bytes_text, number_cell, number_text  # noqa: E402
from report_charts import report_charts  # noqa: E402
from report_data import Measure, Row, Summary, Wall, compared, grouped, mean  # noqa: E402
from report_data import ratio_text, read_summary, times_text  # noqa: E402
from report_sweep import FIGURES, read_sweep, sweep_chart, sweep_page  # noqa: E402
from tool import run_main, write_output  # noqa: E402


def headline(rows: list[Row]) -> str:
    known = compared(rows)
    if not known:
        return "<p class=lead>Nothing to compare with: no row has a measurement on Linux.</p>"
    ahead = [row for row in known if (row.ratio or 0) < 1]
    parts = []
    for name, members in (
        ("programs", [r for r in known if r.group == "programs"]),
        ("operations", [r for r in known if r.group != "programs"]),
    ):
        average = mean(row.ratio or 0 for row in members)
        if average is not None:
            parts.append(f"<strong>{ratio_text(average)}</strong> for {name} ({len(members)})")
    text = (
        f"<p class=lead>Fewer instructions than the best Linux in <strong>{len(ahead)} of {len(known)}</strong> rows. "
    )
    text += f"Geometric mean of the ratios, ours to Linux’s: {', '.join(parts)}.</p>"
    behind = sorted((row for row in known if (row.ratio or 0) > 1), key=lambda row: -(row.ratio or 0))
    if behind:
        text += (
            "<p>Behind in: "
            + "; ".join(f"{escape(row.title)} ({ratio_text(row.ratio or 0)})" for row in behind)
            + ".</p>"
        )
    if len(known) < len(rows):
        alone = len(rows) - len(known)
        text += (
            f"<p class=small>{alone} {'row has' if alone == 1 else 'rows have'} nothing on Linux to compare with.</p>"
        )
    return text


def measure_html(measure: Measure | None) -> str:
    if measure is None:
        return ""
    return number_text(measure.count) + (
        f"<small>{charts.time_text(measure.ns)}</small>" if measure.ns is not None else ""
    )


def linux_html(row: Row) -> str:
    if row.linux is None:
        return ""
    text = f"{measure_html(row.linux)}<small>{escape(row.linux.variant)}</small>"
    if len(row.variants) < 2:
        return text
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td class=number>{number_text(count)}</td></tr>" for name, count in row.variants
    )
    return f"{text}<details><summary>all {len(row.variants)} variants</summary><table>{lines}</table></details>"


def ratio_html(row: Row) -> str:
    if row.ratio is None:
        return ""
    kind = "ahead" if row.ratio < 1 else "behind" if row.ratio > 1 else ""
    mark = "<sup title='see the note below'>†</sup>" if row.notes else ""
    text = f'<span class="{kind}">{ratio_text(row.ratio)}</span>{mark}'
    return text + (f"<small>{times_text(row.ratio)}</small>" if row.ratio > 0 else "")


def wall_html(wall: Wall | None) -> str:
    if wall is None:
        return ""
    spread = f"{ratio_text(wall.least)}..{ratio_text(wall.most)}, {wall.turns} turns"
    return f"{ratio_text(wall.median)}<small>{spread}</small>"


def pair_html(row: Row, key: str, text: Callable[[Any], str]) -> str:
    """A figure here and, below it, on Linux."""
    ours, theirs = getattr(row.here, key), getattr(row.linux, key) if row.linux else None
    parts = [text(ours)] if ours is not None else []
    return "".join(parts + ([f"<small>Linux {text(theirs)}</small>"] if theirs is not None else []))


def row_html(row: Row) -> str:
    about = ", ".join(filter(None, (row.build, f"{bytes_text(row.zeroed)} zeroed by contract" if row.zeroed else "")))
    cells = [
        f"<td>{escape(row.title)}{f'<small>{escape(about)}</small>' if about else ''}</td>",
        number_cell("Here", measure_html(row.here)),
        number_cell("Best Linux", linux_html(row)),
        number_cell("Ratio", ratio_html(row)),
        number_cell("Wall time", wall_html(row.wall)),
        number_cell("Peak memory", pair_html(row, "peak", bytes_text)),
        number_cell("Faults", pair_html(row, "faults", number_text)),
    ]
    noted = ' class="noted"' if row.notes else ""
    note = f'<tr class="note"><td colspan="7">† {escape("; ".join(row.notes))}</td></tr>' if row.notes else ""
    return f"<tr{noted}>{''.join(cells)}</tr>{note}"


def table_html(rows: list[Row]) -> str:
    heads = ("Here", "Best Linux", "Ratio", "Wall time", "Peak memory", "Faults")
    head = "<tr><th>Operation</th>" + "".join(f"<th class=number>{name}</th>" for name in heads) + "</tr>"
    bodies = []
    for group, members in grouped(rows).items():
        average = mean(row.ratio for row in compared(members) if row.ratio)
        extra = f" <small>geometric mean {ratio_text(average)}</small>" if average is not None else ""
        title = f'<tr><th colspan="7">{escape(group.capitalize())}{extra}</th></tr>'
        bodies.append(f"<tbody>{title}{''.join(map(row_html, members))}</tbody>")
    return f'<div class="scroll"><table class="rows"><thead>{head}</thead>{"".join(bodies)}</table></div>'


EXPLANATION = """<p>Here and Linux run the same source with the same libc in the same QEMU, which counts: guest time is
one nanosecond an instruction, and a run repeats exactly. “Here” and “Best Linux” are instructions per operation, of
programs per run; a ratio is ours divided by that of the Linux variant that needs the fewest. Wall time is the ratio of
times on the host, of runs taken in turn: median, and least to most.</p>"""


def report_page(summary: Summary, chapters: dict[str, list[Chart]]) -> bytes:
    parts = ["<h1>Quire and Linux, measured</h1>", charts.problems_html(summary.problems), headline(summary.rows)]
    for name, members in chapters.items():
        if members:
            drawn = charts.chart_html(members[0]) if name == "Ratios" else charts.charts_html(members)
            parts.append(f"<h2>{name}</h2>{drawn}")
    parts += [f"<h2>The numbers</h2>{EXPLANATION}{table_html(summary.rows)}"]
    worst = []
    if summary.worst is not None:
        worst.append(("calibration", f"a tick is an instruction to {summary.worst:.2%} at worst"))
    parts.append(f"<h2>Where and when</h2>{charts.about(summary.made, summary.versions, summary.host, worst)}")
    version = escape(str(summary.versions.get("quire", "VERSION")).removesuffix("-dirty"))
    commands = f"git checkout {version}\n./configure.py --setup hello\nninja bench\nninja report"
    parts.append(f"<h2>To repeat it</h2><pre>{commands}</pre>")
    return charts.page("Quire and Linux, measured", "\n".join(parts))


def write_all(folder: Path, page: str, content: bytes, drawn: list[Chart]) -> None:
    """Everything is drawn before anything is written."""
    files = charts.chart_files(drawn) | {page: content}
    for name, data in files.items():
        write_output(folder / name, data)
    print(f"{folder / page} and {len(drawn)} charts beside it")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Draws what was measured: a page, and its charts as PNG.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--summary", type=Path, default=ROOT / "build/bench/summary.json", help="of ninja bench (default: %(default)s)"
    )
    what.add_argument("--sweep", type=Path, metavar="SUMMARY", help="of a sweep, instead")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: where the summary is")
    options = parser.parse_args(arguments)
    folder = options.output or (options.sweep or options.summary).parent
    if options.sweep:
        sweep = read_sweep(options.sweep)
        plot = charts.pyplot()
        drawn = [sweep_chart(plot, sweep, figure) for figure in FIGURES]
        write_all(folder, "sweep.html", sweep_page(sweep, drawn), drawn)
        return 0
    summary = read_summary(options.summary)
    chapters = report_charts(charts.pyplot(), summary)
    write_all(
        folder,
        "report.html",
        report_page(summary, chapters),
        [chart for members in chapters.values() for chart in members],
    )
    return 0


if __name__ == "__main__":
    run_main("report.py", main)
