"""The start of a machine: against the Linux guest, and its boot chart against the count of limits.py."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import boot  # noqa: E402
import limits  # noqa: E402
from root import ROOT  # noqa: E402

CONFIG = ROOT / "build/test/hello/run.json"
PLUGIN = "build/boot-chart/phases.so"


class BootTest(unittest.TestCase):
    def test_against_linux(self) -> None:
        boot.build()
        times = boot.measure(1)
        self.assertLess(times["image"][0], boot.LIMIT * times["Linux"][0])

    def test_a_machine_that_prints_nothing(self) -> None:
        with self.assertRaisesRegex(boot.Failure, "there did not print its first line"):
            boot.first_line(boot.Machine("there", ["echo", "something else"]))


class ChartTest(unittest.TestCase):
    def build(self) -> None:
        targets = [PLUGIN, *(f"build/test/hello/hello.{ending}" for ending in ("elf", "debug", "iso"))]
        subprocess.run(["ninja", "--quiet", *targets], cwd=ROOT, check=True, capture_output=True)

    def chart(self, *options: str) -> tuple[dict, str]:
        """What boot.json says, and what was printed."""
        self.build()
        with tempfile.TemporaryDirectory(prefix="quire-boot-chart-") as folder:
            command = [ROOT / "images/boot_chart.py", "--config", CONFIG, "--output", folder, "--turns", "1", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"<svg", Path(folder, "boot.html").read_bytes())
            self.assertTrue(Path(folder, "boot.png").read_bytes().startswith(b"\x89PNG"))
            return json.loads(Path(folder, "boot.json").read_text()), done.stdout

    def test_it_counts_what_the_limits_count(self) -> None:
        """By another way: limits.py has QEMU write down every instruction of the image."""
        found, printed = self.chart("--memory", f"{limits.BASE_MIB}M")
        phases = {phase["name"]: phase for phase in found["phases"]}
        own = sum(phase["instructions"] for phase in phases.values() if phase["own"])
        expected = limits.entry_to_main(limits.BASE_MIB)
        self.assertAlmostEqual(own, expected, delta=expected / 50)
        self.assertTrue(all(phase["instructions"] > 0 and phase["ns"] > 0 for phase in phases.values()))
        self.assertNotIn("boot loader", phases)
        self.assertIn(f"{own:,}", printed)

    def test_a_loader_is_told_from_firmware(self) -> None:
        found, _ = self.chart("--attach", "cd")
        names = [phase["name"] for phase in found["phases"]]
        self.assertEqual(names[:2], ["firmware", "boot loader"])
        self.assertGreater(found["phases"][1]["instructions"], 1_000_000)

    def test_refusals(self) -> None:
        for words, options in {"ELF file": ["--firmware", "uefi"], "'0'": ["--turns", "0"], "NVME|there: elf": ["--attach", "nvme", "--machine", "microvm"]}.items():
            done = subprocess.run([ROOT / "images/boot_chart.py", "--config", CONFIG, *options], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
            self.assertRegex(done.stderr, words)

    def test_a_folder_that_takes_no_files(self) -> None:
        """It is noticed before anything is measured, so no table is printed."""
        self.build()
        with tempfile.NamedTemporaryFile() as file:
            command = [ROOT / "images/boot_chart.py", "--config", CONFIG, "--output", f"{file.name}/x", "--turns", "1"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\Aboot_chart.py: .*: Not a directory\n\Z")


if __name__ == "__main__":
    unittest.main()
