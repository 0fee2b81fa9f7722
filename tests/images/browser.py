"""
Pages in Chromium without a window, for tests: what they say on the console, what they ask for, how wide they are, how
they look. It is driven through its debugging protocol on a pair of pipes (--remote-debugging-pipe: JSON texts, each ended
by a NUL).
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PHONE, DESKTOP = 390, 1280
SECONDS = 30  # for an answer


class Browser:
    """A context manager that owns the process. One page at a time."""

    def __enter__(self) -> "Browser":
        program = shutil.which("chromium")
        if program is None:
            raise AssertionError("chromium is not installed: sudo apt-get install chromium")
        self.profile = tempfile.TemporaryDirectory(prefix="quire-browser-", ignore_cleanup_errors=True)
        commands, self.input = os.pipe()
        self.output, answers = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += ["--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}"]
        # The browser reads descriptor 3 and writes 4; the pipes may have those numbers themselves, so they move first.
        script = f'exec 8<&{commands} 9>&{answers}; exec 3<&8 4>&9 8<&- 9>&-; exec "$@"'
        command = ["bash", "-c", script, "bash", program, *options, "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=(commands, answers), **quiet)
        os.close(commands)
        os.close(answers)
        self.left, self.number = b"", 0
        self.events: list[dict] = []
        targets = self.call("Target.getTargets", session=None)["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", session=None, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.input)
        os.close(self.output)
        self.profile.cleanup()

    def receive(self, end: float) -> dict:
        while b"\0" not in self.left:
            ready, _, _ = select.select([self.output], [], [], max(0, end - time.monotonic()))
            data = os.read(self.output, 1 << 20) if ready else b""
            if not data:
                raise AssertionError("chromium ended" if ready else f"chromium did not answer within {SECONDS} s")
            self.left += data
        text, self.left = self.left.split(b"\0", 1)
        return json.loads(text)

    def call(self, method: str, session: str | None = "", **parameters: Any) -> dict:
        """The result of a command; what else comes in is kept as an event."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self.session
        os.write(self.input, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, path: Path, width: int, scheme: str) -> None:
        """Loads the page, as on a screen so wide, with a light or dark scheme."""
        self.events.clear()
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width == PHONE
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + SECONDS
        while self.evaluate("document.readyState + location.protocol") != "completefile:":
            if time.monotonic() > end:
                raise AssertionError(f"{path} is not loaded within {SECONDS} s")

    def open_blank(self) -> None:
        """A page without a policy, for work of the tests."""
        self.call("Page.navigate", url="about:blank")
        while self.evaluate("document.readyState + location.protocol") != "completeabout:":
            pass

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page has written to its console, errors, and what it has asked for but itself."""
        found = []
        for event in self.events:
            what = event.get("params", {})
            if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(json.dumps(what)[:300])
            if event.get("method") == "Network.requestWillBeSent" and what.get("type") != "Document":
                found += [what["request"]["url"][:100]] if not what["request"]["url"].startswith("data:") else []
        return found

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])


# Colours of a picture that are counted, its rows and columns with anything on them, and its width.
STATISTICS = """
async data => {
    const picture = await createImageBitmap(await (await fetch("data:image/png;base64," + data)).blob());
    const canvas = new OffscreenCanvas(picture.width, picture.height), context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    const dots = new Uint32Array(context.getImageData(0, 0, picture.width, picture.height).data.buffer);
    const ground = dots[0];
    const colours = new Set(), rows = new Set(), columns = new Set();
    for (let i = 0; i < dots.length; i += 7) {
        if (dots[i] !== ground) {
            colours.add(dots[i]); rows.add(Math.floor(i / picture.width)); columns.add(i % picture.width);
        }
    }
    return [colours.size, rows.size / picture.height, columns.size / picture.width, ground & 255];
}
"""


class PageChecks:
    """What every page has to keep; mixed into a TestCase that gives it a browser."""

    browser: Browser

    def statistics(self, picture: bytes) -> list[float]:
        self.browser.open_blank()
        return self.browser.evaluate(f"({STATISTICS})({json.dumps(base64.b64encode(picture).decode())})")

    def assert_pictures(self, *pictures: bytes) -> None:
        """None of them is blank: many colours, and something in most rows and columns."""
        for index, picture in enumerate(pictures):
            colours, rows, columns, _ = self.statistics(picture)
            self.assertTrue(colours > 20 and rows > 0.6 and columns > 0.6, (index, colours, rows, columns))

    def assert_looks(self, page: Path) -> None:
        """On a desk and on a phone, in light and dark: quiet, no wider than the screen, readable, not blank."""
        for width in (DESKTOP, PHONE):
            for scheme in ("light", "dark"):
                with self.subTest(page=page.name, width=width, scheme=scheme):
                    self.browser.open(page, width, scheme)
                    self.assertEqual(self.browser.complaints(), [])
                    self.assertEqual(
                        self.browser.evaluate("[document.documentElement.scrollWidth, innerWidth]"), [width, width]
                    )
                    self.assertGreaterEqual(self.browser.evaluate(SMALLEST_TEXT), 9)
                    colours, rows, columns, ground = self.statistics(self.browser.picture())
                    self.assertTrue(colours > 50 and rows > 0.4 and columns > 0.6, (colours, rows, columns))
                    self.assertEqual(ground > 128, scheme == "light")


# In CSS pixels on the screen, text in charts as they are scaled.
SMALLEST_TEXT = """
Math.min(...[...document.querySelectorAll("body *")].filter(e => e.getClientRects().length && e.tagName != "SCRIPT" &&
    [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())).map(e => {
        const svg = e.closest("svg"), scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
        return parseFloat(getComputedStyle(e).fontSize) * scale;
    }))
"""
