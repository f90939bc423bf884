"""The picture of a counterexample shows where its tokens go, its margin and what decides."""

import jax
import jax.numpy as jnp
import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

import attnflow as af
from attnflow.search import CLAIMS, Counterexample, Evidence
from attnflow.spec import AttentionTable, Case, Manifold, Time, Tokens

CLAIM = CLAIMS["no hemisphere"]


def made(dim: int, evidence: Evidence, *, P: float = -2.0, claim=CLAIM) -> Counterexample:
    """Tokens near the simplex, under P = P I; the evidence is as given."""
    rows = np.eye(3, dim) if dim > 2 else np.asarray(af.theory.polygon(3))
    rows = rows + 0.2 * np.cos(np.arange(3 * dim)).reshape(3, dim)
    case = Case(
        manifold=Manifold(dim=dim),
        tokens=Tokens(rows=rows.tolist(), project=True),
        attention=AttentionTable(P=P, scale=1.0),
        time=Time(t1=float(evidence.time)),
    )
    return Counterexample(claim, case, evidence, "by hand")


def triangle(dim: int) -> jax.Array:
    y = af.theory.polygon(3)
    return jnp.concatenate([y, jnp.zeros((3, dim - 2))], axis=1)


def at_rest(dim: int, status: str = "open", time: float = 2.0) -> Evidence:
    return Evidence(status, "it is stable", 1.0, time, equilibrium=triangle(dim), basin=1.0)


@pytest.fixture(scope="module")
def plane():
    example = made(2, at_rest(2))
    return example, af.plot.counterexample(example)


def test_a_new_figure_is_named_for_the_claim_and_its_status(plane):
    _, axes = plane
    assert len(axes) == 3
    figure = af.plot.figure_of(axes[0])
    assert figure._suptitle.get_text() == "no hemisphere: open"


def test_on_the_circle_starts_and_limits_are_marked_and_numbered(plane):
    example, (ax, _, _) = plane
    starts, limits = (np.asarray(marks.get_offsets()) for marks in ax.collections)
    np.testing.assert_allclose(starts, example.build()[1], atol=1e-12)
    directions = limits / np.linalg.norm(limits, axis=1, keepdims=True)
    np.testing.assert_allclose(directions, triangle(2), atol=1e-12)
    assert [text.get_text() for text in ax.texts] == ["1", "2", "3"] * 2


def test_the_margin_of_the_run_is_drawn_with_the_line_of_a_violation(plane):
    example, (_, ax, _) = plane
    field, y0 = example.build()
    ts, margins = (np.asarray(x) for x in ax.lines[0].get_data())
    assert (ts[0], ts[-1]) == (0.0, 2.0)  # no longer than the evidence
    mean = np.mean(np.asarray(y0), axis=0)
    assert margins[0] == pytest.approx(1 - mean @ mean)
    end = af.simulate(field, y0, t1=2.0).y1
    assert margins[-1] == pytest.approx(float(1 - jnp.sum(jnp.mean(end, axis=0) ** 2)), rel=1e-6)
    assert ax.lines[1].get_ydata()[0] == 1e-3
    assert ax.get_yscale() == "log"
    assert ax.get_title() == "not so: all tokens converge to one point"


def test_the_spectrum_is_drawn_with_its_stable_half_shaded(plane):
    example, (_, _, ax) = plane
    field, _ = example.build()
    local = af.theory.spectrum(field, 0.0, triangle(2))
    drawn = np.concatenate([np.asarray(line.get_data()).T for line in ax.lines[2:5]])
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(local.outside.real), atol=1e-12)
    assert ax.get_title() == "eigenvalues of the limit: stable"
    (half,) = ax.patches
    box = half.get_extents().transformed(ax.transData.inverted())
    assert (box.x0, box.x1) == pytest.approx((ax.get_xlim()[0], 0.0), abs=1e-9)
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "family of equilibria (1)"


def test_a_null_set_shows_a_start_beside_it(plane):
    _, (_, ax, right) = plane
    assert len(ax.lines) == 2
    example = made(2, at_rest(2, "null set"), P=2.0)  # attraction: the triangle is unstable
    _, ax, right = af.plot.counterexample(example)
    this, beside = (np.asarray(line.get_ydata()) for line in ax.lines[:2])
    assert 0 < np.abs(this - beside).max() < 1e-3
    assert right.get_title() == "eigenvalues of the limit: unstable"
    orange = matplotlib.colors.to_hex(right.lines[3].get_color())
    assert orange == "#c8641e"
    assert len(right.lines[3].get_xdata()) == 2


@pytest.mark.slow
def test_on_the_sphere_paths_end_at_the_limit():
    (ax, _, _) = af.plot.counterexample(made(3, at_rest(3, time=30.0)))
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["start", "end"]
    assert ax.get_title() == "tokens"


@pytest.mark.slow
def test_in_four_dimensions_the_cosines_of_the_limit_are_drawn():
    axes = Figure().subplots(1, 3)
    first = af.plot.counterexample(made(4, at_rest(4)), axes)[0]
    assert first is axes[0]
    (image,) = first.images
    np.testing.assert_allclose(image.get_array(), 1.5 * np.eye(3) - 0.5, atol=1e-12)
    assert first.get_title() == "cosines of the limit"
    assert axes[0].figure._suptitle is None


def test_tokens_that_come_to_no_rest_are_told_of_in_words(plane):
    why = "tokens move at 0.5123, and the margin stays above 0.3214"
    evidence = made(2, Evidence("no rest", why, 0.3, 2.0))
    left, _, right = af.plot.counterexample(evidence)
    assert right.texts[0].get_text().replace("\n", " ") == why
    legend = left.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["start", "end"]


@pytest.mark.slow
def test_a_rate_is_drawn_from_the_start_on():
    claim = CLAIMS["3.2, V falls"]
    evidence = Evidence("open", "it grows", 0.5, 1e-4)
    _, ax, _ = af.plot.counterexample(made(2, evidence, claim=claim))
    assert ax.get_xlim() == (0.0, 5.0)
    assert ax.get_ylabel() == "rate of growth"


def test_axes_that_are_not_three_are_refused():
    with pytest.raises(ValueError, match=r"`axes` must be three; got 2\."):
        af.plot.counterexample(made(2, at_rest(2)), Figure().subplots(1, 2))
