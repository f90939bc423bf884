"""Steps of noisy flows: Brownian increments, what they do to tokens, and the solvers that use them."""

import itertools
import math
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.lapack import inverse
from ..geometry import safe_norm
from ..model import AttentionField
from ._noise import Noise

_ITO = (diffrax.Euler,)
_STRATONOVICH = (diffrax.EulerHeun, diffrax.Heun, diffrax.Midpoint, diffrax.Ralston)
SOLVERS = (*_ITO, *_STRATONOVICH)


def check_solver(solver: Any, noise: Noise) -> None:
    """Refuse, in one line, a solver that is none for this noise."""
    name = type(solver).__name__
    if type(solver) not in SOLVERS:
        allowed = ", ".join(kind.__name__ for kind in SOLVERS)
        raise ValueError(
            f"`solver` with noise must be one of diffrax's {allowed}, or None for splitting; got {name}."
        )
    other = _STRATONOVICH if noise.calculus == "ito" else _ITO
    if noise.values is not None and type(solver) in other:
        kind = "Itô" if type(solver) in _ITO else "Stratonovich"
        raise ValueError(
            f"`solver` {name} solves the {kind} equation, and the noise of `values` is "
            f"calculus={noise.calculus!r}; choose another, or None for splitting."
        )


class Increments(eqx.Module):
    r"""Increments of the Brownian motions of a noise over intervals of time, by its key alone.

    Drawn for each step anew, by where it begins, counted in steps of `dt0`; or those of a Brownian tree from `t0` to
    `t1`, where the noise has a `tol`.
    """

    noise: Noise
    t0: Float[Array, ""]
    t1: Float[Array, ""]
    dt0: Float[Array, ""]
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def __call__(self, t0: Array, t1: Array, pieces: int = 1) -> list[dict[str, Array]]:
        """The increments over the equal pieces of a step."""
        dtype = self.t0.dtype
        words: Any = self.noise.key_words
        key = jax.random.wrap_key_data(words, impl=self.noise.key_kind)
        if self.noise.tol is not None:
            like = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in self.shapes}
            tree: Any = diffrax.VirtualBrownianTree(self.t0, self.t1, self.noise.tol, like, key)
            ends = [t0, *(t0 + (t1 - t0) * (k / pieces) for k in range(1, pieces)), t1]
            return [tree.evaluate(a, b) for a, b in itertools.pairwise(ends)]
        for word in _words((t0 - self.t0) / self.dt0):
            key = jax.random.fold_in(key, word)
        # All numbers of a step at once: a generator is the larger part of the program to compile.
        sizes = [math.prod(shape) for _, shape in self.shapes]
        root = jnp.sqrt((t1 - t0) / pieces).astype(dtype)
        drawn = root * jax.random.normal(key, (pieces, sum(sizes)), dtype)
        ends = list(itertools.accumulate(sizes, initial=0))
        return [
            {
                name: row[begin:end].reshape(shape)
                for (name, shape), (begin, end) in zip(
                    self.shapes, itertools.pairwise(ends), strict=True
                )
            }
            for row in drawn
        ]


def _words(steps: Array) -> list[Array]:
    # To 2^-20 of a step (in float32, 2^-5): the last bits of a time are not the same in every program.
    steps = jax.lax.stop_gradient(steps)
    whole = jnp.round(steps * (2.0**20 if steps.dtype == jnp.float64 else 2.0**5))
    high = jnp.floor(whole / 2.0**32)
    return [(whole - high * 2.0**32).astype(jnp.uint32), high.astype(jnp.uint32)]


class Kicks(eqx.Module):
    """What increments do to tokens: exactly, one kind of noise after another; or to first order."""

    noise: Noise
    field: AttentionField
    increments: Increments

    def flow(self, t0: Array, h: Array, y: Array, drawn: dict[str, Array], forwards: bool) -> Array:
        """Tokens after the noise of an interval; `forwards` or not says in which order its kinds come."""
        parts = self.noise.parts if forwards else self.noise.parts[::-1]
        manifold, out = self.field.manifold, y
        for name in parts:
            if name == "values":
                out = self._values(t0 + h / 2, out, drawn[name])
                continue
            x = manifold.whiten(out)
            turn = _geodesics if name == "independent" else _rotated
            out = manifold.unwhiten(turn(x, getattr(self.noise, name), drawn[name], h))
        return self._kept(out, y)

    def first_order(self, t: Array, y: Array, drawn: dict[str, Array]) -> Array:
        """The noise's coefficients at `y` times the increments."""
        manifold = self.field.manifold
        out = jnp.zeros_like(y)
        x = manifold.whiten(y)
        if self.noise.independent is not None:
            dB = self.noise.independent * drawn["independent"]
            out = out + manifold.unwhiten(_tangential(x, dB))
        if self.noise.common is not None:
            dx = x @ _skew(self.noise.common * drawn["common"]).T
            out = out + manifold.unwhiten(dx)
        if self.noise.values is not None:
            out = out + self._pull(t, y, drawn["values"])
        return self._kept(out, jnp.zeros_like(y))

    def _kept(self, new: Array, old: Array) -> Array:
        frozen = self.field.frozen
        return new if frozen is None else jnp.where(frozen[:, None], old, new)

    def _pull(self, t: Array, y: Array, dW: Array) -> Array:
        # s T pi sum over heads of dW times what each token attends to.
        with jax.default_matmul_precision(self.field.precision):
            attended = self.field.attention(t, y) @ y
            total = jnp.einsum("hij,hkj->ik", attended, dW)
        strength: Any = self.noise.values
        return self.field.manifold.to_tangent(y, strength * total)

    def _values(self, t: Array, y: Array, dW: Array) -> Array:
        project = self.field.manifold.project
        if self.noise.calculus == "ito":
            return project(y + self._pull(t, y, dW))
        # The flow of the increment's own field, for a unit of its time.
        return project(_runge_kutta(lambda _, z: self._pull(t, z, dW), 0.0, 1.0, 0.5, y))


def kicks(
    field: AttentionField, noise: Noise, y0: Array, t0: Array, t1: Array, dt0: Array
) -> Kicks:
    """The noise of a field's tokens, shaped as `y0`, in a run from `t0` to `t1`."""
    dim = y0.shape[1]
    shapes = {
        "independent": y0.shape,
        "common": (dim, dim),
        "values": (field.heads, dim, dim),
    }
    named = tuple((name, shapes[name]) for name in noise.parts)
    return Kicks(noise, field, Increments(noise, t0, t1, dt0, named))


# === exact motions on the unit sphere


def _tangential(x: Array, v: Array) -> Array:
    return v - x * jnp.sum(x * v, axis=-1, keepdims=True)


def _geodesics(x: Array, strength: Any, dB: Array, h: Array) -> Array:
    """Each token along the great circle of its tangential increment.

    Steps of variance h along geodesics spread too fast where curvature is positive; one of h (1 - Ric h/6), Ric = d - 2
    the Ricci curvature, has the law of Brownian motion up to h^3.
    """
    ricci = x.shape[-1] - 2
    size = strength / jnp.sqrt(1 + ricci * strength**2 * h / 6)
    v = _tangential(x, size * dB)
    length = safe_norm(jnp.sum(v * v, axis=-1, keepdims=True))
    return jnp.cos(length) * x + jnp.sinc(length / math.pi) * v


def _skew(G: Array) -> Array:
    return (G - G.T) / math.sqrt(2)


def _rotated(x: Array, strength: Any, G: Array, h: Array) -> Array:
    """All tokens turned by one rotation, the exponential of a skew increment.

    The variance is corrected as that of geodesics: the Ricci curvature of SO(d) is (d - 2)/2.
    """
    dim = x.shape[-1]
    size = strength / jnp.sqrt(1 + (dim - 2) * strength**2 * h / 12)
    A = _skew(size * G)
    if dim == 1:
        return x
    if dim == 2:
        cos, sin = jnp.cos(A[1, 0]), jnp.sin(A[1, 0])
        return x @ jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])
    eye = jnp.eye(dim, dtype=x.dtype)
    if dim == 3:
        angle = safe_norm(A[0, 1] ** 2 + A[0, 2] ** 2 + A[1, 2] ** 2)
        half = jnp.sinc(angle / (2 * math.pi))
        turn = eye + jnp.sinc(angle / math.pi) * A + 0.5 * half**2 * (A @ A)
    else:
        # Padé's approximant: orthogonal whatever A is, and off the exponential by A^5/720.
        square = A @ A / 12
        turn = inverse(eye - A / 2 + square) @ (eye + A / 2 + square)
    return x @ turn.T


# === solvers


def _runge_kutta(slope: Any, t0: Any, h: Any, half: Any, y: Array) -> Array:
    k1 = slope(t0, y)
    k2 = slope(t0 + half, y + half * k1)
    k3 = slope(t0 + half, y + half * k2)
    k4 = slope(t0 + h, y + h * k3)
    return y + (h / 6) * (k1 + 2 * k2 + 2 * k3 + k4)


class _Noisy(diffrax.AbstractSolver):
    """A solver that is given the drift as its only term, and has the noise itself."""

    kicks: eqx.AbstractVar[Kicks]

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def strong_order(self, terms):
        return 0.5

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args):
        return None


class SplitStep(_Noisy):
    r"""Half a step of noise, a whole step of attention by the classical Runge-Kutta method, half a step of noise.

    $e^{hN/2}e^{hA}e^{hN/2}$ for the generators $N$ of the noise and $A$ of attention: expectations are of order 2.
    """

    kicks: Kicks

    def order(self, terms):
        return 2

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        t0, t1 = jnp.asarray(t0), jnp.asarray(t1)
        h = t1 - t0
        project = self.kicks.field.manifold.project
        first, second = self.kicks.increments(t0, t1, pieces=2)
        y = self.kicks.flow(t0, h / 2, y0, first, forwards=True)
        y = _runge_kutta(lambda t, y: terms.vf(t, y, args), t0, h, h / 2, y)
        y1 = self.kicks.flow(t0 + h / 2, h / 2, project(y), second, forwards=False)
        return y1, None, {"y0": y0, "y1": y1}, None, diffrax.RESULTS.successful


class Driven(_Noisy):
    """A solver of diffrax, given the noise as its second term."""

    kicks: Kicks
    solver: diffrax.AbstractSolver

    def order(self, terms):
        return 1

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        both = diffrax.MultiTerm(terms, _Diffusion(self.kicks))
        state = self.solver.init(both, t0, t1, y0, args)
        out = self.solver.step(both, t0, t1, y0, args, state, True)
        y1, _, _, _, result = out
        return y1, None, {"y0": y0, "y1": y1}, None, result


class _Diffusion(diffrax.AbstractTerm):
    """The noise as a term of diffrax: its vector field is where it is evaluated."""

    kicks: Kicks

    def vf(self, t, y, args):
        return t, y

    def contr(self, t0, t1, **kwargs):
        return self.kicks.increments(jnp.asarray(t0), jnp.asarray(t1))[0]

    def prod(self, vf, control):
        t, y = vf
        return self.kicks.first_order(t, y, control)


def noisy_solver(
    solver: diffrax.AbstractSolver | None,
    field: AttentionField,
    noise: Noise,
    y0: Array,
    t0: Array,
    t1: Array,
    dt0: Array,
) -> diffrax.AbstractSolver:
    """Splitting, or the solver that was given, with the noise in it."""
    made = kicks(field, noise, y0, t0, t1, dt0)
    return SplitStep(made) if solver is None else Driven(made, solver)
