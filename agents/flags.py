"""A dataclass of arguments as command-line flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def parse_arguments(kind: type[T], description: str | None, argv: Sequence[str] | None = None) -> T:
    """One flag a field of the dataclass `kind`, all with defaults; `tasks_drawn` becomes --tasks-drawn."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    known: Any = fields(kind)  # type: ignore[arg-type]
    for f in known:
        parser.add_argument(
            f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default, help=f"default {f.default}"
        )
    return kind(**vars(parser.parse_args(argv)))
