"""Arrays of the numbers of a cover, by name."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.uint16]
Flags = NDArray[np.bool_]
