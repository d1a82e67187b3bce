"""What may be known of a pool: struct-of-arrays storage, cached geometry, and the view on them."""

from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.pool.geometry import Geometry
from al_gym.pool.view import PoolView

__all__ = ["Geometry", "PoolArrays", "PoolView", "Shape"]
