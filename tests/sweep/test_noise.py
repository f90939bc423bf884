"""Noise in sweeps: an axis of its strength, the key of each trajectory, random layers by trial."""

import numpy as np
import pytest

import attnflow as af
from tests.systems._studies import fixed_probe


def study(**tables):
    given = {
        "trials": 2,
        "grid": {"sigma": [0.0, 0.5]},
        "manifold": {"dim": 3},
        "tokens": {"count": 4},
        "attention": {"P": 1.0},
        "noise": {"independent": "$sigma", "common": 0.2},
        "solver": {"dt0": 0.1},
        "time": {"t1": 1.0},
    }
    return af.sweep.Study(**(given | tables))


def test_a_sweep_of_the_strength_of_noise_is_its_trajectories_one_by_one(tmp_path, monkeypatch):
    fixed_probe(monkeypatch)
    af.sweep.run(study(), tmp_path / "store", progress=False)
    data = af.sweep.open(tmp_path / "store")["misalignment"]
    for sigma in (0.0, 0.5):
        field, y0, options = af.sweep.trajectory(study(), {"sigma": sigma}, trial=1)
        assert float(options["noise"].independent) == sigma
        alone = af.simulate(field, y0, **options, observe=af.misalignment).ys[-1]
        np.testing.assert_allclose(data.sel(sigma=sigma, trial=1), alone, rtol=1e-12)
    # More trials change no earlier number.
    more = study(trials=4)  # as many at once, in one more shard
    af.sweep.run(more, tmp_path / "more", progress=False)
    again = af.sweep.open(tmp_path / "more")["misalignment"]
    np.testing.assert_array_equal(again.sel(trial=[0, 1]), data)


def test_layers_drawn_by_trial_are_piecewise_schedules():
    values = {"type": "gaussian", "shape": [4, 3, 3], "std": 0.5, "seed": "trial"}
    P = {"type": "piecewise", "times": [0.25, 0.5, 0.75], "values": values}
    tables = {"attention": {"P": P}, "noise": {}, "grid": {}}
    first, second = (
        af.sweep.trajectory(study(**tables), trial=trial)[0].P.values for trial in (0, 1)
    )
    assert first.shape == (4, 3, 3)
    assert abs(first - second).min() > 1e-6
    with pytest.raises(ValueError, match='`seed = "trial"` is for sweeps'):
        af.spec.AttentionTable(P=P).build(af.Sphere(3))


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"independent": -1.0}, r"\$\.noise\.independent: Expected `float` >= 0\.0"),
        ({"strength": 1.0}, r"\$\.noise: Object contains unknown field `strength`"),
        ({"calculus": "ito"}, r"\$\.noise: give `independent`, `common` or `values`"),
    ],
)
def test_a_noise_that_is_none_is_refused_at_its_place(noise, message, as_user):
    with pytest.raises(ValueError, match=message):
        study(noise=noise, grid={})


def test_the_ready_study_of_antipodes_is_right():
    ready = af.sweep.read_study("random-values")
    field, y0, options = af.sweep.trajectory(ready, {"beta": 1.0, "d": 6}, trial=3)
    assert (field.dim, y0.shape) == (6, (2, 6))
    assert options["noise"].kind == ("values", "ito", "of steps")
