"""The matrix of pairwise cosines as an image."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ..core.arguments import shaped
from ._figure import axes_or_new


def gram(cosines: ArrayLike, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Pairwise cosines in colour: white is orthogonal, dark blue -1, dark red 1.

    **Arguments:**

    - `cosines`: shape `(tokens, tokens)`, such as [`attnflow.cosines`][] gives.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `title`: text.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: not a square matrix.
    """
    matrix = np.asarray(cosines)
    shaped("cosines", matrix.shape, ("tokens", "tokens"))
    ax = axes_or_new(ax, (4.6, 3.8))
    image = ax.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="cosine")
    ax.set_xlabel("token")
    ax.set_ylabel("token")
    if title:
        ax.set_title(title)
    return ax
