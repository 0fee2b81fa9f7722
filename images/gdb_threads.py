"""Commands for gdb that show the program's threads.

gdb's own threads are the CPUs. A thread of the program that does not run lies on its core stack as context_swap left it
(arch/x86_64/context.S); to look at one, the CPU's newest frame is said to have been called from there: so nothing of
the machine is changed, and all that shows frames shows those of the thread. That ends when the machine goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import gdb
from gdb.unwinder import Unwinder, register_unwinder

from gdb_constants import C
from gdb_core import Command, core_variable, need_machine, number, print_table, read, register
from tool import Failure

THREADS_MAX = 1 << 20
THREAD_C, SCHEDULER_C = "core/linux/thread.c", "core/threads/scheduler.c"
NS = 1_000_000_000
# What context_swap pushes, from the stack pointer on; the address that it returns to follows.
SWAPPED = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")


def word(address: int) -> int:
    return int.from_bytes(read(address, 8), "little")


def as_register(value: int, kind: gdb.Type | None = None) -> gdb.Value:
    whole = gdb.Value(value).cast(gdb.lookup_type("unsigned long"))
    return whole.cast(kind) if kind else whole


def structure(address: int, name: str) -> gdb.Value:
    return gdb.Value(address).cast(gdb.lookup_type(f"struct {name}").pointer()).dereference()


def states() -> dict[int, str]:
    """enum thread_state of the scheduler."""
    words = {"PARKING": "waits", "PARKED": "waits"}
    return {field.enumval: words.get(field.name, "ready") for field in gdb.lookup_type("enum thread_state").fields()}


# ---- CPUs ----


def cpu_offsets() -> list[int]:
    offsets = core_variable("arch/x86_64/cpu.c", "percpu_offsets")
    count = min(number(core_variable("arch/x86_64/smp.c", "running")), offsets.type.range()[1] + 1)
    return [number(offsets[cpu]) for cpu in range(count)]


def running_threads() -> dict[int, int]:
    """By the address of a thread's structure the CPU that runs it."""
    variable = core_variable(SCHEDULER_C, "scheduler")
    address, pointer = number(variable.address), variable.type.pointer()
    found = {}
    for cpu, offset in enumerate(cpu_offsets()):
        scheduler = gdb.Value((address + offset) % (1 << 64)).cast(pointer).dereference()
        found[number(scheduler["current"])] = cpu
    return found


def gdb_thread_of(cpu: int) -> gdb.InferiorThread:
    """The debugger's thread that is this CPU: gs holds its distance."""
    before, offset = gdb.selected_thread(), cpu_offsets()[cpu]
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            if register("gs_base") == offset:
                return thread
    finally:
        before.switch()
    raise Failure(f"none of the debugger's threads is CPU {cpu}: it may not have begun yet")


# ---- threads ----


@dataclass
class Thread:
    address: int
    id: int
    name: str
    state: str  # runs, ready or waits
    cpu: int  # where it runs, or ran last
    time: int  # ns
    context: gdb.Value

    @property
    def title(self) -> str:
        return f"thread {self.id} ({self.name})"

    def inside(self) -> str:
        """The system call that it is in and its first argument, or the page fault; empty: the program was interrupted."""
        top = number(self.context["high"]) - 8 - C["CALL_SIZE"]
        if word(top + C["CALL_RIP"]) == C["SELECTOR_CODE"]:  # registers lie there, and this is cs
            frame = gdb.lookup_type("struct trap_frame")
            saved = structure(number(self.context["high"]) - frame.sizeof, "trap_frame")
            is_fault = number(saved["vector"]) == C["EXCEPTION_PAGE"]
            return f"a page fault at {number(saved['address']):#x}" if is_fault else ""
        call = word(top + C["CALL_NUMBER"])
        return f"{call_name(call)}({word(top + C['CALL_RDI']):#x})"

    def where(self) -> str:
        if self.state != "runs":
            return self.inside() or "interrupted"
        before = gdb.selected_thread()
        try:
            gdb_thread_of(self.cpu).switch()
            return gdb.newest_frame().name() or f"{register('rip'):#x}"
        finally:
            before.switch()


def call_name(call: int) -> str:
    """That of its function; which is called with the lock held lies behind another (core/linux/table.c)."""
    for table in ("locked", "linux_syscalls"):
        functions = core_variable("core/linux/table.c", table)
        function = number(functions[call]) if call <= functions.type.range()[1] else 0
        name = gdb.execute(f"info symbol {function:#x}", to_string=True).split()[0] if function else ""
        if "linux_" in name:
            return name.split("linux_", 1)[1]
    return f"system call {call}"


class Threads:
    """All threads in the order of their numbers, and what is wrong with the list."""

    def __init__(self) -> None:
        need_machine()
        try:
            first = core_variable(THREAD_C, "linux_first_thread")
        except Failure as failure:
            raise Failure("the core of this image is without threads") from failure
        try:
            begun = number(first["id"]) != 0
        except gdb.MemoryError:
            begun = False  # the image is not mapped yet
        if not begun:
            raise Failure("there are no threads yet: quire-start runs to main")
        self.damage = ""
        self._running, self._states = running_threads(), states()
        self.all = list(self._list(number(first.address)))

    def find(self, id: int) -> Thread:
        thread = next((thread for thread in self.all if thread.id == id), None)
        if thread is None:
            raise Failure(f"there is no thread {id}: quire-threads shows those there are")
        return thread

    def _list(self, address: int) -> Iterator[Thread]:
        seen: set[int] = set()
        while address and address not in seen and len(seen) < THREADS_MAX:
            seen.add(address)
            try:
                value = structure(address, "linux_thread")
                value.fetch_lazy()
                yield self._thread(address, value)
                address = number(value["next"])
            except gdb.MemoryError:
                self.damage = f"the thread at {address:#x} cannot be read"
                return
        if address:
            self.damage = f"the list of threads leads back to {address:#x}"

    def _thread(self, address: int, value: gdb.Value) -> Thread:
        cpu, core = self._running.get(address), value["thread"]
        state = "runs" if cpu is not None else self._states.get(number(core["state"]), "damaged state")
        name = bytes(number(value["name"][i]) & 255 for i in range(value["name"].type.sizeof)).split(b"\0")[0]
        text = "".join(letter if letter.isprintable() else "?" for letter in name.decode(errors="replace"))
        return Thread(address, number(value["id"]), text or "-", state,
                      number(core["cpu"]) if cpu is None else cpu, number(core["ran"]), core["context"])  # fmt: skip


class AllThreads(Command):
    """quire-threads: the program's threads: number, name, state, CPU where each runs or ran last, CPU time, and where.

    Of one that waits or is ready, the system call it is in with its first argument (of futex the address). The CPU time is
    that before the slice that is running. gdb's own threads are the CPUs."""

    name = "quire-threads"

    def run(self, argument: str) -> None:
        threads = Threads()
        rows = [(thread.id, thread.name, thread.state, thread.cpu, f"{thread.time / NS:.3f} s", thread.where())
                for thread in threads.all]  # fmt: skip
        print_table(("thread", "name", "state", "CPU", "CPU time", "where"), rows, left=(1, 2))
        if threads.damage:
            print(f"damaged, or in the middle of an operation: {threads.damage}")


# ---- frames ----


@dataclass
class Selection:
    """What is shown in place of a CPU's frames."""

    gdb_thread: int
    registers: dict[str, int]


selection: Selection | None = None


def selected_here() -> Selection | None:
    thread = gdb.selected_thread()
    return selection if selection and thread and thread.num == selection.gdb_thread else None


def select(new: Selection | None) -> None:
    global selection
    selection = new
    gdb.invalidate_cached_frames()


def saved_registers(context: gdb.Value) -> dict[str, int]:
    stack = number(context["stack"])
    if not number(context["low"]) <= stack < number(context["high"]):
        raise Failure(f"its context is damaged: the stack pointer {stack:#x} is outside of its core stack")
    values = {name: word(stack + 8 * i) for i, name in enumerate(SWAPPED)}
    return values | {"rsp": stack + 8 * len(SWAPPED)}


class Place:
    """Of a frame: a stack below every other, as gdb wants those of callers to lie above."""

    sp = pc = as_register(0)


class ThreadUnwinder(Unwinder):
    """From the newest frame to the thread that was selected."""

    def __init__(self) -> None:
        super().__init__("quire")

    def __call__(self, pending: gdb.PendingFrame) -> gdb.UnwindInfo | None:
        chosen = selected_here() if pending.level() == 0 else None
        if chosen is None:
            return None
        info = pending.create_unwind_info(Place())
        for name, value in chosen.registers.items():
            info.add_saved_register(name, as_register(value, pending.read_register(name).type))
        return info


class HideCpu:
    """The CPU's own frame is not shown with a thread's."""

    def __init__(self) -> None:
        self.name, self.priority, self.enabled = "quire-thread", 100, True
        gdb.frame_filters[self.name] = self

    def filter(self, frames: Iterator) -> Iterator:
        return (frame for frame in frames if not (selected_here() and frame.inferior_frame().level() == 0))


class OneThread(Command):
    """quire-thread [N]: show the frames of a thread of the program, also of one that does not run; without N the CPU's.

    Then backtrace, up, frame, info locals and the like show those of the thread, until the machine goes on or another
    is chosen. Registers and memory stay as they are."""

    name = "quire-thread"

    def run(self, argument: str) -> None:
        if argument and not argument.isdecimal():
            raise Failure("which thread? A number of quire-threads, or nothing for the CPU itself")
        need_machine()
        select(None)
        if argument:
            self._show(Threads().find(int(argument)))
        gdb.execute("frame")

    def _show(self, thread: Thread) -> None:
        if thread.state == "runs":
            print(f"{thread.title} runs on CPU {thread.cpu}")
            gdb_thread_of(thread.cpu).switch()
            return
        inside = thread.inside()
        print(f"{thread.title} {thread.state}" + (f" in {inside}" if inside else ", was interrupted"))
        select(Selection(gdb.selected_thread().num, saved_registers(thread.context)))
        gdb.newest_frame().older().select()


def set_up() -> None:
    register_unwinder(None, ThreadUnwinder(), replace=True)
    HideCpu()
    gdb.events.cont.connect(lambda event: select(None) if selection else None)
