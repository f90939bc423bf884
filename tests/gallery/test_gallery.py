"""The gallery's registry, files and refusals; the claims of its cheap figures at tiny size, of all others when slow."""

import inspect
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from attnflow import gallery
from attnflow.closed_forms import mode_growth
from attnflow.gallery import GalleryClaim, _long_context, _middle, _space

# Each takes a few seconds at tiny size, most of them for compilation.
CHEAP = ("polytope", "staircase", "hardmax-leaders", "renyi-counts", "long-context", "growth-rates")
PAPERS = {
    "2305.05465", "2312.10794", "2407.01602", "2410.06833", "2410.23228",
    "2411.04990", "2507.22857", "2510.22026", "2512.01868", "2605.09213",
    "2605.18870",
}  # fmt: skip


# === registry


def test_there_are_at_least_fourteen_figures_of_at_least_eight_papers():
    entries = gallery.catalogue()
    assert len(entries) >= 14
    assert {entry.paper for entry in entries.values()} == PAPERS
    assert gallery.figure_names() == tuple(entries)
    assert all(name == entry.name for name, entry in entries.items())


@pytest.mark.parametrize("name", gallery.figure_names())
def test_every_figure_has_a_name_for_the_command_line_and_its_two_functions(name):
    entry = gallery.catalogue()[name]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert re.fullmatch(r"\d{4}\.\d{5}", entry.paper)
    assert list(inspect.signature(entry.measure).parameters) == ["key", "size"]
    assert list(inspect.signature(entry.picture).parameters) == ["data"]
    assert entry.measure.__doc__
    assert 0 < len(entry.shows) < 80


# === claims


def check(shown: gallery.GalleryFigure) -> None:
    assert isinstance(shown.figure, Figure)
    assert shown.claims
    assert shown.holds, shown.table()
    for claim in shown.claims:
        assert re.search(r"\d", claim.measured), "a measurement has numbers"
        assert claim.verdict in ("yes", "contradicts")
        assert (claim.contradicts is not None) == (claim.verdict == "contradicts")
    for value in shown.data.values():
        assert np.asarray(value).dtype.kind in "fib"
        assert np.asarray(value).size > 0


@pytest.mark.parametrize("name", CHEAP)
def test_claims_of_the_cheap_figures_hold_at_tiny_size(name):
    check(gallery.draw(name, size="tiny"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in gallery.figure_names() if name not in CHEAP])
def test_claims_of_the_other_figures_hold_at_tiny_size(name):
    check(gallery.draw(name, size="tiny"))


def test_another_seed_gives_other_numbers_and_the_same_seed_the_same():
    one, same, other = (
        gallery.draw("polytope", size="tiny", seed=seed)["zs"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


# === what figures compute, in another way


def test_the_hull_of_a_square_and_its_centre_is_the_square():
    points = np.array([[0.0, 0], [1, 0], [0.5, 0.5], [1, 1], [0, 1], [0.5, 0.0]])
    hull = _space._hull(points)
    np.testing.assert_array_equal(hull, [[0, 0], [1, 0], [1, 1], [0, 1]])
    assert _space._area(hull) == 1
    np.testing.assert_allclose(_space._to_boundary(np.array([[0.5, 0.4], [2, 1]]), hull), [0.4, 1])


def test_the_cosine_after_a_layer_is_that_of_the_tokens_written_out():
    n, rho, gamma = 7, 0.3, 1.2
    y = np.asarray(_long_context._equiangular(n, jnp.asarray(rho)))
    np.testing.assert_allclose(y @ y.T, (1 - rho) * np.eye(n) + rho, atol=1e-14)
    weights = np.exp(gamma * np.log(n) * (y @ y.T))
    out = weights / weights.sum(axis=1, keepdims=True) @ y
    cosine = out[0] @ out[1] / np.linalg.norm(out[0]) / np.linalg.norm(out[1])
    got = _long_context._after(float(n), np.array(rho), np.array(gamma))
    np.testing.assert_allclose(got, cosine, atol=1e-13)


def test_the_field_of_lost_in_the_middle_is_the_equation_written_out():
    n = 6
    theta = np.array([0.3, 1.0, 2.5, -2.0, 0.1, 1.7])
    y = jnp.stack([jnp.cos(jnp.asarray(theta)), jnp.sin(jnp.asarray(theta))], axis=1)
    velocity = np.asarray(_middle._field(n)(0.0, y))
    turning = velocity[:, 1] * np.cos(theta) - velocity[:, 0] * np.sin(theta)
    expected = np.zeros(n)
    for j in range(1, n):
        decay = np.exp(-_middle.LAMBDA * (j - np.arange(j)) / n)
        gap = theta[j] - theta[:j]
        pull = -_middle.BETA * np.sin(gap) * np.exp(_middle.BETA * np.cos(gap))
        expected[j] = decay @ pull / decay.sum()
    np.testing.assert_allclose(turning, expected, atol=1e-14)


def test_the_bessel_profile_solves_its_integral_equation():
    # d g/dt = a (k(1, s) + int_s^1 k(1, x) g(x) dx), by differences in t and a fine rule in x.
    a, t, place, h = 0.565, 0.8, 0.3, 1e-4
    lam = _middle.LAMBDA

    def profile(time, at, source):  # the formula at any `at`, by its definition
        k = lam * np.exp(-lam * (at - source)) / (1 - np.exp(-lam * at))
        Y = np.log(np.expm1(lam * at) / np.expm1(lam * source))
        z = 2 * np.sqrt(a * time * Y)
        return k * np.sqrt(a * time / Y) * mode_growth(1, z) * z

    got = _middle._profile(a, t, np.array([place]))
    np.testing.assert_allclose(got, profile(t, 1.0, place), rtol=1e-12)
    rate = (
        _middle._profile(a, t + h, np.array([place]))
        - _middle._profile(a, t - h, np.array([place]))
    ) / (2 * h)
    x = np.linspace(place, 1.0, 4001)[1:]
    kernel = lam * np.exp(-lam * (1 - x)) / (1 - np.exp(-lam))
    source = lam * np.exp(-lam * (1 - place)) / (1 - np.exp(-lam))
    integral = np.sum(kernel * profile(t, x, place)) * (x[1] - x[0])
    np.testing.assert_allclose(rate, a * (source + integral), rtol=2e-3)


# === tables and files


def test_a_verdict_tells_a_failure_from_a_published_number_that_is_off():
    said = ("2312.10794", "a claim", "0.5")
    assert GalleryClaim(*said, holds=True).verdict == "yes"
    assert GalleryClaim(*said, holds=True, contradicts="a factor").verdict == "contradicts"
    assert GalleryClaim(*said, holds=False, contradicts="a factor").verdict == "NO"


def test_files_hold_the_numbers_the_picture_and_the_account(tmp_path):
    out = tmp_path / "new" / "folder"
    report = gallery.exhibit(
        ["renyi-counts", "hardmax-leaders", "renyi-counts"], out=out, size="tiny"
    )
    names = {
        f"{n}.{k}" for n in ("renyi-counts", "hardmax-leaders") for k in ("png", "npz", "json")
    }
    assert {file.name for file in report.files} == names | {"claims.txt"}
    assert {file.name for file in out.iterdir()} == names | {"claims.txt"}
    assert (out / "claims.txt").read_text() == report.table() + "\n"
    assert "1 contradicts a published number" in report.table()
    assert max(map(len, report.table().splitlines())) <= 130
    assert (out / "renyi-counts.png").read_bytes().startswith(b"\x89PNG")
    account = json.loads((out / "renyi-counts.json").read_text())
    assert account["paper"] == "arXiv:2411.04990"
    assert [row["verdict"] for row in account["claims"]] == ["yes", "contradicts", "yes"]
    assert account["provenance"]["versions"]
    with np.load(out / "renyi-counts.npz", allow_pickle=False) as saved:
        assert {name: list(saved[name].shape) for name in saved.files} == account["arrays"]
        np.testing.assert_array_equal(saved["counts"], report.figures[0]["counts"])


# === what is refused


@pytest.mark.parametrize("name", ["nothing", "", "Staircase", "../polytope"])
def test_an_unknown_figure_is_refused_in_one_line_before_any_work(tmp_path, name):
    with pytest.raises(ValueError, match="must be a figure of the gallery") as caught:
        gallery.exhibit([name], out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_figure_that_is_nearly_named_is_suggested():
    with pytest.raises(ValueError, match="did you mean staircase"):
        gallery.draw("stairs-case")


def test_no_figure_another_size_and_a_seed_that_is_none_are_refused(tmp_path, as_user):
    with pytest.raises(ValueError, match="at least one figure"):
        gallery.exhibit([], out=tmp_path)
    with pytest.raises(ValueError, match=r"`names` must be a list.*\['polytope'\]"):
        gallery.exhibit("polytope", out=tmp_path)
    with pytest.raises(ValueError, match="`size` must be"):
        gallery.draw("polytope", size="huge")
    with pytest.raises(ValueError, match="`seed` must be"):
        gallery.draw("polytope", seed=-1)
    with pytest.raises(ValueError, match="must be a figure"):
        gallery.draw(7)  # pyright: ignore[reportArgumentType]


def test_32_bit_numbers_are_refused_with_the_remedy():
    with jax.enable_x64(False), pytest.raises(RuntimeError, match="jax_enable_x64"):
        gallery.draw("polytope", size="tiny")
