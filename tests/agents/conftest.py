"""The repository's root comes first on the path: `agents` is not in the wheel, and other projects use that name too."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
