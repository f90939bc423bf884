"""The paper's fields and figures: its parameters, and numbers checked in another way."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import paper

KEY = jr.key(7)


def test_the_field_of_theorem_3_2_has_the_paper_s_matrices():
    field = paper.field_theorem_3_2()
    assert field.heads == 2
    assert field.U is None
    np.testing.assert_allclose(field.scale, 3**-0.5)
    t = 0.137
    D_1 = 2 * np.diag([np.cos(10 * np.pi * t), np.sin(10 * np.pi * t), np.cos(6 * np.pi * t)])
    D_2 = 2 * np.diag([np.cos(6 * np.pi * t), np.sin(6 * np.pi * t), np.cos(4 * np.pi * t)])
    P_1 = [[0.08, -0.19, 0.20], [-0.23, 0.31, -0.23], [0.18, -0.17, -0.16]]
    P_2 = [[-0.31, 0.03, 0.11], [0.06, -0.06, 0.13], [0.14, 0.11, 0.10]]
    expected = np.stack([D_1 @ np.array(P_1), D_2 @ np.array(P_2)])
    np.testing.assert_allclose(field.P(t), expected, atol=1e-14)
    assert field.frequency is not None
    np.testing.assert_allclose(field.frequency, 5.0)
    # Full attention.
    weights = field.attention(0.0, field.manifold.random(KEY, (4,)))
    assert bool(jnp.all(weights > 0))


def test_the_field_of_theorem_4_5_has_the_paper_s_matrices():
    field = paper.field_theorem_4_5()
    assert field.heads == 1
    assert field.U is not None
    t = 0.137
    D = 2 * np.diag([np.cos(10 * np.pi * t), np.sin(10 * np.pi * t), np.cos(6 * np.pi * t)])
    P = np.array([[0.36, 0.42, 0.13], [0.10, -0.07, -0.20], [0.15, -0.21, 0.12]])
    np.testing.assert_allclose(field.P(t)[0], D @ P, atol=1e-14)
    U = np.array([[-0.26, 0.50, 0.56], [0.50, -0.72, -0.50], [0.56, -0.50, -0.02]])
    np.testing.assert_allclose(field.U(t)[0], U)
    weights = field.attention(0.0, field.manifold.random(KEY, (4,)))
    np.testing.assert_array_equal(weights[0] > 0, np.tril(np.ones((4, 4), bool)))
    values, v = paper.top_eigenvector()
    np.testing.assert_allclose(values[0], 0.44029952, atol=5e-9)
    np.testing.assert_allclose(U @ v, values[0] * v, atol=1e-14)
    np.testing.assert_allclose(jnp.linalg.norm(v), 1, atol=1e-15)


@pytest.mark.parametrize("shared", [False, True])
def test_the_field_of_theorem_4_2_is_drawn_as_the_paper_says(shared):
    field = paper.field_theorem_4_2(KEY, dim=60, shared_frequency=shared)
    at_0, later = np.asarray(field.P(0.0)), np.asarray(field.P(3.7))
    assert field.heads == 2
    assert field.scale == 60**-0.5
    # |2 sin| times entries in [-1/2, 1/2], with the sign of the entries.
    assert np.abs(at_0).max() <= 1
    assert np.abs(at_0).max() > 0.9
    np.testing.assert_array_equal(np.sign(at_0), np.sign(later))
    ratio = (later / at_0).reshape(2, 60, 60)
    np.testing.assert_allclose(ratio, ratio[:, :, :1] * np.ones((1, 1, 60)), rtol=1e-10)
    distinct = [len(np.unique(np.round(rows[:, 0], 8))) for rows in ratio]
    assert distinct == ([1, 1] if shared else [60, 60])


def test_starts_are_projected_cubes_and_do_not_depend_on_how_many_there_are():
    few, many = paper.starts(KEY, 3, 20, 40), paper.starts(KEY, 5, 20, 40)
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_allclose(np.linalg.norm(few, axis=-1), 1, atol=1e-14)
    # Entries of a uniform cube, scaled: the largest of 40 is near sqrt(3) times their mean square.
    peak = np.abs(few).max(axis=-1) * 40**0.5
    assert 1.4 < peak.mean() < 2.0
    assert abs(float(few.mean())) < 0.02


def test_figure_1_shows_the_norms_row_by_row():
    data = paper.figure1()
    assert [claim.holds for claim in data.claims] == [True, True]
    rows = np.sum(np.array([paper._theorem_3_2.P_1, paper._theorem_3_2.P_2]) ** 2, axis=2)
    cycles = np.array([[5, 5, 3], [3, 3, 2]])
    angle = 2 * np.pi * cycles[..., None] * data["ts"]
    cosine = np.array([True, False, True])[None, :, None]
    waves = np.where(cosine, np.cos(angle), np.sin(angle))
    slopes = 2 * np.pi * cycles[..., None] * np.where(cosine, np.sin(angle), np.cos(angle))
    for name, entries in (("norms", waves), ("rates", slopes)):
        expected = np.sqrt(np.einsum("hk,hkn->hn", rows, 4 * entries**2))
        np.testing.assert_allclose(data[name], expected, rtol=1e-10)


@pytest.mark.slow
def test_figures_2_and_3_are_one_run_of_theorem_3_2():
    shown, lyapunov = paper.figure2(KEY), paper.figure3(KEY)
    assert all(claim.holds for claim in shown.claims + lyapunov.claims)
    ys = shown["ys"]
    assert ys.shape == (2501, 10, 3)
    np.testing.assert_allclose(lyapunov["V"], np.max(1 - ys[:, :, 0], axis=1), atol=1e-15)
    np.testing.assert_array_equal(shown["E"], lyapunov["E"])
    # A start that the theorem does not speak of would not pass for one that it does.
    assert shown["margin"] >= np.min(ys[0, :, 0]) > 0


def test_figures_5_and_6_are_one_run_of_theorem_4_5():
    shown, lyapunov = paper.figure5(KEY), paper.figure6(KEY)
    assert all(claim.holds for claim in shown.claims + lyapunov.claims)
    ys, v = shown["ys"], shown["v"]
    np.testing.assert_allclose(lyapunov["V"], 1 - (ys[:, :2] @ v).T, atol=1e-15)
    np.testing.assert_allclose(ys[-1] @ v, 1, atol=1e-8)


@pytest.mark.slow
def test_figure_4_at_a_small_size():
    seen = []
    data = paper.figure4(
        KEY, trajectories=12, tokens=5, dim=8, t1=60.0, tick=lambda: seen.append(1)
    )
    assert all(claim.holds for claim in data.claims)
    assert data["E"].shape == (12, 401)
    assert len(seen) == 2
    _, start_key = jr.split(KEY)
    y0 = paper.starts(start_key, 12, 5, 8)
    np.testing.assert_allclose(data["E"][:, 0], [af.misalignment(y) for y in y0], rtol=1e-12)
    assert np.max(data["E"][:, -1]) < 1e-3 < np.min(data["E"][:, 0])


@pytest.mark.slow
def test_remark_3_4_is_one_term_short():
    assert paper.wendel(10, 3) == 0.08984375
    assert paper.wendel(12, 5) == 0.2744140625
    assert paper.wendel(2, 2) == 1
    data = paper.remark_3_4(KEY, trials=1000)
    assert all(claim.holds for claim in data.claims)
    assert all("erratum" in claim.claim for claim in data.claims)
    np.testing.assert_array_equal(data["wendel"], [1.0, 0.08984375, 0.2744140625])
    np.testing.assert_array_equal(data["printed"], [0.5, 10 / 512, 232 / 2048])
    assert data["frequency"][0] == 1


@pytest.mark.slow
def test_one_start_off_minus_y_1_converges_to_it_and_its_neighbours_do_not():
    data = paper.exception_4_2()
    assert data["theta"][1] == pytest.approx(np.pi + 0.287989844, abs=1e-9)
    (claim,) = data.claims
    assert claim.holds
    assert "erratum" in claim.claim
    ts, (below, there, above) = data["ts"], data["angle"]
    until = ts <= 24
    # It follows the slow direction, 2/7 of token 2's angle, which decays as e^{-t/2}.
    second = 2 * np.arctan(np.tan(0.5) * np.exp(-ts / 2))
    late = until & (ts > 15)
    np.testing.assert_allclose(there[late], 2 / 7 * second[late], rtol=0.05)
    assert below[-1] == pytest.approx(np.pi, abs=1e-6)
    assert above[-1] == pytest.approx(np.pi, abs=1e-6)
    assert data["residual"].max() < 1e-12
