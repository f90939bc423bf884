"""What a claim says becomes of the tokens, as a number that is zero where it is so."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.lapack import eigh
from ..core.types import Scalar, Tokens
from ..model import AttentionField
from ..observables.directions import directions
from ..theory import Exact


class AbstractConclusion(eqx.Module):
    """A conclusion: its margin is zero or less where it holds, and grows with how far it is from holding.

    It is about the limit: tokens violate it whose margin stays positive.
    """

    @property
    @abc.abstractmethod
    def says(self) -> str:
        """The conclusion in words."""

    @abc.abstractmethod
    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        """How far the tokens are from it: a smooth number, positive where it does not hold."""

    @property
    def broken_by(self) -> Exact | None:
        """How a certificate shows that it fails; `None` where it cannot."""
        return None


class AbstractRate(AbstractConclusion):
    """A conclusion about every moment: a quantity never grows, and the margin is the rate at which it does.

    A start violates it whose margin is positive.
    """

    @abc.abstractmethod
    def value(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        """The quantity."""


class Margin(eqx.Module):
    """A conclusion's margin as an observer of one field: the field is data, not part of the program."""

    field: AttentionField
    conclusion: AbstractConclusion

    def __call__(self, t: Scalar, y: Tokens) -> Float[Array, ""]:
        return self.conclusion.margin(self.field, t, y)


class ToConsensus(AbstractConclusion):
    r"""All tokens come to one point: $\frac{1}{\ell^2}\sum_{ij} (1 - \cos\angle_W(y_i, y_j)) \to 0$."""

    @property
    def says(self) -> str:
        return "all tokens converge to one point"

    @property
    def broken_by(self) -> Exact:
        return Exact("not consensus")

    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        x = directions(y, field.manifold)
        return jnp.mean(jnp.sum((x[:, None] - x[None]) ** 2, axis=-1)) / 2


class ToTheFirst(AbstractConclusion):
    r"""All tokens come to the first one: $\frac1\ell\sum_i (1 - \cos\angle_W(y_1, y_i)) \to 0$."""

    @property
    def says(self) -> str:
        return "all tokens converge to the first"

    @property
    def broken_by(self) -> Exact:
        return Exact("not consensus")

    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        x = directions(y, field.manifold)
        return jnp.mean(jnp.sum((x - x[:1]) ** 2, axis=-1)) / 2


class ToTheTop(AbstractConclusion):
    r"""All tokens come to $v$, the top eigenvector of $\sum_\eta U_\eta$, on the first token's side."""

    @property
    def says(self) -> str:
        return "all tokens converge to the top eigenvector of the sum of U, on their side"

    @property
    def broken_by(self) -> Exact:
        return Exact("not v", top=True)

    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        v = top_vector(field, t, y)
        v = v * jnp.where(jnp.dot(v, y[0]) < 0, -1, 1).astype(y.dtype)
        return jnp.mean(jnp.sum((directions(y) - v[None]) ** 2, axis=-1)) / 2


class Polarisation(AbstractConclusion):
    r"""All tokens come to one line: $1 - \lambda_{\max}(\frac1\ell\sum_i x_i x_i^\top) \to 0$."""

    @property
    def says(self) -> str:
        return "all tokens converge to one point or its antipode"

    @property
    def broken_by(self) -> Exact:
        return Exact("not a line")

    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        x = directions(y, field.manifold)
        return 1 - eigh(x.T @ x / x.shape[0])[0][-1]


class AroundTop(AbstractConclusion):
    r"""Tokens gather about $L$, spanned by the top `dimension` eigenvectors of $\sum_\eta U_\eta$.

    Read as: on average they are nearer to it than points spread evenly, so that
    $\frac{\dim L}d - \frac1\ell\sum_i |\Pi_L x_i|^2$ is negative in the end.
    """

    dimension: int = 1

    @property
    def says(self) -> str:
        return "tokens gather about the top eigenspace"

    @property
    def broken_by(self) -> Exact | None:
        return Exact("not around v", top=True) if self.dimension == 1 else None

    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        L = eigh(_values(field, t, y))[1][:, -self.dimension :]
        share = jnp.sum((directions(y) @ L) ** 2, axis=1)
        return self.dimension / y.shape[1] - jnp.mean(share)


class Falls(AbstractRate):
    r"""$V(y) = \max_i (1 - v^\top y_i)$ never grows: eq. (7) of the paper; the margin is its growth.

    `v` is the first axis, or with `top` the top eigenvector of $\sum_\eta U_\eta$, on the side of the
    first token.
    """

    top: bool = False

    @property
    def says(self) -> str:
        return "V = max_i (1 - v'y_i) never grows"

    def _vector(self, field, t, y):
        v = top_vector(field, t, y) if self.top else jnp.eye(y.shape[1], dtype=y.dtype)[0]
        return v * jnp.where(jnp.dot(v, y[0]) < 0, -1, 1).astype(y.dtype)

    def margin(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        v = self._vector(field, t, y)
        return -(field(t, y) @ v)[jnp.argmin(y @ v)]

    def value(self, field: AttentionField, t: Scalar, y: Tokens) -> Float[Array, ""]:
        return 1 - jnp.min(y @ self._vector(field, t, y))


def top_vector(field: AttentionField, t, y: Float[Array, "tokens dim"]) -> Float[Array, " dim"]:
    r"""The unit top eigenvector of the symmetric part of $\sum_\eta U_\eta(t)$."""
    return eigh(_values(field, t, y))[1][:, -1]


def _values(field: AttentionField, t, y: Float[Array, "tokens dim"]) -> Float[Array, "dim dim"]:
    dim = y.shape[1]
    if field.U is None:
        return jnp.eye(dim, dtype=y.dtype)
    U = jnp.sum(field.U(t).astype(y.dtype).reshape(-1, dim, dim), axis=0)
    return (U + U.T) / 2
