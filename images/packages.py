"""Debian packages: which are needed and why, which are missing, and installing exactly those."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from report import paint
from tool import Failure

BASE = {
    "clang": "compiles the core and the applications",
    "lld": "links them",
    "llvm": "strips images",
    "binutils": "makes symbols local",
    "ninja-build": "runs the build",
    "musl-dev": "the default C library",
    "qemu-system-x86": "boots the images",
    "grub-pc-bin": "the BIOS boot loader of the ISO",
    "grub-efi-amd64-bin": "the UEFI boot loader of the ISO",
    "xorriso": "writes the ISO",
    "gdb": "ninja debug",
}
TEST = {
    "libcmocka-dev": "unit tests",
    "libclang-rt-dev": "sanitizers and fuzzing of the tests",
    "ovmf": "UEFI firmware for boot tests",
    "qemu-utils": "other formats of disks",
    "libvirt0": "libvirt's schema, for what launchers are given",
    "libxml2-utils": "checks with it",
    "python3-yaml": "reads what KubeVirt is given",
    "busybox-static": "an existing program that tests wrap",
    "bash-static": "another one",
    "gcc": "objects and programs that tests have",
    "g++": "the same in C++",
    "libc6-dev": "static programs of tests",
    "cpio": "reads what is packed",
    "libarchive-tools": "the same",
    "python3-matplotlib": "the charts of ninja report, sweeps and records",
    "chromium": "opens the pages that have them",
    "qemu-utils": "writes and reads disk formats",
    "openssh-client": "signs images",
    "libxml2-utils": "checks the description in an OVA",
}
DISK = {"qemu-utils": "writes disk formats"}
BENCH = {
    "lz4": "unpacks the kernel of the Linux guest",
    "xz-utils": "the same, of other versions",
}
CXX = {"libstdc++-12-dev": "the C++ library"}
GCC = {"gcc": "compiles what says so"}
GXX = {"g++": "compiles C++ that says so"}
LIBC = {"musl": {}, "glibc": {"libc6-dev": "the C library", "libgcc-12-dev": "its unwinder"}, "none": {}}


@cache
def query(*arguments: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise Failure("dpkg-query is not there: the build takes its tools and libraries from Debian packages (Debian 12)") from None


def missing(packages) -> list[str]:
    """Those of the packages that are not installed, in the order given."""
    packages = list(dict.fromkeys(packages))
    if not packages:
        return []
    answer = query("-W", "-f", "${binary:Package} ${db:Status-Status}\n", *packages).stdout
    installed = {row.split()[0].split(":")[0] for row in answer.splitlines() if row.endswith(" installed")}
    return [package for package in packages if package not in installed]


def owner(path: str) -> str | None:
    """The package that a file belongs to."""
    answer = query("-S", path).stdout
    return answer.split(":")[0] if answer else None


def is_known(package: str) -> bool:
    """True if the lists of packages on this machine have it; they may be empty."""
    try:
        done = subprocess.run(["apt-cache", "show", "--no-all-versions", package], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and b"Package:" in done.stdout


def headers(package: str) -> list[str]:
    """Paths of the headers that a package puts below /usr/include."""
    listed = query("-L", package).stdout.splitlines()
    return [path for path in listed if path.startswith("/usr/include/") and os.path.isfile(path)]


def privilege(packages: list[str]) -> list[str]:
    """What to put in front of apt-get."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        what = f"install {' '.join(packages)}" if packages else "update"
        raise Failure(f"not root, and there is no sudo: as root type   apt-get {what}")
    return ["sudo"]


def install(wanted: dict[str, str]) -> None:
    """Installs what is missing of the packages (name: why), showing apt-get's own progress."""
    packages = missing(wanted)
    if not packages:
        return
    print(paint(f"Installing {len(packages)} Debian package{'s' if len(packages) > 1 else ''}:", "1"))
    for package in packages:
        print(f"    {package:<22} {wanted[package]}")
    fetch(packages)
    query.cache_clear()
    left = missing(packages)
    if left:
        raise Failure(f"apt-get ended, but these packages are still not installed: {' '.join(left)}")


def apt_get(packages: list[str]) -> list[str]:
    """The command, with the privilege to install these."""
    return [*privilege(packages), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]


def fetch(packages: list[str]) -> None:
    command = apt_get(packages)
    options = ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]
    known = subprocess.run(["apt-get", "install", "--simulate", *packages], capture_output=True).returncode == 0
    if not known:
        update(command)
    if run([*command, *options, *packages]) == 0:
        return
    if known:  # the lists knew the packages, but the files may be gone from the archive since
        update(command)
        if run([*command, *options, *packages]) == 0:
            return
    raise Failure(f"apt-get could not install {' '.join(packages)}: its message is above")


def update(command: list[str]) -> None:
    if run([*command, "update"]):
        raise Failure("apt-get update failed: its message is above")


def run(command: list[str]) -> int:
    print(paint("$ " + " ".join(command), "2"), flush=True)
    try:
        return subprocess.run(command).returncode
    except FileNotFoundError:
        raise Failure(f"{command[0]} is not there: --setup works on Debian only") from None
