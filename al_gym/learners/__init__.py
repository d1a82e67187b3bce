"""Classifiers, batched over campaigns: one file each."""

from al_gym.learners.base import LEARNERS, Learner, register_learner

__all__ = ["LEARNERS", "Learner", "list_learners", "make_learner", "register_learner"]


def list_learners() -> dict[str, str]:
    """Name -> one-line description of every registered learner."""
    return LEARNERS.describe()


def make_learner(spec: str | Learner) -> Learner:
    """A learner from its name, from 'name:parameter=value,...', or as it is.

    Raises:
        UnknownNameError: no such learner or parameter; lists the closest names.
        ParameterError: a parameter has an impossible value.
    """
    return spec if isinstance(spec, Learner) else LEARNERS.make(spec)
