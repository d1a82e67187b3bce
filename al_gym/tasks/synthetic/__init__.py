"""A prior over classification datasets, wide enough to transfer to real tables and to text and image embeddings."""

from al_gym.tasks.synthetic.generate import DEFAULT_PRIOR, SMALL_PRIOR, synthetic_dataset
from al_gym.tasks.synthetic.prior import KINDS, SyntheticPrior

__all__ = ["DEFAULT_PRIOR", "KINDS", "SMALL_PRIOR", "SyntheticPrior", "synthetic_dataset"]
