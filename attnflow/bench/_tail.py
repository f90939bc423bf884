"""W3: a workload with a heavy tail, refilled slots beside the ideal and beside a vmap in lockstep."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.typing import DTypeLike

from ..ensemble import run
from ..flow import consensus, simulate
from ..geometry import Sphere
from ..model import AttentionField
from ..observables import misalignment
from ._measure import clock


def heavy_tail(count: int, dtype: DTypeLike = np.float64) -> dict[str, float]:
    """8 tokens on S^1, beta in {1, 2, 3, 4}, until E < 1e-4 or t = 1000: a workload with a heavy tail.

    Beside it a vmap of `simulate`, where all wait for the slowest, and the ideal: the steps all
    trajectories need, each at the cost of a step where no lane is ever idle.

    `dtype` is that of the starts, float64 or float32, with the tolerances that are its default.

    Raises `ValueError` on a `count` that is no multiple of four.
    """
    if count < 4 or count % 4:
        raise ValueError(f"`count` must be a multiple of 4, as many of each beta; got {count}.")
    fields = eqx.filter_vmap(_make)(jnp.tile(jnp.arange(1.0, 5.0), count // 4))
    tokens = np.asarray(Sphere(2).random(jr.key(1), (count, 8))).astype(dtype)
    last: dict[str, Any] = {}

    options = {"observe": {"E": misalignment}, "progress": False}
    over = consensus(1e-4)

    def go():
        last["run"] = run(
            fields, tokens, field_axes=eqx.if_array(0), t1=1000.0, until=over, **options
        )

    first, later = clock(go, 2)
    # Eight times as many trajectories as one crew has lanes, of tokens all around the circle that repel each
    # other, ended after as many steps each: no lane is ever idle, and crews are as wide.
    steps, work = last["run"].stats["num_steps"], last["run"].work
    most, lanes, number = 1024, work["lanes"], 8 * work["lanes"]
    angles = np.arange(8) * np.pi / 4 + 0.05 * np.random.default_rng(0).normal(size=(number, 8))
    never = functools.partial(
        run,
        eqx.filter_vmap(_make)(jnp.full(number, -8.0)),
        np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(dtype),
        field_axes=eqx.if_array(0),
        t1=1e9,
        until=over,
        max_steps=most,
        slots=lanes,
        **options,
    )
    taken = []
    seconds = clock(lambda: taken.append(never().stats["num_steps"]), 2).later
    a_step = seconds / (most * number) if min(taken[-1]) == most else math.nan

    some = 4 * max(1, count // 16)
    beta = jnp.tile(jnp.arange(1.0, 5.0), some // 4)
    _, together = clock(lambda: _lockstep(beta, jnp.asarray(tokens[:some])), 1)
    return {
        "trajectories": count,
        "first call, seconds": first,
        "seconds": later,
        "evaluations made / alone": work["field_evaluations"] / work["alone"],
        "microseconds of a step and thread, no lane idle": 1e6 * a_step,
        "seconds / ideal": later * work["crews"] / (float(steps.sum()) * a_step),
        "largest / mean steps": float(steps.max() / steps.mean()),
        "vmap of simulate, seconds for as many": together * count / some,
        "vmap of simulate / run": together * count / some / later,
        "part that came to t = 1000": float(1 - last["run"].reached.mean()),
    }


def _make(beta: Any) -> AttentionField:
    return AttentionField(Sphere(2), P=beta * jnp.eye(2), scale=2**-0.5)


@eqx.filter_jit
def _lockstep(beta: Any, y: Any) -> Any:
    def one(beta, y0):
        event = consensus(1e-4)
        observe = {"E": misalignment}
        return simulate(_make(beta), y0, t1=1000.0, event=event, observe=observe).ys["E"]

    return jax.vmap(one)(beta, y)
