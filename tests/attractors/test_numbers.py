"""The number of clusters against beta and dimension."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

ARGUMENTS = {"tokens": 8, "number": 4, "key": jr.key(0), "t1": 4.0, "progress": False}


def test_counts_are_those_of_single_runs():
    betas, cosines = [0.5, 30.0], [0.999, 0.99]
    found = af.attractors.cluster_numbers(betas, [2], threshold=cosines, **ARGUMENTS)
    assert found.counts.shape == (1, 2, 4, 1)
    for b, beta in enumerate(betas):
        field = af.AttentionField(af.Sphere(2), P=beta * jnp.eye(2), scale=1.0)
        for k in range(4):
            start = field.manifold.random(jr.fold_in(jr.fold_in(jr.key(0), 2), k), (8,))
            end = af.simulate(field, start, t1=4.0).y1
            assert found.counts[0, b, k, 0] == af.observables.cluster_count(end, cosines[b])
    assert len(np.unique(found.counts)) > 1
    assert np.allclose(found.error[0, 1, 0], found.counts[0, 1, :, 0].std(ddof=1) / 2)
    assert str(found).count("\n") == 2


def test_failures_are_counted_as_such_and_spoil_no_other():
    def field(dim, beta):
        # exp overflows for the second beta
        return af.AttentionField(af.Sphere(dim), P=beta * jnp.eye(dim), kernel="exp", scale=1.0)

    found = af.attractors.cluster_numbers(
        [1.0, 1e6], [2], field=field, ts=jnp.array([2.0, 4.0]), **ARGUMENTS
    )
    assert found.counts.shape == (1, 2, 4, 2)
    assert (found.counts[0, 1] == -1).all()
    assert (found.counts[0, 0] >= 1).all()
    assert np.isnan(found.mean[0, 1]).all()
    assert np.isfinite(found.mean[0, 0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": 1.0}, "`betas` must be a vector"),
        ({"dims": []}, "`dims` must be a list"),
        ({"dims": [0]}, "`dims` must be a positive integer"),
        ({"threshold": 2.0}, "`threshold` must be a cosine"),
        ({"tokens": 0}, "`tokens` must be a positive integer"),
        ({"field": 3}, "`field` must be a function"),
        ({"field": lambda dim, beta: beta}, "`field` must give an AttentionField"),
        ({"each": 3}, "`each` is not for cluster_numbers"),
        ({"key": 3}, "`key` must be one random key"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(as_user, change, message):
    given = {"betas": [1.0], "dims": [2], **ARGUMENTS, **change}
    with pytest.raises(ValueError, match=message):
        af.attractors.cluster_numbers(given.pop("betas"), given.pop("dims"), **given)


def test_another_beta_or_key_compiles_nothing():
    af.attractors.cluster_numbers([0.5, 1.0], [2], **ARGUMENTS)
    count = [0]

    def listen(event, seconds, **_):
        count[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    af.attractors.cluster_numbers([0.7, 2.0], [2], **(ARGUMENTS | {"key": jr.key(1)}))
    assert count[0] == 0


@pytest.mark.slow
def test_first_clusters_grow_in_number_as_the_root_of_beta():
    # arXiv:2410.23228: as many as the fastest growing mode, of order sqrt(beta), has maxima.
    betas = np.array([9.0, 81.0])
    found = af.attractors.cluster_numbers(
        betas,
        [2],
        tokens=48,
        number=30,
        key=jr.key(0),
        t1=10.0,
        threshold=np.cos(0.3 / np.sqrt(betas)),
        progress=False,
    )
    few, many = found.mean[0, :, 0]
    error = np.hypot(*(found.error[0, :, 0] / found.mean[0, :, 0])) * many / few
    assert abs(many / few - 3.0) < 3 * error + 0.1
    predicted = [af.theory.first_clusters(beta) for beta in betas]
    assert few <= predicted[0]
    assert many <= predicted[1]
