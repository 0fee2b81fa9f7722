"""Objects by the hundred thousand, most of them in cycles, and what the gc module says about them."""

import gc
import sys
import weakref


class Node:
    """One of a binary tree whose nodes know their parents: only the collector can free it."""

    __slots__ = ("left", "right", "up", "__weakref__")

    def __init__(self, depth, up=None):
        self.up = up
        self.left = Node(depth - 1, self) if depth else None
        self.right = Node(depth - 1, self) if depth else None


class Finalized:
    count = 0

    def __init__(self):
        self.me = self

    def __del__(self):
        Finalized.count += 1


def trees():
    gc.collect()
    gc.disable()
    forest = [Node(9) for _ in range(30)]
    root = weakref.ref(forest[0])
    print("tracked:", gc.is_tracked(forest[0]), "reachable:", root() is forest[0], "referrers:", len(gc.get_referrers(forest[0])))
    del forest
    print("after del:", root() is not None, "unreachable objects:", gc.collect(), "then:", root())
    gc.enable()


def generations():
    before = [generation["collections"] for generation in gc.get_stats()]
    kept = []
    for number in range(60000):
        cycle = [number]
        cycle.append(cycle)
        if number % 100 == 0:
            kept.append(cycle)
    after = [generation["collections"] for generation in gc.get_stats()]
    print("thresholds:", gc.get_threshold(), "young collections:", after[0] - before[0] > 50, "middle:", after[1] - before[1] > 5)
    print("kept:", len(kept), sum(cycle[0] for cycle in kept), all(cycle[1] is cycle for cycle in kept))


def finalizers():
    gc.collect()
    phases = []
    gc.callbacks.append(lambda phase, info: phases.append((phase, info["generation"])))
    for _ in range(1000):
        Finalized()
    gc.collect()
    gc.callbacks.pop()
    print("finalized:", Finalized.count, "last collection:", phases[-2:], "garbage:", gc.garbage)


def strings():
    words = {}
    for number in range(50000):
        word = f"{number * 7919 % 10007:05d}"
        words[word] = words.get(word, "") + word[-1]
    text = " ".join(f"{word}:{letters}" for word, letters in sorted(words.items()))
    print("words:", len(words), "letters:", len(text), "last:", text[-14:])
    numbers = sorted((number * 48271) % 65537 for number in range(30000))
    print("numbers:", numbers[:3], numbers[-3:], sum(numbers), f"{sum(number / 3 for number in numbers):.6f}")


def frozen():
    gc.freeze()
    print("frozen:", gc.get_freeze_count() > 1000, end=" ")
    gc.unfreeze()
    print("unfrozen:", gc.get_freeze_count(), "allocated blocks:", sys.getallocatedblocks() > 10000)


for part in (trees, generations, finalizers, strings, frozen):
    print(f"-- {part.__name__}")
    part()
