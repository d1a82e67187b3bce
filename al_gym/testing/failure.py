"""The error of a failed check."""

from __future__ import annotations

from al_gym.errors import AlGymError


class VectorEnvError(AlGymError, AssertionError):
    """A vector environment failed a check; the message names the first difference.

    Args:
        check: name of the failed check, one of `al_gym.testing.CHECKS`.
        message: what differs, with the expected and the received value.
        env_index: row of the first difference, None if it concerns the whole batch.
        step: number of calls of `step` since the scenario's first reset, None outside an episode.
        mode: value of the `AutoresetMode` under test, such as "NextStep".
    """

    def __init__(
        self,
        check: str,
        message: str,
        env_index: int | None = None,
        step: int | None = None,
        mode: str | None = None,
    ) -> None:
        places = [("mode", mode), ("env", env_index), ("step", step)]
        where = ", ".join(f"{name} {value}" for name, value in places if value is not None)
        super().__init__(f"[{check}] {message}" + (f" ({where})" if where else ""))
        self.check = check
        self.message = message
        self.env_index = env_index
        self.step = step
        self.mode = mode

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.check, self.message, self.env_index, self.step, self.mode))
