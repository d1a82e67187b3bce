"""Callbacks of a training run: checkpoints at rollout boundaries, and stopping at one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents.checkpoint import Restored, elapsed, save_checkpoint


class Stopped(Exception):
    """The run was asked to stop, and stopped right after a checkpoint.

    Attributes:
        signal: what asked for it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.signal = number


class StopSignals:
    """While it is entered, SIGTERM and Ctrl-C are noted instead of ending the process; a second one ends it."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number


class Checkpoints(BaseCallback):
    """Saves a checkpoint every so many steps, at the next rollout boundary, and at the end.

    Args:
        folder: of the run. every: environment steps between checkpoints. stop: when to stop.
        export: called after each checkpoint; writes the policy as it is.
        restored: what the run continues from.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        stop: StopSignals,
        export: Callable[[BaseAlgorithm], None],
        restored: Restored | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.every = every
        self.stop = stop
        self.export = export
        self.restored = restored or Restored(0, 0.0)
        self._saved = self.restored.timesteps

    def _on_training_start(self) -> None:
        # The log's clock and rate count the whole run.
        self.model.start_time -= int(self.restored.seconds * 1e9)
        self.model._num_timesteps_at_start = 0

    def _on_rollout_start(self) -> None:
        if self.stop.received is not None or self.model.num_timesteps - self._saved >= self.every:
            self._save()
        if self.stop.received is not None:
            raise Stopped(self.stop.received)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        save_checkpoint(self.folder, self.model, elapsed(self.model))
        self.export(self.model)
        self._saved = self.model.num_timesteps
