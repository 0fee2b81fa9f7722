"""Modules of the standard library, from the packed files; and files that the script writes itself."""

import collections
import csv
import datetime
import fractions
import hashlib
import heapq
import io
import itertools
import json
import math
import os
import pathlib
import pickle
import random
import re
import shutil
import signal
import struct
import sys
import tempfile
import textwrap
import time
import unicodedata
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib


def data():
    random.seed(20)
    table = [{"id": number, "name": f"row {number}", "value": random.random()} for number in range(2000)]
    text = json.dumps(table, indent=1)
    print("json:", len(text), json.loads(text) == table, hashlib.sha256(text.encode()).hexdigest()[:16])
    print("pickle:", pickle.loads(pickle.dumps(table)) == table, "zlib:", zlib.decompress(zlib.compress(text.encode())) == text.encode())
    print("struct:", struct.pack("<IhQ", 1, -2, 1 << 40).hex(), "csv:", next(csv.reader(["a,'b',\"c,d\""])))
    print("heap:", heapq.nsmallest(3, (row["value"] for row in table))[0] == min(row["value"] for row in table))
    print("counter:", collections.Counter("abracadabra").most_common(2), "product:", len(list(itertools.permutations(range(6)))))
    print("numbers:", math.factorial(30), fractions.Fraction(355, 113) + 1, 2**521 % 1000003)
    print("date:", datetime.date(2024, 2, 29) + datetime.timedelta(366), time.strftime("%j", time.gmtime(86400 * 364)))
    print("text:", textwrap.shorten("the quick brown fox jumps", 16), unicodedata.name("\N{GREEK SMALL LETTER ALPHA}"))
    print("regular expressions:", re.findall(r"(\w+)=(\d+)", "a=1, bc=22; d = 3"), re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", "1234567"))
    tree = ElementTree.fromstring("<a><b c='1'>text</b><b/></a>")
    print("xml:", [node.get("c") for node in tree.iter("b")], ElementTree.tostring(tree).decode())


def files():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "sub/deep").mkdir(parents=True)
        (folder / "sub/deep/file").write_text("line one\nline two\n")
        os.symlink("deep/file", folder / "sub/link")
        print("link:", (folder / "sub/link").read_text().splitlines()[1], os.readlink(folder / "sub/link"))
        with open(folder / "numbers", "w+b") as file:
            file.write(bytes(range(256)) * 64)
            file.seek(-3, io.SEEK_END)
            print("seek:", list(file.read()), file.tell(), os.fstat(file.fileno()).st_size)
        with zipfile.ZipFile(folder / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            packed.write(folder / "numbers", "numbers")
        print("zip:", zipfile.ZipFile(folder / "packed.zip").testzip(), zipfile.is_zipfile(folder / "packed.zip"))
        os.rename(folder / "numbers", folder / "sub/renamed")
        print("tree:", sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))
        shutil.rmtree(folder / "sub")
        print("left:", os.listdir(folder))
    print("gone:", not os.path.exists(name))


def signals():
    seen = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(signal.Signals(number).name))
    signal.raise_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    print("signals:", seen)


def errors():
    for wrong in (lambda: open("/none"), lambda: os.mkdir("/tmp"), lambda: 1 // 0, lambda: [].pop(), lambda: int("x")):
        try:
            wrong()
        except Exception as error:
            print(f"{type(error).__name__}: {error}")


for part in (data, files, signals, errors):
    print(f"-- {part.__name__}")
    part()
sys.exit(3)
