"""Detached signatures of images, by OpenSSH (ssh-keygen -Y, PROTOCOL.sshsig): FILE.sig beside FILE.

Keys are SSH keys, which people have, keep in agents and on tokens, and publish. A signature says who made a file; that a
file is whole says its own seal (images/description.py).
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from tool import Altered, Failure, require, write_output

NAMESPACE = "quire-image"  # a signature for something else is none for an image


def path_of(image: Path) -> Path:
    return image.with_name(image.name + ".sig")


def of_file(image: Path) -> list[Path]:
    """The signatures that are there of an image under its name and, if that is a link, of the file."""
    found = [path_of(path) for path in (image, Path(os.path.realpath(image)))]
    odd = next((path for path in found if path.is_dir()), None)
    if odd is not None:
        raise Failure(f"{odd} is a folder, where the signature of {image} lies")
    return [path for path in found if os.path.lexists(path)]


def run(image: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """ssh-keygen with the image as its input; it asks for a pass phrase on the terminal."""
    try:
        with image.open("rb") as stream:
            command = [require("ssh-keygen"), "-Y", *arguments, "-n", NAMESPACE]
            return subprocess.run(command, stdin=stream, capture_output=True, check=False)
    except OSError as error:
        raise Failure(f"{image}: {error.strerror}") from error


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    rows = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
    return rows[-1].strip() if rows else f"ssh-keygen ended with {done.returncode}"


def sign(image: Path, key: Path) -> Path:
    """Writes the signature; key: the private one, or the public one of a key that an agent has."""
    if not key.is_file():
        raise Failure(f"{key}: there is no such key; ssh-keygen -t ed25519 makes one")
    done = run(image, "sign", "-f", str(key))
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise Failure(f"{image} was not signed: {last_line(done)}")
    write_output(path_of(image), done.stdout)
    return path_of(image)


def public_key(path: Path) -> str:
    try:
        line = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise Failure(f"{path}: the public key cannot be read") from None
    if not re.match(r"(sk-)?(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+", line):
        raise Failure(f"{path}: this is no public key of OpenSSH (a file that ends with .pub)")
    return line


def verify(image: Path, key: Path | None) -> str:
    """What the signature says: a sentence; Altered if it is not of this image, or not by this key."""
    signature = path_of(image)
    if not signature.is_file():
        if key:
            raise Altered(f"it is not signed: there is no {signature.name}")
        return "none"
    with tempfile.TemporaryDirectory(prefix="quire-sign-") as folder:
        if key is None:
            done = run(image, "check-novalidate", "-s", str(signature))
        else:
            signers = Path(folder, "signers")
            signers.write_text(f"maker {public_key(key)}\n")
            done = run(image, "verify", "-s", str(signature), "-f", str(signers), "-I", "maker")
    found = re.search(r"with (\S+) key (\S+)", done.stdout.decode(errors="replace"))
    if done.returncode or not found:
        whose = f"of the key {key}" if key else "of this image"
        raise Altered(f"its signature {signature.name} is not {whose}: {last_line(done)}")
    anybody = "" if key else ", whoever has that: --key FILE.pub says who must have signed"
    return f"good, by the {found[1]} key {found[2]}{anybody}"
