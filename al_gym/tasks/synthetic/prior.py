"""The dials of the synthetic prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al_gym.errors import ParameterError

Range = tuple[float, float]

#: Sources of a dataset, in the order of `SyntheticPrior.kind_weights`.
KINDS = ("mixture", "network", "tree", "text-embedding", "image-embedding", "image-raw")

#: Fewest rows of a class.
MIN_CLASS_ITEMS = 8


@dataclass(frozen=True, kw_only=True)
class SyntheticPrior:
    """What datasets look like; ranges are (low, high), both included, shares are probabilities.

    The latent space holds the signal. `mixture` and the embeddings draw clusters that belong to classes; `network` and
    `tree` draw points first and label them by a random function. Tables then see the latent space through columns
    that are mixed, warped, cut into categories, repeated, and accompanied by columns without meaning.

    Attributes:
        n_items: rows, uniform.
        small_share: share of datasets with `small_n_items` rows instead.
        small_n_items: rows of a small dataset, uniform.
        n_classes: classes of mixtures, embeddings and images, log-uniform.
        function_classes: classes of networks and trees, log-uniform.
        binary_share: share of datasets with two classes, beside those that the log-uniform draw gives.
        n_features: columns of a table, log-uniform for the informative ones, and cut at the upper end.
        embedding_features: columns of an embedding, uniform.
        image_sides: pixels along one side of a square image.
        kind_weights: relative frequency of each of `KINDS`.
        separation: distance between two clusters over their standard deviation, for mixtures of two classes.
        embedding_separation: the same for embeddings and images, before their spectrum squeezes it.
        class_separation: both distances grow by this times log2(classes / 2), or many classes would be out of reach.
        clusters_per_class: most clusters of one class.
        label_temperature: Gumbel noise on the standardised scores of a network or tree.
        linear_share: weight of a linear function in the scores of a network or tree.
        balanced_share: share of datasets with nearly equal class sizes.
        class_concentration: Dirichlet concentration of the class sizes of the others, log-uniform.
        label_noise_share: share of datasets with wrong labels.
        label_noise: share of rows whose labels are shuffled among them.
        heavy_tail_share: share of datasets with Student-t clusters (2 to 6 degrees of freedom).
        outlier_share: share of datasets with outlying rows.
        outliers: share of rows that lie far out.
        duplicate_share: share of datasets with near-duplicates.
        duplicates: share of rows that nearly repeat another row and have its label.
        warp_share: share of tables with non-linearly warped columns.
        categorical_share: share of tables with one-hot columns.
        redundant_share: share of tables with linear combinations of other columns.
        nuisance_share: share of tables with columns that say nothing about the label.
    """

    n_items: tuple[int, int] = (1100, 2000)
    small_share: float = 0.12
    small_n_items: tuple[int, int] = (400, 1099)
    n_classes: tuple[int, int] = (2, 20)
    function_classes: tuple[int, int] = (2, 7)
    binary_share: float = 0.25
    n_features: tuple[int, int] = (2, 100)
    embedding_features: tuple[int, int] = (32, 100)
    image_sides: tuple[int, int] = (6, 10)
    kind_weights: tuple[float, ...] = (0.32, 0.2, 0.14, 0.14, 0.12, 0.08)
    separation: Range = (2.3, 7.0)
    embedding_separation: Range = (2.3, 7.0)
    class_separation: float = 1.5
    clusters_per_class: tuple[int, int] = (1, 5)
    label_temperature: Range = (0.0, 0.3)
    linear_share: Range = (0.0, 1.0)
    balanced_share: float = 0.5
    class_concentration: Range = (1.0, 10.0)
    label_noise_share: float = 0.35
    label_noise: Range = (0.01, 0.12)
    heavy_tail_share: float = 0.15
    outlier_share: float = 0.2
    outliers: Range = (0.005, 0.03)
    duplicate_share: float = 0.2
    duplicates: Range = (0.02, 0.3)
    warp_share: float = 0.6
    categorical_share: float = 0.4
    redundant_share: float = 0.4
    nuisance_share: float = 0.5

    def __post_init__(self) -> None:
        if len(self.kind_weights) != len(KINDS) or min(self.kind_weights) < 0 or sum(self.kind_weights) <= 0:
            raise ParameterError(f"kind_weights must be {len(KINDS)} non-negative weights, got {self.kind_weights}.")
        for name, value in vars(self).items():
            if name.endswith("_share") and isinstance(value, float) and not 0 <= value <= 1:
                raise ParameterError(f"{name} must lie in [0, 1], got {value}.")
            if isinstance(value, tuple) and name != "kind_weights" and not value[0] <= value[1]:
                raise ParameterError(f"{name} must be (low, high) with low <= high, got {value}.")
        fewest = min(self.n_items[0], self.small_n_items[0] if self.small_share else self.n_items[0])
        for name, (low, high) in {"n_classes": self.n_classes, "function_classes": self.function_classes}.items():
            if low < 2 or high * MIN_CLASS_ITEMS > fewest * (1 - self.duplicates[1]):
                raise ParameterError(
                    f"{name} {low, high} must start at 2 or more and leave {MIN_CLASS_ITEMS} rows a class "
                    f"of {fewest} items; lower it or raise n_items."
                )


def uniform(rng: np.random.Generator, bounds: Range) -> float:
    """A number between two bounds."""
    return float(rng.uniform(bounds[0], bounds[1]))


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """A number between two positive bounds, uniform on the log scale."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def integer(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """An integer between two bounds, both included."""
    return int(rng.integers(bounds[0], bounds[1] + 1))


def log_integer(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """An integer between two positive bounds, both included, uniform on the log scale."""
    return min(int(log_uniform(rng, (bounds[0], bounds[1] + 1))), bounds[1])
