"""
Charts, and the pages that show them. A page is one file that asks for nothing from anywhere (its own policy forbids
it): charts are inline SVG, and the same charts lie beside it as PNG.

A colour has a name, and a value on light and on dark ground. Matplotlib draws with the light values, of which no two
are the same; in the SVG each becomes the CSS variable of that name, so that charts follow the page from light to dark. A
PNG stays light. Series differ in colours that colour-blind people can tell apart (after Okabe and Ito: "Color Universal
Design", 2008), and in marker and dashes.

Text in an SVG stays text. A figure's points become CSS pixels where it is shown at its own width, so NARROW suits a
phone and a column of a wide page, and what needs the whole page is drawn a second time, WIDE.
"""

from __future__ import annotations

import io
import re
import sys
from html import escape
from typing import Any, Callable, Iterable, NamedTuple

from report import UNITS
from tool import Failure

COLOURS = {
    "ink": ("#1d2429", "#e8ecef"),
    "muted": ("#56616a", "#a9b4bc"),
    "line": ("#d3dade", "#3a444c"),
    "paper": ("#fcfdfe", "#14191d"),
    "panel": ("#f0f3f5", "#1e252b"),
    "here": ("#0a6fb0", "#5cb8ee"),
    "other1": ("#c8550a", "#ff9550"),
    "other2": ("#886a02", "#e3c440"),
    "other3": ("#9a4189", "#e29fd0"),
    "other4": ("#067a5b", "#45c99d"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
VARIABLES = {light: f"var(--{name})" for name, light in LIGHT.items()}
# What a line of its own is drawn with: the system that this is about first.
SERIES = [("here", "o", "-"), ("other1", "s", "--"), ("other2", "^", "-."), ("other3", "D", ":"), ("other4", "v", "--")]

POINTS = 72  # of an inch
NARROW, WIDE = 5.0, 12.0  # inches
POINTS_MOST = 600  # of a line over time
PNG_DOTS = 150  # an inch

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": LIGHT["muted"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": LIGHT["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.09,
    "figure.facecolor": LIGHT["paper"],
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.7,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    "xtick.color": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.color": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["ink"],
}

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

PAGE_STYLE = """
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem 1rem 3rem; max-width: 76rem; background: var(--paper); color: var(--ink);
    font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .5rem }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem }
p { max-width: 50rem; margin: .5rem 0 }
a { color: var(--here) }
code, pre { font: .9em/1.45 ui-monospace, "DejaVu Sans Mono", monospace }
pre { background: var(--panel); border-radius: 6px; padding: .75rem 1rem; overflow-x: auto }
small, .small { font-size: .85rem; color: var(--muted) }
.lead { font-size: 1.15rem }
.box { border-left: 4px solid var(--other1); background: var(--panel); border-radius: 0 6px 6px 0; padding: .5rem 1rem;
    margin: 1rem 0 }
.box ul { margin: .25rem 0; padding-left: 1.2rem }
.charts { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)) }
figure { margin: 0; min-width: 0 }
.charts figure { max-width: 32rem }
figure svg { display: block; width: 100%; height: auto }
figcaption { font-size: .85rem; color: var(--muted) }
.wide + .narrow { display: none }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; vertical-align: bottom }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line) }
td { vertical-align: top }
thead th { color: var(--muted); border-bottom: 2px solid var(--muted) }
.number { text-align: right; white-space: nowrap }
.number small { display: block }
tbody th[colspan] { padding-top: 1.4rem; font-size: 1.05rem; border-bottom: 1px solid var(--muted) }
td > small { display: block }
tr.noted td { border-bottom: none }
tr.note td { padding-top: 0; font-size: .85rem; color: var(--muted) }
.ahead, .best { color: var(--here); font-weight: 600 }
.behind, .failed { color: var(--other1); font-weight: 600 }
summary { cursor: pointer; color: var(--muted); font-size: .85rem }
details table { width: auto; margin-left: auto; font-size: .85rem }
details td { padding: .15rem .4rem; border: none }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; margin: .5rem 0 }
dt { color: var(--muted) } dd { margin: 0; min-width: 0 }
@media (max-width: 720px) {
    .wide { display: none !important } .wide + .narrow { display: block !important }
    table.rows, .rows > tbody, .rows > tbody > tr, .rows > tbody > tr > td, .rows > tbody > tr > th {
        display: block; border: none }
    .rows > thead { display: none }
    .rows > tbody > tr { border-bottom: 1px solid var(--line); padding: .5rem 0 }
    .rows > tbody > tr.noted { border: none; padding-bottom: 0 }
    .rows > tbody > tr > td { padding: .1rem 0 }
    .rows > tbody > tr > td.none { display: none }
    .rows > tbody > tr > td[data-label] { display: grid; grid-template-columns: 8.5rem 1fr; text-align: right }
    .rows > tbody > tr > td[data-label]::before { content: attr(data-label); color: var(--muted); text-align: left;
        grid-row: 1 / 4 }
    .rows > tbody > tr > td[data-label] > * { grid-column: 2 }
    .rows > tbody > tr > td:first-child { font-weight: 600 }
    .rows small { font-weight: 400 }
}
"""


class Chart(NamedTuple):
    """A figure to be shown and written as NAME.png; `wide` is the same for the whole width of a page, or None."""

    name: str
    what: str  # for those who do not see it
    figure: Any
    caption: str = ""
    wide: Any = None


def pyplot() -> Any:
    """Matplotlib's plotting functions, set to our style; a Failure that names the package if it is not there."""
    try:
        import matplotlib
    except ImportError:
        other = "" if sys.executable == "/usr/bin/python3" else f" (for /usr/bin/python3, and this is {sys.executable})"
        raise Failure(f"matplotlib is not installed: sudo apt-get install python3-matplotlib{other}") from None
    matplotlib.use("agg")
    from matplotlib import pyplot as plot

    plot.rcdefaults()
    plot.rcParams.update(STYLE)
    return plot


def bytes_text(size: float) -> str:
    """To three digits, for axes and tables."""
    unit = next((name for name in reversed(UNITS) if size >= UNITS[name]), "")
    text = f"{size / UNITS[unit]:.3g}" if size < 1000 * UNITS[unit] else f"{size / UNITS[unit]:.0f}"
    return f"{text} {unit}iB" if unit else f"{text} B"


def number_text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.1f}"


def short_number(value: float) -> str:
    """For axes: 20k."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.4g}{unit}"
    return f"{value:.4g}"


def time_unit(most: float) -> tuple[float, str]:
    """Nanoseconds of the unit that suits this many, and its name."""
    return next(
        (scale, name)
        for scale, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
        if most >= scale or scale == 1
    )


def time_text(ns: float) -> str:
    scale, unit = time_unit(ns)
    return f"{ns / scale:.4g} {unit}"


def bytes_unit(most: float) -> tuple[int, str]:
    name = next((name for name in reversed(UNITS) if most >= UNITS[name]), "")
    return UNITS[name], f"{name}iB" if name else "bytes"


def thin(samples: list, height: Callable[[Any], float]) -> list:
    """What a picture can show of many samples: the highest of each stretch, and the first and last."""
    step = -(-len(samples) // POINTS_MOST)
    if step <= 1:
        return samples
    inner = samples[1:-1]
    return [samples[0], *(max(inner[i : i + step], key=height) for i in range(0, len(inner), step)), samples[-1]]


def number_axis(axis: Any, logarithmic: bool = False, text: Callable[[float], str] = short_number) -> None:
    """Labels that words of this module write; on a logarithmic axis at powers of ten, on a short one at 1, 2 and 5."""
    from matplotlib import ticker

    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: text(value)))
    if logarithmic:
        low, high = axis.get_view_interval()
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,), numticks=12))
        axis.set_minor_formatter(ticker.NullFormatter())


def svg(figure: Any, name: str, what: str, kind: str = "") -> str:
    """The figure for a page: a name for each thing referred to that no other chart has, and the page's colours."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": f"{name} {kind}"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # it is laid out now, and that takes a third of the time
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", text)
    text = re.sub("|".join(LIGHT.values()), lambda match: VARIABLES[match[0]], text)
    width, height = (side * POINTS for side in figure.get_size_inches())
    about = f'role="img" aria-label="{escape(what)}" data-chart="{escape(name)}"'
    head = f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" {about}>'
    return re.sub(r"<svg [^>]*>", lambda _: head, text, count=1)


def png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=PNG_DOTS, metadata={"Software": None})
    return stream.getvalue()


def chart_html(chart: Chart) -> str:
    pictures = [(chart.wide, "wide"), (chart.figure, "narrow")] if chart.wide else [(chart.figure, "")]
    drawn = "".join(svg(figure, chart.name, chart.what, kind) for figure, kind in pictures)
    caption = f'{escape(chart.caption)} <a href="{escape(chart.name)}.png">PNG</a>'
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def charts_html(charts: Iterable[Chart]) -> str:
    return f'<div class="charts">{"".join(map(chart_html, charts))}</div>'


def chart_files(charts: Iterable[Chart]) -> dict[str, bytes]:
    """The PNG of each chart, by the name of its file."""
    return {f"{chart.name}.png": png(chart.wide or chart.figure) for chart in charts}


def file_name(*words: str) -> str:
    """Words for people as part of a file's name."""
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)))


def variables(index: int) -> str:
    return "".join(f"--{name}: {values[index]};" for name, values in COLOURS.items())


def page(title: str, body: str, style: str = "") -> bytes:
    light = f":root {{ color-scheme: light dark; {variables(0)} }}"
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(1)} }} }}"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}\n<title>{escape(title)}</title>\n'
        f"<style>{light}\n{dark}{PAGE_STYLE}{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    ).encode(errors="replace")


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs) + "</dl>"


def problems_html(problems: list[str]) -> str:
    if not problems:
        return ""
    rows = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<div class="box"><strong>What could not be measured</strong><ul>{rows}</ul></div>'


def number_cell(label: str, content: str) -> str:
    """A cell of a table; on a phone its label is before it, and nothing is shown of an empty one."""
    kind = "number" if content else "number none"
    return f'<td class="{kind}" data-label="{label}">{f"<div>{content}</div>" if content else ""}</td>'


def about(made: str, versions: dict, host: dict, further: Iterable[tuple[str, str]] = ()) -> str:
    pairs = [("measured", made), *((key, str(value)) for key, value in versions.items())]
    sizes = {key: bytes_text(value) for key, value in host.items() if key == "memory" and isinstance(value, int)}
    pairs += [(f"host {key}", str(value)) for key, value in (host | sizes).items()]
    return definitions([*pairs, *further])
