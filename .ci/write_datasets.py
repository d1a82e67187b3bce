"""Write two of scikit-learn's bundled sets into a folder, in the two kinds of files that `--data` reads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris, load_wine

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
wine = load_wine()
np.savez(folder / "wine.npz", X=wine.data, y=wine.target)
iris = load_iris(as_frame=True)
iris.frame.to_csv(folder / "iris.csv", index=False)
