"""Hostile input on the constructors of schedules: each case is refused in one line."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

_EYE = np.eye(3)
_NAN = float("nan")
_INF = float("inf")
_COMMON = {
    "a word": "x",
    "a dictionary": {},
    "complex": 1j,
    "objects": np.array([object()], dtype=object),
    "mixed": [1, "word"],
    "NaN": _NAN,
    "infinite": _INF,
    "an integer beyond 64 bits": 10**30,
    "nothing": None,
}
_CALLS = {
    "Constant value": (lambda x: af.Constant(x), "`value`"),
    "Sinusoid amplitude": (lambda x: af.Sinusoid(x, 1.0), "`amplitude`"),
    "Sinusoid omega": (lambda x: af.Sinusoid(1.0, x), "`omega`"),
    "Sinusoid phase": (lambda x: af.Sinusoid(1.0, 1.0, x), "`phase`"),
    "Fourier omega": (lambda x: af.Fourier(0.0, np.zeros(1), np.zeros(1), x), "`omega`"),
    "Fourier constant": (lambda x: af.Fourier(x, np.zeros(1), np.zeros(1), 1.0), "`constant`"),
    "Piecewise times": (lambda x: af.Piecewise(x, np.zeros(3)), "`times`"),
    "Piecewise values": (lambda x: af.Piecewise([0.0], x), "`values`"),
    "Interpolated ts": (lambda x: af.Interpolated(x, np.zeros(2)), "`ts`"),
    "Interpolated values": (lambda x: af.Interpolated([0.0, 1.0], x), "`values`"),
    "ScaledIdentity coefficient": (lambda x: af.ScaledIdentity(x, 3), "`"),
    "Factored Q": (lambda x: af.Factored(x, _EYE), "`"),
    "Modulated matrix": (lambda x: af.Modulated(np.ones(3), x), "`matrix`"),
    "Bounded bound": (lambda x: af.Bounded(_EYE, x), "`bound`"),
    "Periodic period": (lambda x: af.Periodic(_EYE, x, 3), "`period`"),
    "FixedSpectrum eigenvalues": (lambda x: af.FixedSpectrum(x, _EYE), "`eigenvalues`"),
    "Symmetric schedule": (lambda x: af.Symmetric(x), "`"),
}


@pytest.mark.parametrize("value", _COMMON.values(), ids=_COMMON)
@pytest.mark.parametrize(("call", "words"), _CALLS.values(), ids=_CALLS)
def test_numbers_that_are_none_are_refused(refused, call, words, value):
    refused(lambda: call(value), words)


_OTHERS = {
    "rectified a word": (lambda: af.Sinusoid(1.0, 1.0, rectified="no"), "`rectified`"),
    "rectified a number": (lambda: af.Sinusoid(1.0, 1.0, rectified=1), "`rectified`"),
    "kinked a word": (lambda: af.Function(jnp.sin, kinked="no"), "`kinked`"),
    "frequency NaN": (lambda: af.Function(jnp.sin, frequency=_NAN), "`frequency`"),
    "frequency infinite": (lambda: af.Function(jnp.sin, frequency=_INF), "`frequency`"),
    "frequency negative": (lambda: af.Function(jnp.sin, frequency=-1.0), "`frequency`"),
    "frequency a vector": (lambda: af.Function(jnp.sin, frequency=[1.0]), "`frequency`"),
    "jumps NaN": (lambda: af.Function(jnp.sin, jump_times=[_NAN]), "`jump_times`"),
    "jumps infinite": (lambda: af.Function(jnp.sin, jump_times=[_INF]), "`jump_times`"),
    "jumps a number": (lambda: af.Function(jnp.sin, jump_times=1.0), "`jump_times`"),
    "function a number": (lambda: af.Function(1.0), "`function`"),
    "dim a word": (lambda: af.ScaledIdentity(1.0, "3"), "`dim`"),
    "dim a float": (lambda: af.ScaledIdentity(1.0, 3.0), "`dim`"),
    "dim negative": (lambda: af.ScaledIdentity(1.0, -3), "`dim`"),
    "dim zero": (lambda: af.ScaledIdentity(1.0, 0), "`dim`"),
    "identity beyond memory": (lambda: af.ScaledIdentity(1.0, 10**5)(0.0), "GiB"),
    "times in a NaN": (lambda: af.Piecewise([0.0, _NAN], np.zeros(3)), "`times`"),
    "times to infinity": (lambda: af.Piecewise([0.0, _INF], np.zeros(3)), "`times`"),
    "method a number": (lambda: af.Interpolated([0.0, 1.0], [0.0, 1.0], method=1), "`method`"),
    "norm a number": (lambda: af.Bounded(_EYE, 1.0, norm=1), "`norm`"),
    "bound negative": (lambda: af.Bounded(_EYE, -1.0), "`bound`"),
    "period zero": (lambda: af.Periodic(_EYE, 0.0, 3), "`period`"),
    "periods a float": (lambda: af.Periodic(_EYE, 1.0, 2.5), "`periods`"),
    "periods a word": (lambda: af.Periodic(_EYE, 1.0, "2"), "`periods`"),
    "periods without end": (lambda: af.Periodic(_EYE, 1.0, 10**9), "`periods`"),
    "left of another shape": (lambda: af.Modulated(np.ones(3), _EYE, np.ones((2, 2))), "`left`"),
    "Sinusoid at two times": (lambda: af.Sinusoid(_EYE, 1.0)([0.0, 1.0]), "`t`"),
    "Piecewise at two times": (lambda: af.Piecewise([0.0], [1.0, 2.0])([0.0, 1.0]), "`t`"),
    "Interpolated at two times": (lambda: af.Interpolated([0, 1], [0, 1])([0.0, 1.0]), "`t`"),
    "Periodic at two times": (lambda: af.Periodic(_EYE, 1.0, 3)([0.0, 1.0]), "`t`"),
    "Fourier at a word": (lambda: af.Fourier(0.0, np.ones(1), np.ones(1), 1.0)("x"), "`t`"),
}


@pytest.mark.parametrize(("call", "words"), _OTHERS.values(), ids=_OTHERS)
def test_other_arguments_of_a_wrong_kind_are_refused(refused, call, words):
    refused(call, words)
