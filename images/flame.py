"""
Flame graphs (Gregg, "The Flame Graph", 2016), with the outermost function at the top: a page on which boxes have places
in percent, so that it fits every width, and which zooms and finds. Debian has flamegraph.pl (in libdevel-nytprof-perl),
which draws for one width and for light pages; it reads the same folded stacks, as speedscope and others do.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from itertools import groupby
from typing import NamedTuple

import charts

# Left out is what is narrower than this part of it.
NARROWEST = 1 / 4000
ROW_HEIGHT = 20  # CSS pixels
TONES = 6


class Frame(NamedTuple):
    """A box of the flame graph, in weights."""

    name: str
    depth: int
    start: int
    weight: int


def frames_of(folded: Counter[tuple[str, ...]]) -> list[Frame]:
    """The boxes, a parent before its children, those of a parent in the order of their names."""
    found: list[Frame] = []
    pending = [(sorted(folded.items()), 0, 0)]
    while pending:
        stacks, depth, start = pending.pop()
        deeper = [(names, weight) for names, weight in stacks if len(names) > depth]
        for name, group in groupby(deeper, key=lambda stack: stack[0][depth]):
            members = list(group)
            weight = sum(weight for _, weight in members)
            found.append(Frame(name, depth, start, weight))
            pending.append((members, depth + 1, start))
            start += weight
    return found


def tone(name: str) -> int:
    """A colour for a function, the same in every graph; names in brackets have their own."""
    return TONES if name.startswith("[") else sum(name.encode()) % TONES


def frame_html(frame: Frame, total: int) -> str:
    part = frame.weight / total
    about = f"{frame.name}: {frame.weight:,}, {part:.1%}"
    place = f"left:{frame.start / total:.4%};width:{part:.4%};top:{frame.depth * ROW_HEIGHT}px"
    return f'<div class="t{tone(frame.name)}" style="{place}" title="{escape(about)}">{escape(frame.name)}</div>'


FLAME_STYLE = f"""
.flame {{ position: relative; overflow: hidden; margin: .5rem 0 1rem; font-size: 12px;
    line-height: {ROW_HEIGHT - 1}px }}
.flame div {{ position: absolute; height: {ROW_HEIGHT - 1}px; overflow: hidden; white-space: nowrap;
    text-indent: 3px; box-shadow: inset -.5px 0 var(--paper); border-radius: 2px; cursor: pointer; color: #16130e }}
.flame div:hover {{ outline: 2px solid var(--ink); z-index: 1 }}
.flame .above {{ opacity: .55 }}
.flame .found {{ background: #b58fe6 }}
.t0 {{ background: #f6b26b }} .t1 {{ background: #f3c363 }} .t2 {{ background: #ee9f6d }} .t3 {{ background: #f1d17a }}
.t4 {{ background: #e9ab58 }} .t5 {{ background: #f0bb8d }} .t6 {{ background: #b4c4cf }}
.bar {{ position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center;
    background: var(--paper); padding: .5rem 0 }}
.bar input, .bar button {{ font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line);
    border-radius: 6px; padding: .3rem .6rem }}
.bar input {{ flex: 1 1 12rem; min-width: 0; max-width: 24rem }}
#about {{ flex: 1 1 100%; min-height: 1.5em; font-size: .9rem; overflow-wrap: anywhere }}
"""

# Zooming changes places only, which are read back from the style; a box that is elsewhere is not shown.
FLAME_SCRIPT = """
const boxes = [...document.querySelectorAll(".flame div")].map(element => ({
    element, depth: parseFloat(element.style.top),
    left: parseFloat(element.style.left), width: parseFloat(element.style.width) }));
const [about, search, whole] = ["about", "search", "whole"].map(id => document.getElementById(id));
const within = (a, b) => a.left >= b.left - 1e-3 && a.left + a.width <= b.left + b.width + 1e-3;
function zoom(to) {
    for (const box of boxes) {
        const above = box.depth < to.depth && within(to, box), inside = box.depth >= to.depth && within(box, to);
        box.element.hidden = !above && !inside;
        box.element.classList.toggle("above", above);
        box.element.style.left = above ? "0" : (box.left - to.left) / to.width * 100 + "%";
        box.element.style.width = above ? "100%" : box.width / to.width * 100 + "%";
    }
    whole.disabled = to.width >= 100;
}
function find() {
    const text = search.value.toLowerCase();
    let sum = 0, end = -1;
    const found = boxes.filter(box => {
        const hit = text !== "" && box.element.textContent.toLowerCase().includes(text);
        box.element.classList.toggle("found", hit);
        return hit;
    });
    for (const box of found.sort((a, b) => a.left - b.left || b.width - a.width))
        if (box.left >= end - 1e-3) { sum += box.width; end = box.left + box.width; }
    about.textContent = text && `${found.length} boxes hold “${search.value}”: ${sum.toFixed(1)} % of all`;
}
for (const box of boxes) {
    box.element.addEventListener("mouseenter", () => { about.textContent = box.element.title; });
    box.element.addEventListener("click", () => { zoom(box); about.textContent = box.element.title; });
}
whole.addEventListener("click", () => zoom({ depth: 0, left: 0, width: 100 }));
search.addEventListener("input", find);
"""


def flame_page(title: str, folded: Counter[tuple[str, ...]], about: str = "") -> bytes:
    """The folded stacks as a page; about: a sentence on how they were taken."""
    total = sum(folded.values())
    every = frames_of(folded)
    shown = [frame for frame in every if frame.weight >= total * NARROWEST]
    left_out = (
        f" {len(every) - len(shown):,} boxes narrower than 1/{1 / NARROWEST:.0f} are left out."
        if len(shown) < len(every)
        else ""
    )
    boxes = "".join(frame_html(frame, total) for frame in shown)
    height = (max(frame.depth for frame in shown) + 1) * ROW_HEIGHT
    body = f"""<h1>{escape(title)}: where the time goes</h1>
<p>{total:,} samples. {escape(about)} The outermost functions are at the top, below each what it called, as wide as its
part of the samples; from left to right is the alphabet, not time. Grey are system calls, page faults, waiting, and what
has no name. A click shows a box as the whole.{left_out}</p>
<div class="bar"><input id="search" type="search" placeholder="Find a function" aria-label="Find a function">
<button id="whole" disabled>The whole</button><div id="about"></div></div>
<div class="flame" style="height:{height}px">{boxes}</div>
<script>{FLAME_SCRIPT}</script>"""
    return charts.page(f"{title}: flame graph", body, FLAME_STYLE)
