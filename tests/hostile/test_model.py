"""Hostile input on fields, layers, runs, ensembles and observables: one line, or NaN for NaN."""

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from tests.hostile._wrong import wrong_but

_EYE = np.eye(3)
_NAN = float("nan")
_SPHERE = af.Sphere(3)
_FIELD = af.AttentionField(_SPHERE, P=_EYE)
_Y = _SPHERE.random(jr.key(0), (4,))
_WRONG = wrong_but("infinite")


def _field(**given):
    return af.AttentionField(_SPHERE, _EYE, **given)


def _simulate(**given):
    return af.simulate(_FIELD, _Y, **({"t1": 0.1} | given))


def _ensemble(**given):
    return af.ensemble.run(_FIELD, _Y[None], **({"t1": 0.1, "progress": False} | given))


_TIMES = np.arange(3.0)

_ARGUMENTS = {
    "manifold": lambda x: af.AttentionField(x, _EYE),
    "P": lambda x: af.AttentionField(_SPHERE, x),
    "U": lambda x: af.AttentionField(_SPHERE, _EYE, x),
    "mask": lambda x: _field(mask=x),
    "kernel": lambda x: _field(kernel=x),
    "normalisation": lambda x: _field(normalisation=x),
    "scale": lambda x: _field(scale=x),
    "weights": lambda x: _field(weights=x),
    "frozen": lambda x: _field(frozen=x),
    "drift": lambda x: _field(drift=x),
    "precision": lambda x: _field(precision=x),
    "y": lambda x: _FIELD(0.0, x),
    "switch": lambda x: af.Mix(x),
    "tolerance": lambda x: af.Hardmax(x),
    "gain": lambda x: af.LayerNorm(x),
    "epsilon": lambda x: af.LayerNorm(np.ones(3), epsilon=x),
    "step": lambda x: af.AttentionLayers(_FIELD, x),
    "skip": lambda x: af.AttentionLayers(_FIELD, skip=x),
    "norm": lambda x: af.AttentionLayers(_FIELD, norm=x),
    "depth": lambda x: af.iterate(af.AttentionLayers(_FIELD), _Y, depth=x),
    "tokens": lambda x: af.pad([_Y], x),
    "t1": lambda x: _simulate(t1=x),
    "dt0": lambda x: _simulate(dt0=x),
    "rtol": lambda x: _simulate(rtol=x),
    "solver": lambda x: _simulate(solver=x),
    "controller": lambda x: _simulate(controller=x),
    "adjoint": lambda x: _simulate(adjoint=x),
    "dense": lambda x: _simulate(dense=x),
    "throw": lambda x: _simulate(throw=x),
    "reduce": lambda x: _simulate(reduce=x),
    "max_steps": lambda x: _simulate(max_steps=x),
    "slots": lambda x: _ensemble(slots=x),
    "keep": lambda x: _ensemble(keep=x),
    "number": lambda x: _ensemble(number=x),
    "threshold": lambda x: af.clusters(_Y, x),
    "v": lambda x: af.Lyapunov(x),
    "field": lambda x: af.Energy(x),
    "of": lambda x: af.ensemble.Mean(x),
    "edges": lambda x: af.ensemble.Histogram(len, x),
    "width": lambda x: af.model.Window(x),
    "slopes": lambda x: af.model.ALiBi(4, x),
    "causal": lambda x: af.model.Window(2, causal=x),
    "Q": lambda x: af.QueryKey(x, _EYE, normalise=True),
    "rates": lambda x: af.QueryKey(_EYE, _EYE, rates=x),
    "temperatures": lambda x: af.QueryKey(_EYE, _EYE, temperatures=x),
    "normalise": lambda x: af.QueryKey(_EYE, _EYE, normalise=x),
    "generator": lambda x: af.schedules.Carried(_EYE, x),
    "factor": lambda x: af.schedules.length_temperature(_EYE, 4, factor=x),
    "radius": lambda x: af.clusters_within(_Y, x, _SPHERE),
    "values": lambda x: af.plateaus(_TIMES, x, slope=0.1),
    "slope": lambda x: af.plateaus(_TIMES, _TIMES, slope=x),
    "clock": lambda x: af.plateaus(_TIMES, _TIMES, slope=0.1, clock=x),
    "most": lambda x: af.plateaus(_TIMES, _TIMES, slope=0.1, most=x),
    "x": lambda x: af.wasserstein(x, _Y, _SPHERE),
    "order": lambda x: af.wasserstein(_Y, _Y, _SPHERE, order=x),
    "ys": lambda x: af.wasserstein_length(x, _SPHERE),
}


@pytest.mark.parametrize("value", _WRONG.values(), ids=_WRONG)
@pytest.mark.parametrize("name", _ARGUMENTS)
def test_an_argument_of_a_wrong_kind_is_named(refused, name, value):
    if name == "y" and value is _WRONG["NaN"]:
        value = np.full(3, _NAN)
    refused(lambda: _ARGUMENTS[name](value), f"`{name}`")


_OTHERS = {
    "mask of nobody": (lambda: _field(mask=np.zeros((0, 0), bool)), "`mask`"),
    "mask of integers": (lambda: _field(mask=np.ones((2, 2), int)), "`mask`"),
    "attention of no token": (lambda: _FIELD(0.0, np.zeros((0, 3))), "`y`"),
    "attention beyond memory": (
        lambda: jax.eval_shape(_FIELD, 0.0, jax.ShapeDtypeStruct((10**6, 3), float)),
        "GiB",
    ),
    "two times": (lambda: _FIELD([0.0, 1.0], _Y), "`t`"),
    "first step zero": (lambda: _simulate(dt0=0.0), "`dt0`"),
    "first step negative": (lambda: _simulate(dt0=-0.1), "`dt0`"),
    "steps without end": (lambda: _simulate(max_steps=10**30), "`max_steps`"),
    "steps negative": (lambda: _simulate(max_steps=-1), "`max_steps`"),
    "a solver's class": (lambda: _simulate(solver=diffrax.Tsit5), "`solver`"),
    "tolerance infinite": (lambda: _simulate(rtol=float("inf")), "`rtol`"),
    "half precision": (lambda: af.simulate(_FIELD, _Y.astype(jnp.float16), t1=0.1), "`y0`"),
    "NaN start": (lambda: af.simulate(_FIELD, _Y.at[0].set(jnp.nan), t1=0.1), "`y0`"),
    "no start": (lambda: af.simulate(_FIELD, np.zeros((0, 3)), t1=0.1), "`y0`"),
    "layers beyond memory": (
        lambda: af.iterate(af.AttentionLayers(_FIELD), _Y, depth=2**31 - 1),
        "GiB",
    ),
    "devices a word": (lambda: _ensemble(devices="cpu"), "`devices`"),
    "devices words": (lambda: _ensemble(devices=["cpu"]), "`devices`"),
    "devices a number": (lambda: _ensemble(devices=2), "`devices`"),
    "summaries a word": (lambda: _ensemble(summaries="mean"), "`summaries`"),
    "summaries words": (lambda: _ensemble(summaries={"E": "mean"}), "`summaries`"),
    "energy of nothing": (lambda: af.Energy(None), "`field`"),
    "energy of another dimension": (lambda: af.energy(_FIELD, 0.0, np.ones((2, 5))), "`y`"),
    "levels NaN": (lambda: af.ensemble.Quantiles(len, [_NAN]), "`levels`"),
    "consensus of NaN": (lambda: af.consensus(_NAN), "`threshold`"),
    "consensus on a word": (lambda: af.consensus(1e-3, "sphere"), "`manifold`"),
    "misalignment on a word": (lambda: af.misalignment(_Y, "sphere"), "`manifold`"),
    "clusters of NaN": (lambda: af.clusters(np.full((4, 3), _NAN), 0.9), "`y`"),
    "rank of no token": (lambda: af.effective_rank(np.zeros((0, 3))), "`y`"),
    "rank in half": (lambda: af.effective_rank(np.ones((2, 3), np.float16)), "float16"),
}


@pytest.mark.parametrize(("call", "words"), _OTHERS.values(), ids=_OTHERS)
def test_other_arguments_are_refused(refused, call, words):
    refused(call, words)


@pytest.mark.parametrize(
    "observe",
    [
        af.misalignment,
        af.order_parameter,
        af.effective_rank,
        lambda y: af.aligned_pairs(y, 0.9),
        lambda y: af.hemisphere_margin(y)[0],
        lambda y: af.energy(_FIELD, 0.0, y),
    ],
    ids=["misalignment", "order", "rank", "pairs", "margin", "energy"],
)
def test_an_observable_of_nan_tokens_is_nan(observe):
    assert jnp.isnan(observe(_Y.at[1, 1].set(jnp.nan)))


def test_the_clusters_of_traced_nan_tokens_are_marked():
    labels = jax.jit(lambda y: af.clusters(y, 0.9))(_Y.at[1, 1].set(jnp.nan))
    assert (labels == -1).all()
