"""Checkers for Gymnasium environments; `check_vector_env` judges any native `VectorEnv`."""

from al_gym.testing.failure import VectorEnvError
from al_gym.testing.vector_check import CHECKS, check_vector_env

__all__ = ["CHECKS", "VectorEnvError", "check_vector_env"]
