"""What surrounds the compiled programs: options of the compiler, threads of other libraries."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import attnflow as af


@pytest.mark.slow
def test_a_run_leaves_the_threads_of_blas_as_they_were():
    def threads():
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

    field = af.AttentionField(af.Sphere(9), P=jnp.eye(9))
    starts = np.asarray(af.Sphere(9).random(jr.key(0), (3, 4)))
    before = threads()
    af.ensemble.run(field, starts, t1=0.1, rtol=1e-3, atol=0.0)
    after = threads()
    assert {path: after[path] for path in before} == before
