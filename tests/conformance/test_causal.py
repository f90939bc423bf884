"""Causal consensus under any bounded P(t): K18."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import attnflow as af
from tests.systems import PLACES, Place, causal_rates, generator, random_rows


def test_k18_all_tokens_reach_the_first_at_rate_one_half():
    """2411.04990, Theorems 4.1 and 4.2: random bounded P(t), two heads summing to rows of one."""
    for kind in PLACES:
        rng = generator("k18", kind)
        place = Place(kind, 3)
        ts = np.array([10.0, 25.0, 30.0, 40.0])
        for _ in range(2):
            C = jnp.asarray(3 * rng.normal(size=(2, 3, 3)))
            A, B = jnp.asarray(3 * rng.normal(size=(2, 2, 2, 3, 3)))
            P = af.Bounded(af.Fourier(C, A, B, 2.0), 4.0)
            y0 = random_rows(rng, 8, place.W)
            field = af.AttentionField(place.general, P, mask="causal", scale=0.5)
            sol = af.simulate(
                field, jnp.asarray(y0), t1=40.0, ts=jnp.asarray(ts), rtol=1e-11, atol=1e-14
            )
            np.testing.assert_allclose(sol.ys[:, 0], np.broadcast_to(y0[0], (4, 3)), atol=1e-12)

            apart = np.asarray(sol.ys[:, 1:] - sol.ys[:, :1])
            assert np.abs(apart[-1]).max() < 1e-7
            # Near consensus the flow is linear, whatever P(t) is, up to a relative error of the size
            # of the distances themselves; its slowest mode is (1, 2, ..., l-1) e^{-t/2}.
            linear = expm(causal_rates(8) * 10.0)
            size = np.abs(apart[-1]).max()
            np.testing.assert_allclose(apart[3], linear @ apart[2], atol=1e-4 * size)
            second = np.linalg.norm(apart[:, 0], axis=-1)
            assert np.log(second[3] / second[1]) / 15 == pytest.approx(-0.5, abs=1e-5)
            last = np.linalg.norm(apart[3], axis=-1) / second[3]
            np.testing.assert_allclose(last, np.arange(1, 8), rtol=0.25)
