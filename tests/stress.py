#!/usr/bin/env python3
"""
The stress test of threads and memory for long (`ninja stress`): the image tests/boot/images/stress on machines with 1, 2 and 8
CPUs, one after the other.

    tests/stress.py [--seconds 600] [--seed N] [--cpus 1,2,8] [--memory 256M] [--native]

What it prints is shown as it comes, every five seconds where it is. Each machine runs so many seconds and a short time before.
A line at the end for each: its status is 1 if something was found, 124 if it did not end; that of all is 1 if one was
not 0. --native: on this host instead, the same program for Linux.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "build/test/stress"
CPUS = "1,2,8"
LONGEST = 4  # times the seconds asked for, on a host with other work
BESIDE_S = 120


def numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdigit() and 1 <= int(word) <= 64 for word in words):
        raise argparse.ArgumentTypeError(f"'{text}' must be numbers from 1 to 64, separated by commas")
    return [int(word) for word in words]


def positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"'{text}' must be a number from 1 to 1000000")
    return int(text)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stresses threads and memory.", allow_abbrev=False)
    parser.add_argument("--seconds", type=positive, default=600, help="for each machine (default 600)")
    parser.add_argument("--seed", type=int, help="the mixture of operations; one of its own if not given")
    parser.add_argument("--cpus", type=numbers, default=numbers(CPUS), metavar="N,...", help=f"machines, by their CPUs (default {CPUS})")
    parser.add_argument("--memory", default="256M", metavar="SIZE", help="their RAM (default 256M)")
    parser.add_argument("--native", action="store_true", help="on this host, once")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, seed: int, cpus: int | None) -> int:
    """The status. cpus: of the machine; None: on this host."""
    words = ["--seconds", str(options.seconds), "--seed", str(seed)]
    longest = LONGEST * options.seconds + BESIDE_S
    if cpus is None:
        command = [str(IMAGE / "stress.native"), *words]
    else:
        command = [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(IMAGE / "run.json")]
        command += ["--cpus", str(cpus), "--memory", options.memory, "--timeout", str(longest), "--", *words]
    try:
        return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False, timeout=longest + BESIDE_S).returncode
    except subprocess.TimeoutExpired:
        return 124


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    seed = random.getrandbits(48) if options.seed is None else options.seed
    target = IMAGE / ("stress.native" if options.native else "stress.elf")
    if subprocess.run(["ninja", "--quiet", str(target.relative_to(ROOT))], cwd=ROOT, check=False).returncode:
        return 2
    statuses = {}
    for cpus in [None] if options.native else options.cpus:
        name = "this host" if cpus is None else f"{cpus} CPU{'s' if cpus > 1 else ''}"
        print(f"stress: {name}, seed {seed}", flush=True)
        statuses[name] = run(options, seed, cpus)
    for name, status in statuses.items():
        print(f"stress: {name}: {'ok' if status == 0 else f'status {status}'}")
    return 1 if any(statuses.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
