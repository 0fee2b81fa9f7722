"""The pages and charts of tests/bench/report.py: their files, what they say, and how they look in a browser."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# In this order: there is a report.py in images/ as well, which is a module.
sys.path[:0] = [str(ROOT / folder) for folder in ("images", "tests/images", "tests/bench")]
import report_fixtures as results  # noqa: E402
from browser import DESKTOP, Browser, PageChecks  # noqa: E402

REPORT = Path(__file__).with_name("report.py")
ROW = results.row("calls", "getppid", "getppid", "system calls", 34, [191.0, 192.0])


def draw(folder: Path, values: object, option: str = "--summary") -> subprocess.CompletedProcess[str]:
    """Has the file drawn into its folder."""
    path = folder / "summary.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return subprocess.run(
        [REPORT, option, path, "--output", folder], capture_output=True, text=True, timeout=120, check=False
    )


class ReportTest(PageChecks, unittest.TestCase):
    """One report and its page."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.done = draw(cls.folder, results.summary())
        cls.browser = cls.enterClassContext(Browser())

    def setUp(self) -> None:
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""))

    def text(self) -> str:
        self.browser.open(self.folder / "report.html", DESKTOP, "light")
        return self.browser.evaluate("document.body.innerText")

    def test_every_chart(self) -> None:
        """The ratios, each family of sizes, each program with a timeline, and the peaks; all are in the page too."""
        names = {
            "ratios",
            "cost-map-unmap",
            "cost-map-touch",
            "cost-malloc",
            "cost-fault",
            "memory-peak",
            "memory-trees",
            "memory-lua",
        }
        self.assertEqual({path.stem for path in self.folder.glob("*.png")}, names)
        self.text()
        shown = self.browser.evaluate(
            "[...document.querySelectorAll('svg')].filter(e => e.getClientRects().length).map(e => e.dataset.chart)"
        )
        self.assertEqual(sorted(shown), sorted(names))
        self.assert_pictures(*(path.read_bytes() for path in sorted(self.folder.glob("*.png"))))

    def test_looks(self) -> None:
        self.assert_looks(self.folder / "report.html")

    def test_names_in_charts_are_apart(self) -> None:
        """What a chart refers to (markers, clipping) is its own, and there."""
        self.text()
        double, missing = self.browser.evaluate(
            """(() => {
            const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
            const used = [...document.querySelectorAll('use')].map(e => e.href.baseVal);
            used.push(...[...document.querySelectorAll('[clip-path]')].map(e => e.getAttribute('clip-path').slice(4, -1)));
            return [ids.filter((id, i) => ids.indexOf(id) != i), used.filter(u => !document.getElementById(u.slice(1)))];
        })()"""
        )
        self.assertEqual((double, missing), ([], []))

    def test_charts_follow_the_page(self) -> None:
        """No colour of the light page is left in an SVG, and in the dark a chart's text is the page's."""
        page = (self.folder / "report.html").read_text()
        self.assertNotIn("#1d2429", page[page.index("<body>") :])
        colours = []
        for scheme in ("light", "dark"):
            self.browser.open(self.folder / "report.html", DESKTOP, scheme)
            ink = "getComputedStyle(document.querySelector('svg text')).fill + getComputedStyle(document.body).color"
            colours.append(self.browser.evaluate(ink))
        self.assertNotEqual(*colours)
        for both in colours:
            self.assertEqual(both[: len(both) // 2], both[len(both) // 2 :])

    def test_headline(self) -> None:
        """How many rows are ahead, by how much; what is behind is named."""
        rows = results.summary()["rows"]
        ratios = [row["ratio"] for row in rows if row["ratio"]]
        text = self.text()
        self.assertIn(f"{sum(ratio < 1 for ratio in ratios)} of {len(ratios)} rows", text)
        product = 1.0
        programs = [row["ratio"] for row in rows if row["group"] == "programs"]
        for ratio in programs:
            product *= ratio
        self.assertIn(f"{product ** (1 / len(programs)):.2f} for programs ({len(programs)})", text)
        self.assertIn("Behind in: clock_gettime (1.05)", text)
        self.assertIn("1 row has nothing on Linux to compare with", text)

    def test_rows(self) -> None:
        """A row's figures, its variants, and its note right below it."""
        self.text()
        lines = self.browser.evaluate(
            "[...document.querySelectorAll('table.rows > tbody > tr')].map(e => e.textContent)"
        )
        at = next(i for i, line in enumerate(lines) if line.startswith("demand fault, 4 KiB"))
        for words in (
            "760",
            "2,432",
            "THP always",
            "0.31†",
            "3.2 × fewer",
            "4 KiB zeroed",
            "all 3 variants",
            "THP never3,116",
        ):
            self.assertIn(words, lines[at])
        self.assertIn("<rep stosb> counts as one iteration", lines[at + 1])
        groups = [line for line in lines if "geometric mean" in line or line == "Frames"]
        self.assertEqual(
            [group.split(" geo")[0] for group in groups],
            ["Programs", "System calls", "Faults", "Mappings", "Allocation", "Frames"],
        )
        self.assertEqual(sum("trees: binary trees" in line for line in lines), 2)

    def test_about(self) -> None:
        text = self.text()
        for words in (
            "redis: its Linux guest did not end within 300 s",
            "v4-12-g83f8059",
            "AMD EPYC",
            "git checkout v4-12",
            "ninja report",
            "0.01%",
        ):
            self.assertIn(words, text)


class SmallReportTest(PageChecks, unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_hostile_words_and_nothing_to_compare(self) -> None:
        """Words of the summary are words on the page, in charts as well; a report without Linux is one."""
        bad = "<script>alert(1)</script> $x$ & \"'"
        rows = [
            results.row(bad, f"key/{size}", bad, "programs", 1e9, None, size=size, notes=[bad]) for size in (4096, 8192)
        ]
        rows[0]["here"]["peak"] = 1 << 20
        lines = [results.timeline(bad, "here", 1 << 20)]
        values = results.summary(
            rows=rows, problems=[bad], versions={bad: bad}, host={bad: bad}, timelines=lines, made=bad
        )
        done = draw(self.folder, values)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        page = (self.folder / "report.html").read_text()
        self.assertNotIn("<script", page)
        with Browser() as browser:
            self.browser = browser
            self.assert_looks(self.folder / "report.html")
            browser.open(self.folder / "report.html", DESKTOP, "light")
            text = browser.evaluate("document.body.innerText")
            self.assertIn("Nothing to compare with", text)
            self.assertGreaterEqual(text.count(bad), 4)
        self.assertTrue(all(path.parent == self.folder for path in self.folder.rglob("*.png")))

    def test_refusals(self) -> None:
        """One line that says where, and nothing is written."""
        for words, values in {
            ("is damaged",): '{"rows": [',
            ("has no 'rows'",): {},
            ("has no rows", "no QEMU"): {"rows": [], "problems": ["no QEMU"]},
            ("row 2", "is no object"): {"rows": [ROW, 3]},
            ("row 1 (calls getppid)", "has no 'here'"): {"rows": [{key: ROW[key] for key in ROW if key != "here"}]},
            ("row 1 (calls getppid)", "linux has no 'count'"): {"rows": [ROW | {"linux": {"variant": "x"}}]},
            ("'ratio' is \"1\"",): {"rows": [ROW | {"ratio": "1"}]},
            ("'ratio' is not finite",): {"rows": [ROW | {"ratio": float("nan")}]},
            ("timeline 1", "'samples'"): {"rows": [ROW], "timelines": [{"workload": "a", "system": "here"}]},
        }.items():
            with self.subTest(words):
                self.refused(draw(self.folder, values), *words)
        for words, changes in {
            ("'axes'",): {"axes": {}},
            ("cell 1", "'pages' is '1g'"): {"cells": [{"pages": "1g", "count": 1}]},
            ("cell 1", "has no 'pages'"): {"cells": [{"count": 1}]},
        }.items():
            with self.subTest(words):
                self.refused(draw(self.folder, results.sweep("pages") | changes, "--sweep"), *words)
        (self.folder / "summary.json").unlink()
        done = subprocess.run(
            [REPORT, "--summary", self.folder / "summary.json"], capture_output=True, text=True, check=False
        )
        self.refused(done, "there is no", "ninja bench")

    def refused(self, done: subprocess.CompletedProcess[str], *words: str) -> None:
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(list(self.folder.glob("*.html")) + list(self.folder.glob("*.png")), [])

    def test_without_matplotlib(self) -> None:
        """A Python that does not have it says what to install."""
        (self.folder / "matplotlib.py").write_text("raise ImportError\n")
        path = self.folder / "summary.json"
        path.write_text(json.dumps({"rows": [ROW]}))
        done = subprocess.run(
            [REPORT, "--summary", path],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(self.folder)},
        )
        self.refused(done, "apt-get install python3-matplotlib")


class SweepTest(PageChecks, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = cls.enterClassContext(Browser())

    def draw_sweep(self, *axes: str, **changes: object) -> tuple[Path, str]:
        folder = tempfile.TemporaryDirectory(prefix="quire-test-")
        self.addCleanup(folder.cleanup)
        done = draw(Path(folder.name), results.sweep(*axes, **changes), "--sweep")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        page = Path(folder.name, "sweep.html")
        self.browser.open(page, DESKTOP, "light")
        return page, self.browser.evaluate("document.body.innerText")

    def check(self, page: Path) -> None:
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('svg').length"), 2)
        self.assert_looks(page)
        self.assert_pictures(*((page.parent / f"sweep-{key}.png").read_bytes() for key in ("count", "peak")))

    def test_one_axis(self) -> None:
        page, text = self.draw_sweep("pages", default={"pages": "4k"})
        self.assertIn("Fewest instructions: pages=2m, 2,552,000,000, 18 % fewer than the default.", text)
        self.assertIn("Least peak memory: pages=4k, 90 MiB, which is the default.", text)
        self.check(page)

    def test_two_axes_and_a_failure(self) -> None:
        _, text = self.draw_sweep("pages", "malloc")
        self.assertIn(
            "Fewest instructions: pages=2m malloc=jemalloc, 2,444,900,000, "
            "21 % fewer than the first, pages=4k malloc=libc.",
            text,
        )
        self.assertIn("1 of 6 cells failed", text)
        self.assertIn("pages=mixed malloc=jemalloc: panic: out of memory <with 64M>", text)
        self.assertIn("failed", self.browser.evaluate("document.querySelector('svg').textContent"))

    def test_three_axes(self) -> None:
        page, _ = self.draw_sweep("pages", "malloc", "order")
        self.check(page)

    def test_nothing_but_failures(self) -> None:
        """Cells that were not run count as failed, with that reason."""
        _, text = self.draw_sweep(
            "pages", "malloc", cells=[{"pages": "4k", "malloc": "libc", "count": None, "status": 124, "error": None}]
        )
        for words in (
            "Instructions: not known in any cell",
            "6 of 6 cells failed",
            "malloc=libc: ended with status 124",
            "malloc=jemalloc: was not run",
        ):
            self.assertIn(words, text)


if __name__ == "__main__":
    unittest.main()
