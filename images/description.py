"""What an image says of itself: the file boot/image.json in its ISO 9660 file system, and how it is found and checked.

It holds what configure.py decided (images/image.py, about_image), the words that the boot loader passes, and for each
part its length and SHA-256. What can be computed from the parts, such as the memory plan, is not in it.

The line "seal" is the length and the SHA-256 of the whole ISO, computed with zeros in the place of both. The formats
that are made of the ISO (images/disk.py) lead back to its very bytes, so that one sum is enough for all of them.
"""

import gzip
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tool import Altered, Failure, require

FORMAT = "quire-image 1"
FOLDER, FILE = "boot", "image.json"
BLANK = f"{0:012} {'0' * 64}"  # bytes, SHA-256


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
    whole = {"format": FORMAT, "seal": BLANK, **about, "compress": "gzip" if compress else None, "loader": line, "parts": listed}
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


def extract(image: Path, folder: Path) -> None:
    """The folder boot/ of an ISO."""
    command = [require("xorriso"), "-osirrox", "on", "-indev", str(image), "-extract", f"/{FOLDER}", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not (folder / FILE).is_file():
        raise Failure("it is no image of this project, or too damaged to be read")


def read_text(text: bytes) -> dict[str, Any]:
    try:
        about = json.loads(text)
    except ValueError:
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("seal"), str):
        raise Altered(f"it was altered: {FOLDER}/{FILE} cannot be read")
    if about.get("format") != FORMAT:
        raise Failure(f"its {FOLDER}/{FILE} is of another version than this one reads ({FORMAT})")
    return about


def read_part(folder: Path, about: dict[str, Any], name: str, suffix: str) -> bytes:
    data = (folder / f"{about['name']}{suffix}").read_bytes()
    data = gzip.decompress(data) if about["compress"] else data
    if digest(data) != about["parts"][name]["sha256"]:
        raise Altered(f"it was altered: the SHA-256 of its part '{name}' is not the one that it was made with")
    return data


def read_contents(image: bytes) -> Contents:
    """Everything of an ISO, checked."""
    with tempfile.TemporaryDirectory(prefix="quire-read-") as name:
        iso, folder = Path(name, "iso"), Path(name, FOLDER)
        iso.write_bytes(image)
        extract(iso, folder)
        text = (folder / FILE).read_bytes()
        about = read_text(text)
        check_seal(image, text, about["seal"])
        elf = read_part(folder, about, "kernel", "")
        return Contents(about, elf, read_part(folder, about, "files", ".files") if "files" in about["parts"] else None)
