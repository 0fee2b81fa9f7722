"""Results as `ninja bench` and a sweep write them, for tests of what draws them: made up, but of the right size."""

VARIANTS = ("THP never", "THP madvise", "THP always")


def row(workload: str, key: str, label: str, group: str, here: float, linux: list[float] | None, **more) -> dict:
    """Linux: the counts of the variants."""
    values = {
        "workload": workload, "key": key, "label": label, "size": None, "group": group,
        "here": {"count": here, "ns": here / 5, "peak": None, "faults": None},
        "linux": None, "ratio": None, "wall": None, "all": [], "zeroed": 0, "notes": [], "libc": "glibc",
        "malloc": "libc",
    }  # fmt: skip
    if linux:
        count, variant = min(zip(linux, VARIANTS))
        values["linux"] = {"variant": variant, "count": count, "ns": count / 4.6, "peak": None, "faults": None}
        values["all"] = [{"variant": name, "count": count} for name, count in zip(VARIANTS, linux)]
        ratio = values["ratio"] = here / count
        values["wall"] = {"median": ratio * 1.2, "min": ratio * 1.05, "max": ratio * 1.6, "turns": 5}
    return values | more


def sized(size: int, i: int) -> list[dict]:
    """What there is for the ith size."""
    pages = size // 4096
    touched = [13000.0 + 1818 * pages, 13100.0 + 1820 * pages, 14000.0 + 700 * pages]
    mapped = [11968.0 + 40 * i, 11990.0, 11971.0]
    allocated = [64.0 + 2 * i, 66.0 + 2 * i, 65.0 + 2 * i]
    return [
        row("mappings", f"map_unmap/{size}", "mmap + munmap, untouched", "mappings", 473 + i, mapped, size=size),
        row("mappings", f"map_touch/{size}", "mmap, every page touched, munmap", "mappings", 900 + 620 * pages, touched,
            size=size, zeroed=size),
        row("allocation", f"malloc/{size}", "malloc + free", "allocation", 60 + 3 * i, allocated, size=size),
    ]  # fmt: skip


def operations() -> list[dict]:
    rows = [
        row("calls", "getppid", "getppid", "system calls", 34, [191.0, 191.0, 191.0]),
        row("calls", "clock", "clock_gettime", "system calls", 61, [58.0, 58.0, 58.0]),
        row("frames", "frame", "a frame taken and given back", "frames", 21.5, None, notes=["Linux has no such call"]),
    ]
    rows += [one for i in range(7) for one in sized(4096 << 2 * i, i)]
    for size, count in ((4096, 760), (2 << 20, 262540)):
        linux = [count * 4.1, count * 4.0, count * 3.2]
        rows.append(row("faults", f"fault/{size}", "demand fault", "faults", count, linux, size=size, zeroed=size))
    rows[-2]["notes"] = ["zeroed on the fault here & on Linux; <rep stosb> counts as one iteration of 8 bytes"]
    return rows


# Name, label, and its ratio.
PROGRAMS = [
    ("trees", "binary trees, depth 16", 0.55),
    ("lua", "strings and tables in Lua", 0.81),
    ("sqlite", "SQLite: 10,000 rows inserted, then asked for", 0.93),
    ("zstd", "zstd -3 of 8 MiB", 0.99),
    ("python", "CPython 3.11: start and json", 0.72),
    ("cadical", "a SAT problem of 400 variables", 1.04),
]


def programs() -> list[dict]:
    rows = []
    for i, (name, label, ratio) in enumerate(PROGRAMS):
        count = 1.7e9 * (i + 1)
        values = row(name, "total", label, "programs", count * ratio, [count * 1.1, count * 1.02, count])
        values["here"] |= {"peak": (61 + 40 * i) << 20, "faults": 300 + i}
        values["linux"] |= {"peak": (50 + 37 * i) << 20, "faults": 15000 + 3100 * i}
        rows.append(values)
    rows[3]["libc"] = "musl"
    rows.append(rows[0] | {"malloc": "jemalloc", "notes": ["jemalloc is linked in on both sides"]})
    return rows


def timeline(workload: str, system: str, most: int) -> dict:
    steps = 60 if system == "here" else 90
    shape = [min(1.0, i / 20) * (0.8 + 0.2 * (i % 7 < 4)) for i in range(steps)]
    samples = [{"ns": i * 21_000_000, "resident": int(most * part), "faults": 5 * i} for i, part in enumerate(shape)]
    return {"workload": workload, "system": system, "samples": samples}


def summary(**changes) -> dict:
    return {
        "made": "2026-11-28T14:00:00Z",
        "versions": {"quire": "v4-12-g83f8059", "qemu": "7.2.17", "linux": "6.1.0-41-cloud-amd64", "gcc": "12.2.0"},
        "host": {"cpu": "AMD EPYC 7763 64-Core Processor", "cores": 2},
        "calibration": {"worst": 0.0001},
        "rows": [*operations(), *programs()],
        "timelines": [timeline(name, system, 61 << 20) for name in ("trees", "lua") for system in ("here", "linux")],
        "problems": ["redis: its Linux guest did not end within 300 s"],
    } | changes  # fmt: skip


def sweep(*axes: str, **changes) -> dict:
    """Over these axes; every seventh cell failed."""
    known = {"pages": ["4k", "2m", "mixed"], "malloc": ["libc", "jemalloc"], "order": ["0", "4", "9"]}
    places: list[dict] = [{}]
    for axis in axes:
        places = [place | {axis: value} for place in places for value in known[axis]]
    cells = []
    for i, place in enumerate(places):
        cost = (
            3.1e9 * (0.82 if place.get("pages") == "2m" else 1) * (0.95 if place.get("malloc") == "jemalloc" else 1)
            + i * 1e7
        )
        figures = {
            "count": int(cost),
            "ns": int(cost),
            "peak": (90 + 13 * (i % 5)) << 20,
            "faults": 40000 // (i + 1),
            "status": 0,
            "error": None,
        }
        if i % 7 == 5:
            figures |= {
                "count": None,
                "ns": None,
                "peak": None,
                "faults": None,
                "status": 134,
                "error": "panic: out of memory <with 64M>",
            }
        cells.append(place | figures)
    values = {key: value for key, value in summary().items() if key in ("made", "versions", "host")}
    return (
        values | {"app": "lua", "axes": {axis: known[axis] for axis in axes}, "cells": cells, "problems": []} | changes
    )
