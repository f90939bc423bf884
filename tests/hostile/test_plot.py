"""Hostile input on the functions of plot: one line that names the argument."""

import jax.random as jr
import numpy as np
import pytest
import xarray as xr

import attnflow as af
from attnflow import plot
from tests.hostile._wrong import wrong_but

_Y = af.Sphere(3).random(jr.key(0), (4,))
_TS, _V = np.linspace(0, 1, 5), np.ones((3, 5))
_YS = np.asarray(af.Sphere(3).random(jr.key(0), (5, 4)))
_ARR = xr.DataArray(np.ones((3, 4)), dims=("a", "trial"), coords={"a": [0.0, 1, 2]})
_ARR2 = xr.DataArray(
    np.ones((3, 4)), dims=("a", "b"), coords={"a": [0.0, 1, 2], "b": [0.0, 1, 2, 3]}
)


@pytest.fixture(scope="module", autouse=True)
def _drawn_once():
    """What is read and imported at a first drawing, so that the time of a case is its own."""
    plot.figure_of(plot.curves(_TS, _V, labels=["a", "b", "c"])).canvas.draw()
    plot.heat_map(_ARR2)
    plot.sphere(_TS, _YS)
    with pytest.raises(ValueError, match="`data`"):
        plot.phase_diagram("x", tokens=4)


_WRONG = wrong_but()
_ARGUMENTS = {
    "curves ts": (lambda x: plot.curves(x, _V), "`ts`"),
    "curves values": (lambda x: plot.curves(_TS, x), "`values`"),
    "curves ax": (lambda x: plot.curves(_TS, _V[:, :], x), "`ax`"),
    "curves labels": (lambda x: plot.curves(_TS, _V, labels=x), "`labels`"),
    "curves log": (lambda x: plot.curves(_TS, _V, log=x), "`log`"),
    "quantiles ts": (lambda x: plot.quantiles(x, _V), "`ts`"),
    "quantiles values": (lambda x: plot.quantiles(_TS, x), "`values`"),
    "quantiles levels": (lambda x: plot.quantiles(_TS, _V, levels=x), "`levels`"),
    "gram cosines": (lambda x: plot.gram(x), "`cosines`"),
    "gram ax": (lambda x: plot.gram(np.eye(3), x), "`ax`"),
    "sphere ts": (lambda x: plot.sphere(x, _YS), "`ts`"),
    "sphere ys": (lambda x: plot.sphere(_TS, x), "`ys`"),
    "sphere v": (lambda x: plot.sphere(_TS, _YS, v=x), "`v`"),
    "sphere ax": (lambda x: plot.sphere(_TS, _YS, x), "`ax`"),
    "sphere view": (lambda x: plot.sphere(_TS, _YS, view=x), "`view`"),
    "heat_map array": (lambda x: plot.heat_map(x), "`array`"),
    "heat_map x": (lambda x: plot.heat_map(_ARR2, x=x), "`array`"),
    "heat_map limits": (lambda x: plot.heat_map(_ARR2, limits=x), "`limits`"),
    "heat_map ax": (lambda x: plot.heat_map(_ARR2, x), "`ax`"),
    "heat_map colours": (lambda x: plot.heat_map(_ARR2, colours=x), "`colours`"),
    "bands array": (lambda x: plot.bands(x), "`array`"),
    "bands along": (lambda x: plot.bands(_ARR, along=x), "`array`"),
    "bands levels": (lambda x: plot.bands(_ARR, levels=x), "`levels`"),
    "survival data": (lambda x: plot.survival(x), "`data`"),
    "phase_diagram data": (lambda x: plot.phase_diagram(x, tokens=4), "`data`"),
    "phase_diagram tokens": (lambda x: plot.phase_diagram(_ARR, tokens=x), "`"),
    "branch followed": (lambda x: plot.branch(x), "`followed`"),
    "counterexample example": (lambda x: plot.counterexample(x), "`example`"),
    "exceptional_starts theta": (lambda x: plot.exceptional_starts(x, np.ones(3)), "`theta`"),
    "exceptional_starts beyond": (lambda x: plot.exceptional_starts(np.ones(3), x), "`beyond`"),
    "figure_of ax": (lambda x: plot.figure_of(x), "`ax`"),
    "save ax": (lambda x: plot.save(x, "x.png"), "`ax`"),
    "looped runs": (lambda x: plot.looped(x), "`runs`"),
    "heads spectra": (lambda x: plot.heads(x), "`spectra`"),
    "comparison compared": (lambda x: plot.comparison(x), "`compared`"),
    "attention_at optimised": (lambda x: plot.attention_at(x, _Y), "`optimised`"),
    "misalignment_of optimised": (lambda x: plot.misalignment_of(x, _Y), "`optimised`"),
    "schedule_norms optimised": (lambda x: plot.schedule_norms(x), "`optimised`"),
    "tokens_of optimised": (lambda x: plot.tokens_of(x, _Y), "`optimised`"),
}


@pytest.mark.parametrize("value", _WRONG.values(), ids=_WRONG)
@pytest.mark.parametrize(("call", "words"), _ARGUMENTS.values(), ids=_ARGUMENTS)
def test_an_argument_of_a_wrong_kind_is_named(refused, call, words, value):
    refused(lambda: call(value), words)
