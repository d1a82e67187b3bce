"""Datasets, their sources, and the distributions that tasks are sampled from."""

from al_gym.tasks.bundled import load_bundled
from al_gym.tasks.class_folders import load_images, load_texts
from al_gym.tasks.dataset import MODALITIES, Dataset
from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.folder import FolderReport, load_folder
from al_gym.tasks.load import load_tasks
from al_gym.tasks.mapped import map_dataset
from al_gym.tasks.openml import load_openml
from al_gym.tasks.overlap import check_no_overlap, find_overlaps, shared_rows
from al_gym.tasks.suites import SUITES, list_suites
from al_gym.tasks.synthetic import SyntheticPrior, synthetic_dataset
from al_gym.tasks.vision import load_vision

__all__ = [
    "MODALITIES",
    "SUITES",
    "Dataset",
    "Entry",
    "FolderReport",
    "SyntheticPrior",
    "TaskDistribution",
    "check_no_overlap",
    "find_overlaps",
    "list_suites",
    "load_bundled",
    "load_folder",
    "load_images",
    "load_openml",
    "load_tasks",
    "load_texts",
    "load_vision",
    "map_dataset",
    "shared_rows",
    "synthetic_dataset",
]
