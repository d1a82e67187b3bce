"""The real datasets that need no download: the judges of the default training."""

from functools import cache, partial

from al_gym.tasks.bundled import BUNDLED_FAMILIES, load_bundled
from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.suites import SUITES


@SUITES.register("bundled")
@cache
def bundled() -> TaskDistribution:
    """scikit-learn's digits, breast cancer, wine and iris, all of them for testing."""
    entries = [Entry(name, family, partial(load_bundled, name)) for name, family in BUNDLED_FAMILIES.items()]
    return TaskDistribution(entries, splits={"train": [], "valid": [], "test": list(BUNDLED_FAMILIES)})
