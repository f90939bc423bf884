"""Gradients of a loop's misalignment, and the least change of a layer that keeps tokens apart or together."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.language._gradients import _slope
from tests.systems import family_checkpoint, gpt_prompts, write_folder

IDS = gpt_prompts(2, 6)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    config, tensors = family_checkpoint("albert", "gradients")
    folder = write_folder(tmp_path_factory.mktemp("model"), config, tensors, dtype="F64")
    return af.language.load(folder, dtype="float64")


@jax.jit
def _along(model, direction, step):
    return jax.tree.map(lambda w, d: w + step * d, model, direction)


def test_the_gradient_is_the_loop_s_own_difference(model):
    E, slope = af.language.misalignment_gradient(model, IDS, passes=2, layer=1)
    column = model.architecture.layers + 2
    run = af.language.looped(model, IDS, passes=2, progress=False)
    assert float(E) == pytest.approx(run.E[:, column].mean(), abs=1e-13)
    leaves, structure = jax.tree.flatten(model)
    rng = np.random.default_rng(0)
    direction = jax.tree.unflatten(structure, [rng.normal(size=x.shape) for x in leaves])
    ahead, behind = (
        float(
            af.language.misalignment_gradient(_along(model, direction, s), IDS, passes=2, layer=1)[
                0
            ]
        )
        for s in (1e-5, -1e-5)
    )
    expected = (ahead - behind) / 2e-5
    found = sum(jax.tree.leaves(jax.tree.map(np.vdot, slope, direction)))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_more_passes_take_the_memory_of_their_tokens_alone(model):
    ids = jnp.asarray(IDS)

    def temporary(passes):
        made = _slope.lower(model, ids, passes, 3).compile()
        return made.compiled.memory_analysis().temp_size_in_bytes

    few, many = temporary(3), temporary(19)
    tokens = 8 * IDS.shape[1] * model.architecture.dim
    assert many - few <= 16 * 4 * tokens  # states between passes, and no layer of them


def test_a_layer_is_changed_by_as_little_as_the_bound_needs(model):
    options = {"layer": 0, "passes": 3, "feed_forward": False, "steps": 12, "rate": 0.04}
    plain = af.language.looped(model, IDS, passes=3, feed_forward=False, progress=False)
    now = plain.E[:, -1].mean()
    for side, bound in (("above", 1.2 * now), ("below", 0.8 * now)):
        found = af.language.smallest_change(
            model, IDS, bound=float(bound), side=side, progress=False, **options
        )
        assert found.reached
        np.testing.assert_allclose(found.before, plain.E[:, -1], atol=1e-12)
        run = af.language.looped(found.model, IDS, passes=3, feed_forward=False, progress=False)
        np.testing.assert_allclose(run.E[:, -1], found.E, atol=1e-12)
        mean = found.E.mean()
        assert mean >= bound if side == "above" else mean <= bound
        assert mean == pytest.approx(bound, rel=0.01)  # and no more than it needs
        assert 0 < found.relative < 0.5
        assert found.size == pytest.approx(_apart(model, found.model), rel=1e-6)
    same = af.language.smallest_change(
        model, IDS, bound=float(0.9 * now), progress=False, **options | {"steps": 1}
    )
    assert same.size == 0
    assert same.reached


def _apart(model, other):
    h = model.architecture.heads

    def dense(m):
        w, a = m.architecture.width, m.blocks.attention
        d = h * w
        V = np.asarray(a.qkv[0][:, 2 * d :]).reshape(-1, h, w)
        return np.einsum("ihw,hwj->hij", V, np.asarray(a.out[0]).reshape(h, w, -1))

    return np.linalg.norm(dense(model) - dense(other))


def test_bad_layers_bounds_and_sides_meet_one_line(model):
    change = af.language.smallest_change
    with pytest.raises(ValueError, match="`layer` must be from 0 to 3; got 4"):
        af.language.misalignment_gradient(model, IDS, layer=4)
    with pytest.raises(ValueError, match="`layer` must be from 0 to 3; got 9"):
        change(model, IDS, layer=9, bound=0.1)
    with pytest.raises(ValueError, match="between 0 and 2, where E is; got 3"):
        change(model, IDS, layer=0, bound=3.0)
    with pytest.raises(ValueError, match="`side` must be one of"):
        change(model, IDS, layer=0, bound=0.1, side="left")
    bare = eqx.tree_at(lambda m: m.blocks.feed_forward, model, None, is_leaf=lambda x: x is None)
    with pytest.raises(ValueError, match="feed-forward's weights, which were not loaded"):
        af.language.misalignment_gradient(bare, IDS)
