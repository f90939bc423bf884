"""`find` tells apart where starts end, with shares that known answers agree with."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
NUMBER = 300


def drawn(key):
    return SPHERE.random(key, (4,))


def held(beta=1.0, half=0.5):
    """Values that are larger along one axis: consensus and polarised ends on it, for tanh(beta) > 1/2."""
    U = jnp.diag(jnp.array([1.0, half, half]))
    return af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=U, scale=1.0)


def find(field, number: int | None = NUMBER, t1=60.0, starts=drawn, **options):
    options = {"key": jr.key(0), **options}
    return af.attractors.find(field, starts, number=number, t1=t1, progress=False, **options)


@pytest.fixture(scope="module")
def found():
    return find(held(3.0))


def test_ends_along_an_axis_are_named_counted_and_polished(found):
    assert {(row.kind, row.masses) for row in found} == {
        ("consensus", (4,)), ("polarised", (3, 1)), ("polarised", (2, 2)),
    }  # fmt: skip
    for k, row in enumerate(found):
        assert row.spectrum.verdict == "stable"
        assert row.count == np.sum(found.labels == k) == round(row.share * NUMBER)
        assert row.low < row.share < row.high
        assert np.abs(held(3.0)(0.0, jnp.asarray(row.state))).max() < 1e-13
        np.testing.assert_allclose(np.abs(row.state[:, 0]), 1, atol=1e-12)
    assert sum(row.count for row in found) == NUMBER
    assert found.failed == 0


def test_the_balanced_end_has_its_closed_form_spectrum(found):
    """Rightmost 1/2 - tanh(beta) at two against two: stable just where tanh(beta) > 1/2."""
    (row,) = [row for row in found if row.masses == (2, 2)]
    assert row.spectrum.outside[0].real == pytest.approx(0.5 - np.tanh(3.0), abs=1e-10)


def test_each_start_ends_where_a_run_of_its_own_does(found):
    for k, row in enumerate(found):
        i = int(np.flatnonzero(found.labels == k)[-1])
        for start in (jnp.asarray(row.start), drawn(jr.fold_in(jr.key(0), i))):
            end = af.simulate(held(3.0), start, t1=200.0).y1
            signs = np.sign(np.asarray(end)[:, 0])
            assert sorted([int(np.sum(signs > 0)), int(np.sum(signs < 0))])[::-1][
                : len(row.masses)
            ] == list(row.masses)


def test_below_the_threshold_balanced_tokens_are_slow_by_spectrum():
    """At the saddle itself no time is long enough; its spectrum says that it repels."""
    beta = 0.4
    saddle = np.array([[1.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0], [-1.0, 0, 0]])
    others = np.asarray(jax.vmap(drawn)(jr.split(jr.key(1), 20)))
    starts = np.concatenate([saddle[None], others])
    found = find(held(beta), None, starts=starts, key=None)
    row = found[int(found.labels[0])]
    assert (row.kind, row.shape, row.masses, row.count) == ("slow", "polarised", (2, 2), 1)
    assert row.spectrum.outside[0].real == pytest.approx(0.5 - np.tanh(beta), abs=1e-10)
    assert {found[k].kind for k in found.labels[1:]} == {"consensus"}


def test_turning_consensus_is_a_cycle_with_its_period():
    turn = jnp.array([[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    field = af.AttentionField(
        SPHERE, P=jnp.eye(3), U=turn + jnp.diag(jnp.array([1.0, 1.0, 0.0])), scale=1.0
    )
    (row,) = find(field, 40)
    assert (row.kind, row.shape, row.masses) == ("cycle", "consensus", (4,))
    assert row.period == pytest.approx(np.pi, abs=1e-8)
    assert row.multipliers is not None
    assert abs(row.multipliers[0]) == pytest.approx(1, abs=1e-7)


def test_scores_that_repel_leave_a_triangle_with_its_closed_form_spectrum():
    circle = af.Sphere(2)
    field = af.AttentionField(circle, P=-2.0 * jnp.eye(2), kernel="exp", scale=1.0)
    found = find(field, 60, starts=lambda key: circle.random(key, (3,)))
    assert {(row.kind, row.masses) for row in found} == {
        ("consensus", (3,)),
        ("polygon", (1, 1, 1)),
    }
    (row,) = [row for row in found if row.kind == "polygon"]
    assert row.spectrum.outside[0].real == pytest.approx(-np.e, abs=1e-9)


def test_four_that_repel_are_clusters_at_the_corners_of_a_tetrahedron():
    found = find(held(-8.0, half=1.0))
    assert {(row.kind, row.masses) for row in found} == {
        ("consensus", (4,)),
        ("clusters", (1, 1, 1, 1)),
    }
    (row,) = [row for row in found if row.kind == "clusters"]
    np.testing.assert_allclose(row.state @ row.state.T, (4 * np.eye(4) - 1) / 3, atol=1e-10)
    assert row.spectrum.verdict == "stable"


@pytest.mark.slow
def test_two_frequencies_without_a_ratio_are_no_rest():
    """Consensus goes round on a torus for ever; the closed orbit in its rim draws nobody in."""
    space = af.Sphere(4)
    turn = np.zeros((4, 4))
    turn[1, 0], turn[3, 2] = 1, np.sqrt(2)
    field = af.AttentionField(space, P=jnp.eye(4), U=jnp.eye(4) + turn - turn.T, scale=1.0)
    (row,) = find(field, 20, starts=lambda key: space.random(key, (2,)), t1=30.0)
    assert (row.kind, row.shape, row.period) == ("no rest", "consensus", None)


def test_intervals_hold_wilsons_values_and_precision_chooses_the_number(monkeypatch):
    # Of a thousand starts on, others are compiled: wider crews.
    monkeypatch.setattr("attnflow.attractors._find._FIRST", 256)
    found = find(held(3.0), None, precision=0.04)
    assert all(row.high - row.low <= 0.08 for row in found)
    assert 256 < found.number < 1000
    again = find(held(3.0), found.number)
    np.testing.assert_array_equal(again.labels, found.labels)
    p, n, z = found[0].share, found.number, 1.959964
    for edge in (found[0].low, found[0].high):
        assert abs(p - edge) == pytest.approx(z * np.sqrt(edge * (1 - edge) / n), rel=1e-5)


def test_a_causal_mask_takes_everything_to_consensus():
    field = af.AttentionField(SPHERE, P=jnp.eye(3), mask="causal", scale=1.0)
    (row,) = find(field, 60)
    assert (row.kind, row.share, row.high) == ("consensus", 1.0, 1.0)
    assert row.spectrum.outside[0].real == pytest.approx(-0.5, abs=1e-9)


def test_the_table_and_the_picture_say_each_row(found):
    table = str(found)
    assert f"{NUMBER} starts, {len(found)} rows" in table
    ax = af.plot.attractors(found, title="ends")
    assert [bar.get_width() for bar in ax.containers[1]] == pytest.approx([r.share for r in found])
    for row in found:
        assert row.detail in table
        assert any(row.detail in text.get_text() for text in ax.get_yticklabels())


def test_a_row_is_certified_in_one_call(found):
    pytest.importorskip("flint")
    assert af.certify.equilibrium(held(3.0), jnp.asarray(found[0].state)).proved


def test_labels_and_counts_do_not_depend_on_the_size_of_a_chunk(found, monkeypatch):
    """Starts are drawn, run and forgotten by the chunk: all that is kept of one is its label."""
    monkeypatch.setattr("attnflow.attractors._ends._CHUNK", 64)
    again = find(held(3.0))
    assert again.labels.dtype == np.int16
    np.testing.assert_array_equal(again.labels, found.labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": None}, "`key` must be given"),
        ({"number": None}, "`number` must say"),
        ({"t1": -1.0}, "`t1` must be after"),
        ({"precision": 2.0}, "`precision` is of a share"),
        ({"starts": lambda key: jnp.zeros(3)}, "`starts` as a sampler must return"),
        ({"starts": np.zeros((2, 4, 2)), "key": None, "number": None}, "`starts` must have shape"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(options, words, as_user):
    with pytest.raises(ValueError, match=words):
        find(held(), **options)


def test_fields_that_move_or_leave_the_manifold_are_refused():
    P = af.Modulated(af.Sinusoid(1.0, jnp.array([1.0, 2.0, 3.0])), jnp.eye(3))
    with pytest.raises(ValueError, match="must not change in time"):
        find(af.AttentionField(SPHERE, P=P))
    with pytest.raises(ValueError, match="must keep tokens on the manifold"):
        find(af.AttentionField(SPHERE, P=jnp.eye(3), normalisation="pre"))
