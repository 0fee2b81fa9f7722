"""The project's root folder; importing this makes the modules of images/ known."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "images"))
sys.dont_write_bytecode = True
