"""
A sweep: one application built or started in several ways (its axes), a cell for each combination. Its charts are bars
for one axis and maps for more; its page names the best cell, and why others failed.
"""

from __future__ import annotations

import math
from html import escape
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import charts
from charts import LIGHT, NARROW, Chart, bytes_text, number_cell, number_text
from report_data import NUMBER, get, load, texts
from tool import Failure

SPREAD = 1.1  # between the lightest and the darkest colour, at least
BLACK = "#000000"  # on a coloured cell, whatever the page's colours


class Cell(NamedTuple):
    values: tuple[str, ...]  # one of each axis
    count: float | None
    ns: float | None
    peak: int | None
    faults: float | None
    error: str  # why there are no figures, or nothing


class Sweep(NamedTuple):
    app: str
    axes: dict[str, list[str]]
    cells: dict[tuple[str, ...], Cell]
    default: tuple[str, ...]  # what the others are compared with
    named: bool  # the sweep says what is the default; otherwise it is the first cell
    values: dict[str, Any]


class Figure(NamedTuple):
    """What is compared between the cells."""

    key: str
    what: str
    fewest: str
    less: str
    text: Any
    short: Any  # the same where there is little room


FIGURES = [
    Figure("count", "instructions", "Fewest instructions", "fewer", number_text, charts.short_number),
    Figure("peak", "peak memory", "Least peak memory", "less", bytes_text, bytes_text),
]


# Of the table: label, key and how it is written.
COLUMNS = [
    ("Instructions", "count", number_text),
    ("Time", "ns", charts.time_text),
    ("Peak memory", "peak", bytes_text),
    ("Faults", "faults", number_text),
]


def read_cell(values: Any, axes: dict[str, list[str]], where: str) -> Cell:
    place = tuple(str(get(values, axis, (str, int, float), where)) for axis in axes)
    for axis, value in zip(axes, place):
        if value not in axes[axis]:
            raise Failure(f"{where}: '{axis}' is '{value}', which is not on its axis")
    figures = [get(values, key, NUMBER, where, None) for key in ("count", "ns", "peak", "faults")]
    status = get(values, "status", int, where, 0)
    error = get(values, "error", str, where, None) or (f"ended with status {status}" if status else "")
    if not error and figures[0] is None:
        error = "no figures, and no reason given"
    return Cell(place, *(figures if not error else [None] * 4), error)


def read_sweep(path: Path) -> Sweep:
    values, where = load(path, "a sweep"), str(path)
    axes = {
        str(name): [str(value) for value in points]
        for name, points in get(values, "axes", dict, where).items()
        if isinstance(points, list)
    }
    if not axes or not all(axes.values()):
        raise Failure(f"{where}: 'axes' must name the values of one axis at least")
    cells = [read_cell(one, axes, f"{where}, cell {i}") for i, one in enumerate(get(values, "cells", list, where), 1)]
    found = {cell.values: cell for cell in cells}
    for place in product(*axes.values()):
        found.setdefault(place, Cell(place, None, None, None, None, "was not run"))
    named = get(values, "default", dict, where, {})
    default = tuple(str(named.get(axis, points[0])) for axis, points in axes.items())
    return Sweep(get(values, "app", str, where), axes, found, default, bool(named), values)


def place_text(sweep: Sweep, place: tuple[str, ...]) -> str:
    return " ".join(f"{axis}={value}" for axis, value in zip(sweep.axes, place))


def best(sweep: Sweep, key: str) -> Cell | None:
    known = [cell for cell in sweep.cells.values() if getattr(cell, key) is not None]
    return min(known, key=lambda cell: getattr(cell, key), default=None)


def change(sweep: Sweep, cell: Cell, figure: Figure) -> str:
    """The cell against the default."""
    value, base = getattr(cell, figure.key), getattr(sweep.cells.get(sweep.default, cell), figure.key)
    if value is None or not base or cell.values == sweep.default:
        return ""
    percent = (value - base) / base * 100
    return (
        f"{abs(percent):.{0 if abs(percent) >= 9.5 else 1}f} % {figure.less if percent < 0 else 'more'}"
        if abs(percent) >= 0.05
        else "the same"
    )


def best_text(sweep: Sweep, figure: Figure) -> str:
    cell = best(sweep, figure.key)
    if cell is None:
        return f"{figure.what.capitalize()}: not known in any cell."
    name = "the default" if sweep.named else f"the first, {place_text(sweep, sweep.default)}"
    against = change(sweep, cell, figure)
    if not sweep.named and cell.values == sweep.default:
        name = "the first"
    relation = (
        f"{against} than {name}"
        if against and against != "the same"
        else f"the same as {name}"
        if against
        else f"which is {name}"
    )
    return f"{figure.fewest}: {place_text(sweep, cell.values)}, {figure.text(getattr(cell, figure.key))}, {relation}."


def shade_of(value: float, known: list[float]) -> float:
    """0 of the least to 1 of the most; a small spread looks small."""
    least, most = min(known), max(known)
    return math.log(value / least) / math.log(max(most / least, SPREAD)) if least > 0 else 0.0


def heat_cell(axes: Any, sweep: Sweep, cell: Cell, figure: Figure, at: tuple[float, float], known: list[float]) -> None:
    """A square, the lighter the better, with its figure; hatched, with a word, where there is none."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    (x, y), value = at, getattr(cell, figure.key)
    text = {"ha": "center", "va": "center", "size": 10}
    if value is None:
        axes.add_patch(Rectangle(at, 1, 1, facecolor=LIGHT["panel"], edgecolor=LIGHT["line"], hatch="///", linewidth=0))
        axes.text(
            x + 0.5, y + 0.5, "failed" if cell.error else "no figure", color=LIGHT["other1"], weight="bold", **text
        )
        return
    is_best = cell is best(sweep, figure.key)
    axes.add_patch(Rectangle(at, 1, 1, facecolor=colormaps["cividis"](1 - 0.5 * shade_of(value, known)), linewidth=0))
    against = change(sweep, cell, figure) or ("the default" if sweep.named else "the first")
    axes.text(
        x + 0.5,
        y + 0.34,
        ("★ " if is_best else "") + figure.short(value),
        color=BLACK,
        weight="bold" if is_best else "normal",
        **text,
    )
    axes.text(x + 0.5, y + 0.68, against, color=BLACK, **text | {"size": 9.5})
    if is_best:
        axes.add_patch(Rectangle((x + 0.02, y + 0.02), 0.96, 0.96, fill=False, edgecolor=BLACK, linewidth=2.5))


def heat_map(axes: Any, sweep: Sweep, figure: Figure, outer: dict[str, str], down: str, across: str) -> None:
    """The map of two axes at one point of the others."""
    known = [value for cell in sweep.cells.values() if (value := getattr(cell, figure.key)) is not None]
    for (i, row), (j, column) in product(enumerate(sweep.axes[down]), enumerate(sweep.axes[across])):
        place = outer | {down: row, across: column}
        heat_cell(axes, sweep, sweep.cells[tuple(place[axis] for axis in sweep.axes)], figure, (j, i), known)
    axes.set(xlim=(0, len(sweep.axes[across])), ylim=(len(sweep.axes[down]), 0), ylabel=down)
    axes.set_xticks([j + 0.5 for j in range(len(sweep.axes[across]))], sweep.axes[across])
    axes.set_yticks([i + 0.5 for i in range(len(sweep.axes[down]))], sweep.axes[down])
    axes.set_title(" ".join(f"{axis}={value}" for axis, value in outer.items()), size=10.5)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def heat_figure(plot: Any, sweep: Sweep, figure: Figure) -> Any:
    """Two axes make a map, the longer one down; a map for each combination of the others."""
    *others, first, second = sweep.axes
    down, across = sorted((first, second), key=lambda axis: -len(sweep.axes[axis]))
    places = [dict(zip(others, values)) for values in product(*(sweep.axes[axis] for axis in others))]
    high = (0.5 * len(sweep.axes[down]) + 0.6) * len(places) + 0.5
    picture, maps = plot.subplots(len(places), 1, figsize=(NARROW, high), squeeze=False)
    for outer, axes in zip(places, maps[:, 0]):
        heat_map(axes, sweep, figure, outer, down, across)
    maps[-1, 0].set_xlabel(across)
    return picture


def bar_figure(plot: Any, sweep: Sweep, figure: Figure) -> Any:
    """One axis: a bar for each of its points."""
    [(name, points)] = sweep.axes.items()
    picture, axes = plot.subplots(figsize=(NARROW, 1.3 + 0.5 * len(points)))
    for y, point in enumerate(points):
        cell = sweep.cells[(point,)]
        value, is_best = getattr(cell, figure.key), cell is best(sweep, figure.key)
        if value is None:
            axes.text(
                0, y, " failed" if cell.error else " no figure", color=LIGHT["other1"], weight="bold", va="center"
            )
            continue
        bars = axes.barh(y, value, height=0.62, color=LIGHT["here" if is_best else "muted"])
        against = change(sweep, cell, figure)
        axes.bar_label(
            bars, [("★ " if is_best else "") + figure.short(value) + (f" ({against})" if against else "")], padding=4
        )
    axes.set_yticks(range(len(points)), points)
    axes.set(ylim=(len(points) - 0.5, -0.5), ylabel=name)
    axes.margins(x=0.6)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    return picture


def sweep_chart(plot: Any, sweep: Sweep, figure: Figure) -> Chart:
    picture = (bar_figure if len(sweep.axes) == 1 else heat_figure)(plot, sweep, figure)
    picture.suptitle(figure.what.capitalize(), weight="bold", size=11, x=0.02, ha="left")
    return Chart(f"sweep-{figure.key}", f"{figure.what} of each cell. {best_text(sweep, figure)}", picture)


def sweep_row(sweep: Sweep, cell: Cell) -> str:
    compared = {figure.key: figure for figure in FIGURES}
    places = "".join(
        f'<td data-label="{escape(axis)}">{escape(value)}</td>' for axis, value in zip(sweep.axes, cell.values)
    )
    if cell.error:
        return f'<tr>{places}<td colspan="4"><span class="failed">failed</span> {escape(cell.error)}</td></tr>'
    cells = ""
    for label, key, text in COLUMNS:
        value = getattr(cell, key)
        content = "" if value is None else text(value)
        if key in compared and best(sweep, key) is cell:
            content = f'<span class="best">★ {content}</span>'
        if key in compared and value is not None:
            content += f"<small>{change(sweep, cell, compared[key])}</small>"
        cells += number_cell(label, content)
    return f"<tr>{places}{cells}</tr>"


def failures_html(sweep: Sweep) -> str:
    failed = [cell for cell in sweep.cells.values() if cell.error]
    if not failed:
        return ""
    rows = "".join(f"<li>{escape(place_text(sweep, cell.values))}: {escape(cell.error)}</li>" for cell in failed)
    title = f'<span class="failed">{len(failed)} of {len(sweep.cells)} cells failed</span>'
    return f'<div class="box">{title}<ul>{rows}</ul></div>'


def sweep_page(sweep: Sweep, drawn: list[Chart]) -> bytes:
    values = sweep.values
    title = f"{sweep.app}: sweep over {', '.join(sweep.axes)}"
    parts = [f"<h1>{escape(title)}</h1>", charts.problems_html(texts(values, "problems", sweep.app))]
    parts += [f'<p class="lead">{escape(best_text(sweep, figure))}</p>' for figure in FIGURES]
    parts.append(failures_html(sweep))
    heads = "".join(f"<th>{escape(axis)}</th>" for axis in sweep.axes)
    heads += "".join(f"<th class=number>{name}</th>" for name, _, _ in COLUMNS)
    rows = "".join(sweep_row(sweep, sweep.cells[place]) for place in product(*sweep.axes.values()))
    parts.append(charts.charts_html(drawn))
    table = f'<table class="rows"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    parts.append(f'<h2>The cells</h2><div class="scroll">{table}</div>')
    versions, host = (get(values, key, dict, sweep.app, {}) for key in ("versions", "host"))
    parts.append("<h2>Where and when</h2>" + charts.about(str(values.get("made", "")), versions, host))
    axes = " ".join(f"{axis}={','.join(points)}" for axis, points in sweep.axes.items())
    parts.append(f"<p class=small>Sweep of {escape(sweep.app)}: {escape(axes)}</p>")
    return charts.page(title, "\n".join(parts))
