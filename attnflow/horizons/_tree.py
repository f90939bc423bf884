"""Who is one with whom: tokens replaced by a weighted one, clusters that count as one, and the levels of energy."""

import jax.numpy as jnp
import numpy as np

from ._history import Merges
from ._stage import Slopes


class Tree:
    """The state of a long run on the host: tokens that stand for others, and the clusters so far."""

    def __init__(self, x: np.ndarray, masses: np.ndarray):
        tokens = len(masses)
        self.x = np.array(x, np.float64)
        self.masses = np.array(masses, np.float64)
        self.alive = np.ones(tokens, bool)
        self.place = np.arange(tokens)  # the token that stands for each
        self.turns = np.zeros(tokens)  # 2π times the turns between the two angles
        self.cluster = np.arange(tokens)  # of each token, numbered as in `Merges.pairs`
        self._shares = np.array(masses, np.float64)
        self._log_t: list[float] = []
        self._pairs: list[tuple[int, int]] = []
        self._sizes: list[int] = []
        self.slopes: Slopes | None = None  # where derivatives are asked for
        self._slopes: list[np.ndarray] = []
        self.levels = [float(np.sum(self.masses**2))]
        self.energy: list[float] = []

    # === clusters

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return len(self.cluster) - len(self._log_t)

    @property
    def apart(self) -> np.ndarray:
        """Which pairs of tokens are in two clusters."""
        return self.cluster[:, None] != self.cluster[None, :]

    @property
    def settled(self) -> bool:
        """Whether every cluster is one token by now."""
        return int(self.alive.sum()) == self.clusters

    def count(self, i: int, j: int, log_t: float) -> None:
        """Tokens i and j are in one cluster from now on."""
        pair = sorted((int(self.cluster[i]), int(self.cluster[j])))
        new = len(self.cluster) + len(self._log_t)
        self.cluster[np.isin(self.cluster, pair)] = new
        self._log_t.append(log_t)
        self._pairs.append((pair[0], pair[1]))
        self._sizes.append(int(np.sum(self.cluster == new)))
        if self.slopes is not None:
            known = np.isfinite(log_t)
            self._slopes.append(
                np.asarray(self.slopes.log_t) if known else np.full(len(self.slopes.log_t), np.nan)
            )
        ids = np.unique(self.cluster)
        self.levels.append(float(sum(self._shares[self.cluster == k].sum() ** 2 for k in ids)))

    def plateau(self, energy: float) -> None:
        """Plateaus that have no energy yet have this one."""
        self.energy += [energy] * (len(self._log_t) + 1 - len(self.energy))

    def merges(self, y0: np.ndarray | None = None) -> Merges:
        """The merges so far; with their derivatives by the start `y0`, where it is given."""
        pairs = np.array(self._pairs, np.int64).reshape(-1, 2)
        count = len(self.cluster) - 1 - np.arange(len(self._log_t))
        of_start = of_beta = None
        if y0 is not None:
            slopes = np.array(self._slopes).reshape(len(self._log_t), -1)
            of_beta, of_start = slopes[:, -1], slopes[:, :-1]
            if self.x.ndim == 1:  # by angles
                turned = np.stack([-y0[:, 1], y0[:, 0]], axis=1)
                of_start = of_start[:, :, None] * turned
            else:
                of_start = of_start.reshape(-1, *y0.shape)
        sizes = np.array(self._sizes, int)
        return Merges(np.array(self._log_t, np.float64), count, pairs, sizes, of_start, of_beta)

    # === tokens

    def chords(self) -> np.ndarray:
        """Distances of tokens that are alive; infinite for others and oneself."""
        if self.x.ndim == 1:
            size = 2 * np.abs(np.sin((self.x[None, :] - self.x[:, None]) / 2))
        else:
            size = np.linalg.norm(self.x[None] - self.x[:, None], axis=-1)
        pairs = self.alive[:, None] & self.alive[None, :] & ~np.eye(len(self.alive), dtype=bool)
        return np.where(pairs, size, np.inf)

    def join(self, i: int, j: int) -> None:
        """Token i stands for both from now on, in their centre of mass."""
        part = self.masses[j] / (self.masses[i] + self.masses[j])
        members = self.place == j
        if self.x.ndim == 1:
            gap = self.x[j] - self.x[i]
            turn = 2 * np.pi * np.round(gap / (2 * np.pi))
            self.x[i] += part * (gap - turn)
            self.turns[members] += turn
        else:
            centre = self.x[i] + part * (self.x[j] - self.x[i])
            self.x[i] = centre / np.linalg.norm(centre)
        if self.slopes is not None:
            x = np.array(self.slopes.x)
            x[:, i] += part * (x[:, j] - x[:, i])
            if x.ndim == 3:
                x[:, i] -= (x[:, i] @ self.x[i])[:, None] * self.x[i]
            x[:, j] = 0.0
            self.slopes = self.slopes._replace(x=jnp.asarray(x))
        self.masses[i] += self.masses[j]
        self.masses[j] = 0.0
        self.alive[j] = False
        self.place[members] = i

    def angles(self) -> np.ndarray | None:
        """Every token's angle, turns counted."""
        return self.x[self.place] + self.turns if self.x.ndim == 1 else None

    def tokens(self, x: np.ndarray) -> np.ndarray:
        """Every token as a unit vector, of states `x` with any axes before."""
        if self.x.ndim == 1:
            angles = x[..., self.place]
            return np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return x[..., self.place, :]
