"""
How long a machine was kept from running by what else the host does. Wall time on a host with other work says mostly how
much of a processor the machine got: one that shares two of them with six others takes twice as long, or half of that in
the next minute, and a run of a second is never without an interruption, so that the least of many is no way out.

Linux tells of each thread how long it has run and how long it could have run but had to wait for a processor
(/proc/PID/task/TID/schedstat; Documentation/scheduler/sched-stats.rst). A thread that sleeps does not wait in this sense:
what a guest waits for, timers and devices, stays in its time, and so does all that QEMU does for it. The same is taken off
on both sides, and nothing on a host that has nothing else to do.

The guest does not know when it waits, and the host not what the guest does; but the program is the last thing that the
machine runs. So the threads of the machine's processors are watched, and what they waited in the last so many ns counts.

Of several processors not all that they wait is lost: those that the host has not got wait for each other whatever else it
does. At each moment so many of them could run, and the host has so many processors; the machine got a part of the lesser
of the two, and the rest of that moment is what it waited. Of one processor that is the time that its thread waited.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import Iterator, NamedTuple

INTERVAL_S = 0.004
MOMENT_NS = 100_000_000  # long enough that a wait, which the kernel adds when it is over, is within it mostly
PROC = Path("/proc")


class Sample(NamedTuple):
    """At a time of the host: what a thread has run and waited so far; all in ns."""

    time: int
    ran: int
    waited: int


def threads_below(process: int) -> Iterator[Path]:
    """Of a process and all that it has started."""
    left = [str(process)]
    while left:
        for thread in (PROC / left.pop() / "task").glob("*"):
            yield thread
            left += (thread / "children").read_text().split()


def at(samples: list[Sample], moment: float) -> tuple[float, float]:
    """What a thread has run and waited until a moment; between two samples in proportion."""
    number = bisect_right(samples, moment, key=lambda sample: sample.time)
    if number in (0, len(samples)):
        return samples[max(number - 1, 0)][1:]
    before, after = samples[number - 1], samples[number]
    part = (moment - before.time) / (after.time - before.time)
    return before.ran + part * (after.ran - before.ran), before.waited + part * (after.waited - before.waited)


def lost(span: float, ran: float, waited_ns: float, processors: int) -> float:
    """Of a span, in which the threads together ran and waited so long."""
    could = min(ran + waited_ns, processors * span)
    return max(could - ran, 0) * span / max(could, span) if span else 0


def waited(threads: dict[str, list[Sample]], ns: int, cpus: int = 1, processors: int | None = None) -> int:
    """What the machine's processors, so many, waited in the last so many ns of its life. processors: the host's."""
    machine = sorted(threads.values(), key=lambda samples: samples[-1].ran)[-cpus:]
    if not machine:
        return 0
    end = max(samples[-1].time for samples in machine)
    moments = [*range(end, end - ns, -MOMENT_NS), end - ns][::-1]
    states = [[sum(values) for values in zip(*(at(samples, moment) for samples in machine))] for moment in moments]
    pairs = zip(moments, moments[1:], states, states[1:])
    return round(sum(lost(then - now, after[0] - before[0], after[1] - before[1], processors or os.cpu_count() or 1) for now, then, before, after in pairs))


class Watch:
    """Samples the threads below a process while in `with`. threads: by their numbers, those that ran or waited at all."""

    def __init__(self, process: int):
        self.threads: dict[str, list[Sample]] = {}
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                for thread in threads_below(self._process):
                    self._take(thread)
            except (OSError, ValueError):
                continue  # one of them has just ended, or the kernel does not tell

    def _take(self, thread: Path) -> None:
        """One that slept since the last sample has none."""
        ran, waited_ns, _ = map(int, (thread / "schedstat").read_text().split())
        samples = self.threads.setdefault(thread.name, [])
        if not samples or samples[-1][1:] != (ran, waited_ns):
            samples.append(Sample(time.monotonic_ns(), ran, waited_ns))
