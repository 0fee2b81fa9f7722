"""
How long a machine was kept from running by what else the host does. Wall time on a host with other work says mostly how
much of a processor the machine got: one that shares two of them with six others takes twice as long, or half of that in
the next minute, and a run of a second is never without an interruption, so that the least of many is no way out.

Linux tells of each thread how long it has run and how long it could have run but had to wait for a processor
(/proc/PID/task/TID/schedstat; Documentation/scheduler/sched-stats.rst). A thread that sleeps does not wait in this sense:
what a guest waits for, timers and devices, stays in its time, and so does all that QEMU does for it. The same is taken off
on both sides, and nothing on a host that has nothing else to do.

The guest does not know when it waits, and the host not what the guest does; but the program is the last thing that the
machine runs. So the thread of the machine's processor is watched, and what it waited in the last so many ns counts.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Iterator, NamedTuple

INTERVAL_S = 0.004
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


def waited(threads: dict[str, list[Sample]], ns: int) -> int:
    """What the machine's processor waited in the last so many ns of its life, between two samples in proportion."""
    samples = max(threads.values(), key=lambda samples: samples[-1].ran, default=[])
    if not samples:
        return 0
    last = after = samples[-1]
    start = last.time - ns
    for sample in reversed(samples):
        if sample.time <= start:
            part = (start - sample.time) / max(after.time - sample.time, 1)
            return round(last.waited - sample.waited - part * (after.waited - sample.waited))
        after = sample
    return last.waited - after.waited


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
