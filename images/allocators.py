"""
The allocators that a program can be linked with: malloc and its relatives, and C++'s operators new and delete, in place
of the C library's. A new one is an entry of the table.

An allocator is an archive in front of the C library's on the link line: the first archive that defines malloc is taken,
and then nothing refers to the C library's any more. Where the C library calls its own allocator by another name, `link`
gives that name to the chosen one's functions.

Some are Debian's static libraries, compiled for glibc. Others are compiled from Debian's source, once for a C library,
variant and language, and shared by all images: as C++ their operator new throws std::bad_alloc, as C it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sources
from debian_source import Source


@dataclass(frozen=True)
class Allocator:
    libcs: tuple[str, ...] = ("musl", "glibc")  # that it works with
    packages: dict[str, str] = field(default_factory=dict)  # Debian packages, and why
    library: str = ""  # of these packages
    source: Source | None = None
    own: tuple[str, ...] = ()  # sources of the project's
    own_cxx: tuple[str, ...] = ()  # for programs in C++, besides
    inline: str = ""  # header in front of every source of a program, for what is done without a call
    cflags: tuple[str, ...] = ()  # of the source
    is_cxx: bool = False  # programs in C need C++'s library too
    native: str = ""  # what takes its place in a program for Linux
    link: dict[str, tuple[str, ...]] = field(default_factory=dict)  # words for the linker, by C library


MIMALLOC = Source(
    "mimalloc",
    ["src/static.c"],
    include=["include"],
    # 2.0.9 takes blocks of 256 and 512 bytes for aligned as they are, which those up to 128 are (microsoft/mimalloc#700).
    commands=["sed -i '/size >= alignment && size <= MI_SMALL_SIZE_MAX/s/MI_SMALL_SIZE_MAX/MI_MAX_ALIGN_GUARANTEE/' src/alloc-aligned.c"],
)
# musl's own callers, such as duplocale: without these names they would bring a second allocator.
MUSL_NAMES = tuple(f"--defsym=__libc_{name}={name}" for name in ("malloc", "calloc", "realloc", "free"))

ALLOCATORS = {
    "heap": Allocator(
        own=tuple(sources.HEAP_SOURCES), own_cxx=tuple(sources.HEAP_CXX_SOURCES), inline=sources.HEAP_INLINE, native="libc"
    ),
    "hardened": Allocator(own=tuple(sources.HARDENED_SOURCES), native="libc"),
    "libc": Allocator(libcs=("musl", "glibc", "none")),
    "jemalloc": Allocator(libcs=("glibc",), packages={"libjemalloc-dev": "the allocator jemalloc"}, library="jemalloc_pic"),
    "mimalloc": Allocator(
        source=MIMALLOC,
        # aligned_alloc only takes the place of the C library's where glibc's headers, or this word, say that there is one.
        cflags=("-DNDEBUG", "-DMI_MALLOC_OVERRIDE", "-D__USE_ISOC11=1", "-fno-builtin-malloc"),
        link={"musl": MUSL_NAMES},
    ),
    "tcmalloc": Allocator(
        libcs=("glibc",), packages={"libgoogle-perftools-dev": "the allocator tcmalloc"}, library="tcmalloc_minimal", is_cxx=True
    ),
}


def default_of(libc: str) -> str:
    """The allocator of programs that do not say."""
    return "libc" if libc == "none" else "heap"


def why_not(name: str, libc: str) -> str:
    """Why the allocator cannot be used with the C library; empty if it can."""
    libcs = ALLOCATORS[name].libcs
    if libc in libcs:
        return ""
    needed = " or ".join(f'libc = "{other}"' for other in libcs)
    reason = "without a C library there is no malloc to replace" if libc == "none" else "Debian's library is compiled for that"
    return f"needs {needed}: {reason}"
