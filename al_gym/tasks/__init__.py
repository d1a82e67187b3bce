"""Datasets, their sources, and the distributions that tasks are sampled from."""

from al_gym.tasks.bundled import load_bundled
from al_gym.tasks.dataset import Dataset

__all__ = ["Dataset", "load_bundled"]
