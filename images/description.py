"""What an image says of itself: the file boot/image.json in its ISO 9660 file system, and how it is found and checked.

It holds what configure.py decided (images/image.py, about_image), the words that the boot loader passes, and for each
part its length and SHA-256. What can be computed from the parts, such as the memory plan, is not in it.

The line "seal" is the length and the SHA-256 of the whole ISO, computed with zeros in the place of both. The formats
that are made of the ISO (images/disk.py) lead back to its very bytes, so that one sum is enough for all of them.
"""

import errno
import gzip
import hashlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tool import Altered, Failure, require

FORMAT = "quire-image 1"
GZIP = b"\x1f\x8b"
# In the first descriptor of the volume, where ISO 9660 has an application's name: an image that is cut is still ours.
APPLICATION = "QUIRE IMAGE"
APPLICATION_AT = 16 * 2048 + 574
FOLDER, FILE = "boot", "image.json"
MADE = {"format", "seal", "compress", "loader", "parts"}  # keys that are not what configure.py decided
MEMORY = {"name", "ram", "stack", "heap", "windows"}  # what a memory plan is made of (images/plan.py)
BLANK = f"{0:012} {'0' * 64}"  # bytes, SHA-256


# What a program says where its own files are the trouble, and not what it reads; xorriso gives another reason if it wrote a part.
NOT_WRITTEN = ("Cannot write all bytes", *map(os.strerror, (errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.EROFS)))


class Rejected(Failure):
    """A program does not take what it was given."""


class Contents(NamedTuple):
    """An ISO with its parts, as they were before they were compressed."""

    about: dict[str, Any]
    elf: bytes
    files: bytes | None


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_text(about: dict[str, Any], line: str, parts: dict[str, bytes], compress: bool) -> bytes:
    """The file, not sealed yet. line: what the boot loader passes."""
    listed = {name: {"bytes": len(data), "sha256": digest(data)} for name, data in parts.items()}
    made = {"compress": "gzip" if compress else None, "loader": line, "parts": listed}
    whole = {"format": FORMAT, "seal": BLANK, **about, **made}
    return (json.dumps(whole, indent=1) + "\n").encode()


def seal(image: bytes, text: bytes) -> bytes:
    """The ISO that holds the text, with the seal filled in."""
    at = image.find(text) + text.find(BLANK.encode())
    filled = f"{len(image):012} {digest(image)}".encode()
    return image[:at] + filled + image[at + len(filled) :]


def check_seal(image: bytes, text: bytes, sealed: str) -> None:
    """The same backwards."""
    length = int(sealed[:12]) if sealed[:12].isdecimal() else 0
    if len(image) < length:
        raise Altered(f"it is truncated: {len(image)} of {length} bytes are there")
    start = image.find(text)
    at = start + text.find(sealed.encode())
    if start < 0 or f"{length:012} {digest(image[:at] + BLANK.encode() + image[at + len(BLANK) :])}" != sealed:
        raise Altered("it was altered: its SHA-256 is not the one that it was made with")


def run(command: list[str]) -> None:
    """A program that reads or makes an image. Rejected if it does not take its input, another Failure if it could not work."""
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"} | {"LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    if done.returncode == 0:
        return
    name = Path(command[0]).name
    if done.returncode < 0:
        raise Failure(f"{name}: {signal.strsignal(-done.returncode)}")
    rows = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
    trouble = next((row for row in rows if any(text in row for text in NOT_WRITTEN)), None)
    text = (trouble or rows[-1]).removeprefix(name).lstrip(" :")
    raise (Failure if trouble else Rejected)(f"{name}: {text}")


def extract(image: bytes, work: Path) -> Path:
    """Writes an ISO and what its folder boot/ holds to the folder work."""
    iso, folder = work / "iso", work / FOLDER
    iso.write_bytes(image)
    try:
        run([require("xorriso"), "-osirrox", "on", "-indev", str(iso), "-extract", f"/{FOLDER}", str(folder)])
    except Rejected:
        raise unreadable(image) from None
    if not (folder / FILE).is_file():
        raise unreadable(image)
    return folder


def is_ours(head: bytes) -> bool:
    return head[APPLICATION_AT : APPLICATION_AT + len(APPLICATION)] == APPLICATION.encode()


def unreadable(head: bytes) -> Failure:
    """Why an image cannot be read: it is damaged if it begins as ours do."""
    if is_ours(head):
        return Altered("it was truncated or altered: it cannot be read")
    return Failure("it is no image of this project")


def are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_memory(memory: Any) -> bool:
    if not isinstance(memory, dict) or not MEMORY <= memory.keys() or not isinstance(memory["windows"], list):
        return False
    windows = all(isinstance(window, list) and len(window) == 3 and is_size(window[1]) for window in memory["windows"])
    return windows and isinstance(memory["name"], str) and all(is_size(memory[key]) for key in ("ram", "stack", "heap"))


def is_line(value: Any) -> bool:
    try:
        return isinstance(value, str) and shlex.split(value) is not None
    except ValueError:
        return False


def is_decided(about: dict[str, Any]) -> bool:
    """What configure.py decided is as it writes it, as far as it is there."""
    environment = about.get("environment", {})
    words = isinstance(environment, dict) and are_texts(list(environment.values())) and is_line(about.get("command_line", ""))
    lists = are_texts(about.get("arguments", [])) and are_texts(about.get("calls", []))
    memory = about.get("memory")
    return words and lists and (memory is None or is_memory(memory) and is_size(about.get("cpus")) and "pages" in about)


def is_complete(about: Any) -> bool:
    """True for what make_text writes; what configure.py decided may be missing."""
    if not isinstance(about, dict) or not isinstance(about.get("parts"), dict) or "kernel" not in about["parts"]:
        return False
    parts = all(isinstance(part, dict) and is_size(part.get("bytes")) and isinstance(part.get("sha256"), str) for part in about["parts"].values())
    texts = all(isinstance(about.get(key), str) for key in ("seal", "name")) and is_line(about.get("loader"))
    return parts and texts and is_decided(about) and "/" not in about["name"] and about.get("compress", "") in (None, "gzip")


def read_text(image: bytes, text: bytes) -> dict[str, Any]:
    """The file, compared with its seal."""
    try:
        about = json.loads(text)
    except ValueError:
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("seal"), str):
        raise Altered(f"it was altered: {FOLDER}/{FILE} cannot be read")
    check_seal(image, text, about["seal"])
    if about.get("format") != FORMAT or not is_complete(about):
        raise Failure(f"its {FOLDER}/{FILE} is of another version than this one reads ({FORMAT})")
    return about


def unpacked(data: bytes, size: int) -> bytes:
    """A part as it was before images/iso.py stored it, which leaves out zeros at the end of the ELF file."""
    return gzip.decompress(data).ljust(size, b"\0") if data.startswith(GZIP) else data


def read_part(folder: Path, about: dict[str, Any], name: str, suffix: str) -> bytes:
    data = (folder / f"{about['name']}{suffix}").read_bytes()
    part = about["parts"][name]
    data = unpacked(data, part["bytes"])
    if digest(data) != part["sha256"]:
        raise Altered(f"it was altered: the SHA-256 of its part '{name}' is not the one that it was made with")
    return data


def read_contents(image: bytes) -> Contents:
    """Everything of an ISO, checked."""
    if not is_ours(image):
        raise unreadable(image)
    with tempfile.TemporaryDirectory(prefix="quire-read-") as name:
        folder = extract(image, Path(name))
        text = (folder / FILE).read_bytes()
        about = read_text(image, text)
        elf = read_part(folder, about, "kernel", "")
        return Contents(about, elf, read_part(folder, about, "files", ".files") if "files" in about["parts"] else None)
