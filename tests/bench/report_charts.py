"""The charts of the report: ratios, cost by size, memory over time and at most."""

from __future__ import annotations

from collections import Counter
from typing import Any

import charts
from charts import LIGHT, NARROW, SERIES, WIDE, Chart, bytes_text, number_text
from report_data import Row, Summary, Timeline, compared, families, grouped, ratio_text, times_text, variant_names


def clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def draw_ratio(axes: Any, row: Row, y: float, thick: float) -> None:
    """A bar from 1 to the ratio, and what wall time says about it."""
    ratio = row.ratio or 1
    axes.barh(y, ratio - 1, left=1, height=thick, color=LIGHT["here" if ratio < 1 else "other1"], linewidth=0)
    if row.wall and row.wall.least > 0:
        axes.plot([row.wall.least, row.wall.most], [y, y], color=LIGHT["ink"], linewidth=1.2)
        axes.plot([row.wall.median], [y], "D", color=LIGHT["ink"], markersize=3.5, markerfacecolor=LIGHT["paper"])


def ratio_legend(axes: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    wall = Line2D([], [], color=LIGHT["ink"], marker="D", markersize=3.5, linewidth=1.2, markerfacecolor=LIGHT["paper"])
    known = [
        (Patch(color=LIGHT["here"]), "fewer instructions"),
        (Patch(color=LIGHT["other1"]), "more"),
        (wall, "wall time"),
    ]
    axes.legend(*zip(*known), loc="lower right", bbox_to_anchor=(1, 1), ncol=3, borderaxespad=0.2)


def ratio_figure(plot: Any, groups: dict[str, list[Row]], width: float) -> Any:
    """With the names beside the bars, or on a narrow figure above them."""
    beside = width == WIDE
    pitch = 1.0 if beside else 1.95
    figure, axes = plot.subplots(figsize=(width, 1))
    y, places, names = 0.0, [], []
    for group, rows in groups.items():
        at = -0.01 if beside else 0
        axes.text(
            at,
            y,
            group.capitalize(),
            transform=axes.get_yaxis_transform(),
            weight="bold",
            size=11,
            ha="right" if beside else "left",
            va="center",
        )
        y -= pitch
        for row in rows:
            places.append(y)
            names.append(clip(row.title, 60))
            draw_ratio(axes, row, y, 0.62)
            words = (
                f"{ratio_text(row.ratio or 0)} ({times_text(row.ratio or 1)})" if beside else ratio_text(row.ratio or 0)
            )
            high = y if beside else y + 0.72
            at, side = (1.01, "left") if beside else (1, "right")
            axes.text(at, high, words, transform=axes.get_yaxis_transform(), ha=side, va="center", weight="normal")
            if not beside:
                axes.text(0, high, clip(row.title, 44), transform=axes.get_yaxis_transform(), va="center")
            y -= pitch
        y -= 0.35
    finish_ratio(axes, places if beside else [], names if beside else [], y + pitch * 0.5)
    figure.set_size_inches(width, 0.95 + -y * 0.245)
    return figure


def finish_ratio(axes: Any, places: list[float], names: list[str], low: float) -> None:
    axes.set_xscale("log")
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0.45), max(right, 2.2))
    axes.axvline(1, color=LIGHT["ink"], linewidth=1.2)
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(low, 0.8)
    charts.number_axis(axes.xaxis, True, lambda value: f"{value:g}")
    axes.set_xlabel("ours / best Linux; left of 1 is better" + (" (wall time: median, least to most)" if names else ""))
    ratio_legend(axes)


def ratio_chart(plot: Any, rows: list[Row]) -> Chart:
    groups = grouped(compared(rows))
    what = (
        f"Ratios of instructions, ours to the best Linux's, of {len(compared(rows))} rows; the table has the numbers."
    )
    return Chart("ratios", what, ratio_figure(plot, groups, NARROW), "", ratio_figure(plot, groups, WIDE))


def size_axes(axes: Any, sizes: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    step = -(-len(sizes) // 6)
    charts.number_axis(axes.xaxis, True, bytes_text)
    charts.number_axis(axes.yaxis, True)
    axes.set_xticks(sizes[::step])
    axes.set_ylabel("instructions")


def cost_chart(plot: Any, name: str, rows: list[Row], variants: list[str]) -> Chart:
    labels = {row.label for row in rows}
    title = labels.pop() if len(labels) == 1 else rows[0].family.replace("_", " ")
    title += f" ({rows[0].build})" if name != charts.file_name("cost", rows[0].family) else ""
    figure, axes = plot.subplots(figsize=(NARROW, 3.5))
    lines = [("here", 0, [(row.size, row.here.count) for row in rows])]
    for index, variant in enumerate(variants):
        points = [(row.size, count) for row in rows for one, count in row.variants if one == variant]
        lines.append((f"Linux, {variant}", index % (len(SERIES) - 1) + 1, points))
    for label, series, points in reversed(lines):
        if points:
            colour, marker, dashes = SERIES[series]
            axes.plot(
                *zip(*points),
                label=label,
                color=LIGHT[colour],
                marker=marker,
                linestyle=dashes,
                linewidth=2.4 if not series else 1.6,
            )
    size_axes(axes, sorted({row.size or 0 for row in rows}))
    axes.set_title(clip(title, 52))
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1])
    last = rows[-1]
    what = f"{title}: instructions by size, {bytes_text(rows[0].size or 0)} to {bytes_text(last.size or 0)}."
    caption = f"At {bytes_text(last.size or 0)}: {number_text(last.here.count)} instructions here" + (
        f", {number_text(last.linux.count)} on Linux ({last.linux.variant})." if last.linux else "."
    )
    return Chart(name, what, figure, caption)


def memory_chart(plot: Any, workload: str, lines: list[Timeline]) -> Chart:
    """Both systems' memory over time in one picture."""
    most = max(bytes for line in lines for _, bytes in line.samples)
    end = max(ns for line in lines for ns, _ in line.samples)
    (scale, unit), (size, size_unit) = charts.time_unit(int(end)), charts.bytes_unit(most)
    figure, axes = plot.subplots(figsize=(NARROW, 3.3))
    for line in lines:
        here = line.system == "here"
        colour, _, dashes = SERIES[0 if here else 1]
        shown = charts.thin(line.samples, lambda sample: sample[1])
        times, sizes = [ns / scale for ns, _ in shown], [bytes / size for _, bytes in shown]
        axes.plot(
            times,
            sizes,
            color=LIGHT[colour],
            linestyle=dashes,
            drawstyle="steps-post",
            label="here" if here else "Linux",
        )
        if here:
            axes.fill_between(times, sizes, step="post", color=LIGHT[colour], alpha=0.15, linewidth=0)
    axes.set(xlabel=f"guest time, {unit}", ylabel=f"resident, {size_unit}", title=workload)
    axes.set_ylim(0)
    axes.set_xlim(0)
    axes.legend()
    peaks = {line.system: max(bytes for _, bytes in line.samples) for line in lines}
    words = ", ".join(
        f"{bytes_text(peak)} {'here' if system == 'here' else 'on Linux'}" for system, peak in peaks.items()
    )
    return Chart(
        charts.file_name("memory", workload),
        f"{workload}: resident memory over time.",
        figure,
        f"Most at a time: {words}.",
    )


def peak_chart(plot: Any, rows: list[Row]) -> Chart:
    size, unit = charts.bytes_unit(
        max(peak for row in rows for peak in (row.here.peak, row.linux and row.linux.peak) if peak)
    )
    often = Counter(row.workload for row in rows)
    names = [clip(f"{row.workload}\n({row.build})" if often[row.workload] > 1 else row.workload, 32) for row in rows]
    figure, axes = plot.subplots(figsize=(NARROW, 1.2 + 0.5 * len(rows)))
    for shift, series, label, peaks in (
        (-0.19, 0, "here", [row.here.peak for row in rows]),
        (0.19, 1, "Linux", [row.linux.peak if row.linux else None for row in rows]),
    ):
        known = [(y, peak) for y, peak in enumerate(peaks) if peak]
        if known:
            bars = axes.barh(
                [y + shift for y, _ in known],
                [peak / size for _, peak in known],
                height=0.36,
                color=LIGHT[SERIES[series][0]],
                label=label,
            )
            axes.bar_label(bars, [bytes_text(peak) for _, peak in known], padding=3, size=9.5)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.grid(False, axis="y")
    axes.set(xlabel=f"peak resident memory, {unit}", title="Peak memory of programs")
    axes.legend(loc="lower right")
    return Chart("memory-peak", "Peak resident memory of each program, here and on Linux.", figure)


def report_charts(plot: Any, summary: Summary) -> dict[str, list[Chart]]:
    """The charts of each chapter of the page."""
    rows = summary.rows
    chapters: dict[str, list[Chart]] = {"Ratios": [ratio_chart(plot, rows)] if compared(rows) else []}
    variants = variant_names(rows)
    chapters["Cost by size"] = [cost_chart(plot, name, members, variants) for name, members in families(rows).items()]
    lines: dict[str, list[Timeline]] = {}
    for line in summary.timelines:
        if line.samples:
            lines.setdefault(line.workload, []).append(line)
    known = [row for row in rows if row.group == "programs" and (row.here.peak or row.linux and row.linux.peak)]
    peaks = [peak_chart(plot, known)] if known else []
    chapters["Memory"] = peaks + [memory_chart(plot, name, members) for name, members in lines.items()]
    return chapters
