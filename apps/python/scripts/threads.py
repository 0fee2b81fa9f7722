"""Threads of Python: all that threading and concurrent.futures offer, modules that run beside the interpreter, signals."""

import contextvars
import gc
import hashlib
import os
import queue
import signal
import sys
import threading
import time
import zlib
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, as_completed, wait

WORKERS = 6


def in_threads(count, function):
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_threads():
    seen = []
    in_threads(WORKERS, lambda number: seen.append((number, threading.current_thread() is not threading.main_thread())))
    print("threads:", sorted(seen))
    thread = threading.Thread(target=lambda: None, name="named", daemon=True)
    thread.start()
    thread.join()
    print("named:", thread.name, thread.is_alive(), threading.active_count())
    numbers = set()
    barrier = threading.Barrier(WORKERS)
    in_threads(WORKERS, lambda _: (numbers.add(threading.get_native_id()), barrier.wait()))
    print("numbers differ:", len(numbers) == WORKERS and os.getpid() == threading.get_native_id())
    size = threading.stack_size(256 << 10)
    in_threads(2, lambda _: None)
    threading.stack_size(size)


def check_locks():
    total = 0
    lock, again = threading.Lock(), threading.RLock()

    def add(_):
        nonlocal total
        for _ in range(2000):
            with again, again, lock:
                total += 1

    sys.setswitchinterval(1e-4)
    in_threads(WORKERS, add)
    sys.setswitchinterval(5e-3)
    print("total:", total)
    with lock:
        print("not in time:", not lock.acquire(timeout=0.01), not lock.acquire(blocking=False))
    semaphore = threading.BoundedSemaphore(2)
    inside, most = 0, 0

    def enter(_):
        nonlocal inside, most
        for _ in range(20):
            with semaphore:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    in_threads(WORKERS, enter)
    print("inside at most:", most <= 2, inside)


def check_conditions():
    condition, turn, order = threading.Condition(), 0, []

    def take_turns(number):
        nonlocal turn
        for _ in range(5):
            with condition:
                condition.wait_for(lambda: turn % WORKERS == number)
                order.append(number)
                turn += 1
                condition.notify_all()

    in_threads(WORKERS, take_turns)
    print("in turn:", order == list(range(WORKERS)) * 5)
    event = threading.Event()
    timer = threading.Timer(0.01, event.set)
    timer.start()
    print("event:", event.wait(60))
    timer.join()
    barrier, broken = threading.Barrier(2), []
    try:
        barrier.wait(timeout=0.01)
    except threading.BrokenBarrierError:
        broken.append("broken")
    print("barrier:", broken)


def check_queues():
    work, results = queue.Queue(maxsize=4), queue.PriorityQueue()

    def consume(_):
        while (item := work.get()) is not None:
            results.put((item * 7) % 101)
            work.task_done()
        work.task_done()

    consumers = [threading.Thread(target=consume, args=(0,)) for _ in range(3)]
    for thread in consumers:
        thread.start()
    for item in [*range(100), None, None, None]:
        work.put(item)
    work.join()
    for thread in consumers:
        thread.join()
    print("queue:", [results.get() for _ in range(100)] == sorted((item * 7) % 101 for item in range(100)))
    simple = queue.SimpleQueue()
    threading.Thread(target=lambda: simple.put("through")).start()
    print("simple:", simple.get(timeout=60))


def fail(number):
    if number == 3:
        raise ValueError("of a thread")
    return number


def check_futures():
    data = [bytes([number]) * 200_000 for number in range(16)]
    with ThreadPoolExecutor(WORKERS) as pool:
        digests = list(pool.map(lambda item: hashlib.sha256(item).hexdigest()[:8], data))
        packed = [future.result() for future in [pool.submit(zlib.compress, item, 9) for item in data]]
        checks = sum(future.result() for future in as_completed(pool.submit(zlib.crc32, item) for item in data))
        print("pool:", digests[:3], [len(item) for item in packed[:3]], checks, [zlib.decompress(item) for item in packed] == data)
        futures = [pool.submit(fail, number) for number in range(6)]
        wait(futures, return_when=FIRST_EXCEPTION)
        print("failed:", [str(future.exception()) for future in futures if future.exception()])
    print("sum:", sum(ThreadPoolExecutor(2).map(pow, range(100), [2] * 100)))


def check_locals():
    local, variable, seen = threading.local(), contextvars.ContextVar("variable", default="none"), []

    def own(number):
        local.value = number
        variable.set(number)
        time.sleep(0)
        seen.append(local.value == number and variable.get() == number)

    in_threads(WORKERS, own)
    print("own:", all(seen), hasattr(local, "value"), variable.get())


def check_garbage():
    """Collected while others make cycles."""

    class Node:
        pass

    def make(_):
        for _ in range(1000):
            one, other = Node(), Node()
            one.other, other.other = other, one
            if _ % 200 == 0:
                gc.collect()

    in_threads(WORKERS, make)
    gc.collect()
    print("garbage:", sum(isinstance(item, Node) for item in gc.get_objects()))


def check_exceptions():
    caught = []
    hook, threading.excepthook = threading.excepthook, lambda arguments: caught.append(str(arguments.exc_value))
    in_threads(3, lambda number: fail(3))
    threading.excepthook = hook
    print("uncaught:", caught)


def check_signals():
    got = []
    signal.signal(signal.SIGUSR1, lambda number, _: got.append(threading.current_thread() is threading.main_thread()))
    thread = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    thread.start()
    thread.join()
    while not got:
        time.sleep(0.001)
    print("handled by main:", got)


def check_pipe():
    reading, writing = os.pipe()
    got = []

    def read(_):
        while part := os.read(reading, 4096):
            got.append(len(part))

    thread = threading.Thread(target=read, args=(0,))
    thread.start()
    for _ in range(50):
        os.write(writing, b"x" * 3000)
    os.close(writing)
    thread.join()
    os.close(reading)
    print("pipe:", sum(got))


def main():
    checks = [check_threads, check_locks, check_conditions, check_queues, check_futures, check_locals, check_garbage]
    for check in [*checks, check_exceptions, check_signals, check_pipe]:
        check()
    leftover = threading.Thread(target=lambda: (time.sleep(0.05), print("ended behind main")))
    leftover.start()
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # for ever: nobody waits for it
    print("main ends")


main()
