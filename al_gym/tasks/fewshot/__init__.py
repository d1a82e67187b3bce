"""Few-shot task generators: sinusoids to regress, N classes with K images each to tell apart."""

from al_gym.tasks.fewshot.episodes import Episode, FewShotTasks
from al_gym.tasks.fewshot.omniglot import load_omniglot
from al_gym.tasks.fewshot.sinusoids import SinusoidTasks

__all__ = ["Episode", "FewShotTasks", "SinusoidTasks", "load_omniglot"]
