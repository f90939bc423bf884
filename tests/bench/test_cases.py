"""The cases of the benchmarks: their numbers are their field's, their starts the same for any number."""

import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import bench
from attnflow.bench import _jax, _numpy

CASES = {
    "W1": lambda: bench.figure4_workload(30, t1=3.0),
    "W1s": lambda: bench.figure4_workload(30, separable=True, t1=3.0),
    "W2": lambda: bench.figure2_workload(t1=1.0),
}


@pytest.mark.parametrize("name", [pytest.param("W1", marks=pytest.mark.slow), "W1s", "W2"])
def test_the_numbers_of_a_case_give_its_field(name):
    case = CASES[name]()
    y = case.starts(1)[0]
    ours = np.asarray(case.field(0.7, jnp.asarray(y)))
    np.testing.assert_allclose(
        _numpy.velocity(case)(0.7, y.ravel()).reshape(y.shape), ours, atol=1e-15
    )
    plain = _jax.velocity(case)(0.7, jnp.asarray(y), jnp.asarray(case.matrix))
    np.testing.assert_allclose(plain, ours, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_more_starts_repeats_the_first_ones(name):
    case = CASES[name]()
    many = case.starts(5)
    assert many.shape == (5, case.tokens, case.dim)
    np.testing.assert_array_equal(many[:2], case.starts(2))
    np.testing.assert_allclose(np.linalg.norm(many, axis=-1), 1)


def test_one_frequency_a_head_is_the_same_for_all_entries_of_a_diagonal():
    apart, together = bench.figure4_workload(30), bench.figure4_workload(30, separable=True)
    assert len(np.unique(together.omega)) == 2
    assert len(np.unique(apart.omega)) == 60
    assert together.rectified
    assert together.causal
    assert not bench.figure2_workload().causal
