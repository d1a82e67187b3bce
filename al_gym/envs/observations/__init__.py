"""What an agent sees: bounded, label-free features of a campaign; one file a feature set."""

from al_gym.envs.observations.base import DEFAULT_FEATURES, FEATURES, FeatureSet, Observer, Setting, register_features

__all__ = ["DEFAULT_FEATURES", "FEATURES", "FeatureSet", "Observer", "Setting", "list_features", "register_features"]


def list_features() -> dict[str, str]:
    """Name -> one-line description of every registered feature set."""
    return FEATURES.describe()
