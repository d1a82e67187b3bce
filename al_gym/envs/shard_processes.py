"""The worker processes of a `ShardedVectorEnv`: requests, answers, deaths and the end."""

from __future__ import annotations

import contextlib
import multiprocessing
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

from al_gym.envs.shard_worker import serve
from al_gym.errors import ShardError

PATIENCE = 5.0  # seconds that a worker has to end by itself


class Workers:
    """The processes and their pipes; ended when this object goes, or at the interpreter's exit."""

    def __init__(self, start_method: str, make: bytes, sizes: Sequence[int]) -> None:
        context: Any = multiprocessing.get_context(start_method)
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._finalizer = weakref.finalize(self, _stop, self._pipes, self._processes)
        for shard, size in enumerate(sizes):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, make, size), name=f"al_gym-shard-{shard}", daemon=True)
            self._pipes.append(here)
            process.start()
            self._processes.append(process)
            there.close()

    @property
    def stopped(self) -> bool:
        """Whether the workers were told to end."""
        return not self._finalizer.alive

    def stop(self) -> None:
        """End them; harmless when done twice."""
        self._finalizer()

    def ask(self, number: int, method: str, calls: Sequence[tuple[Any, ...] | None]) -> list[Any]:
        """Send, then collect all answers before the first error is raised; older answers are thrown away."""
        asked = [shard for shard, call in enumerate(calls) if call is not None]
        for shard in asked:
            try:
                self._pipes[shard].send((number, method, calls[shard]))
            except (BrokenPipeError, ConnectionResetError):
                self._bury(shard)
        results: list[Any] = [None] * len(calls)
        failures: list[tuple[int, BaseException, str]] = []
        for shard in asked:
            answer = self._answer(shard, number)
            if answer[1]:
                failures.append((shard, *answer[2]))
            else:
                results[shard] = answer[2]
        if failures:
            shard, error, text = failures[0]
            raise error from ShardError(f"shard {shard} failed; its traceback:\n{text}")
        return results

    def _answer(self, shard: int, number: int) -> tuple[int, bool, Any]:
        pipe, process = self._pipes[shard], self._processes[shard]
        while True:
            if pipe not in wait([pipe, process.sentinel]) and not pipe.poll():
                self._bury(shard)
            try:
                answer: tuple[int, bool, Any] = pipe.recv()
            except (EOFError, ConnectionResetError):
                self._bury(shard)
            if answer[0] == number:  # others were for a call that was interrupted
                return answer

    def _bury(self, shard: int) -> NoReturn:
        process = self._processes[shard]
        process.join(1.0)
        code = process.exitcode
        self.stop()
        raise ShardError(
            f"the worker of shard {shard} died (exit code {code}); if it ran out of memory, use fewer environments or "
            'shards, and guard the script with `if __name__ == "__main__":`.'
        )


def _stop(pipes: list[Connection], processes: list[BaseProcess]) -> None:
    """End processes: by request, by terminate, by kill."""
    for pipe in pipes:
        with contextlib.suppress(OSError):
            pipe.send((-1, "close", ()))
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.terminate()
            process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    for pipe in pipes:
        pipe.close()
