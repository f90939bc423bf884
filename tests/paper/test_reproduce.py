"""All figures at once: files, keys, and what is refused before any work."""

import jax
import jax.random as jr
import numpy as np
import pytest

from attnflow import paper


def test_a_figure_s_files_claims_and_numbers(tmp_path):
    out = tmp_path / "new" / "folder"
    report = paper.reproduce([3, 1], out=out, seed=5)
    assert report.holds
    assert {claim.figure for claim in report.claims} == {1, 3}
    names = {"figure1.png", "figure1.npz", "figure3.png", "figure3.npz", "claims.txt"}
    assert {file.name for file in report.files} == names
    assert {file.name for file in out.iterdir()} == names
    assert (out / "claims.txt").read_text() == report.table() + "\n"
    for name in ("figure1.png", "figure3.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    # The numbers are those of the figure drawn alone, with a key of the seed and the run.
    alone = paper.figure3(jr.fold_in(jr.key(5), 2))
    with np.load(out / "figure3.npz", allow_pickle=False) as saved:
        assert set(saved.files) == set(alone.arrays)
        for name in saved.files:
            np.testing.assert_array_equal(saved[name], alone[name])


def test_every_figure_has_its_part_and_can_be_drawn():
    assert list(paper.FIGURES) == list(range(1, 11))
    t = np.linspace(0.0, 60.0, 50)
    on_sphere = np.stack([np.stack([np.cos(t / 99), np.sin(t / 99), 0 * t], 1)] * 3, axis=1)
    curves = np.exp(-t)[None] * np.ones((3, 1))
    arrays = {"ts": t, "ys": on_sphere, "v": np.array([1.0, 0, 0]), "norms": curves[:2]}
    drawings = {
        paper.draw_figure1: arrays,
        paper.draw_figure2: arrays,
        paper.draw_figure3: {"ts": t, "V": curves[0]},
        paper.draw_figure4: {"ts": t, "E": curves},
        paper.draw_figure5: arrays,
        paper.draw_figure6: {"ts": t, "V": curves[:2]},
        paper.draw_exception_4_2: {"ts": t, "angle": curves},
    }
    for draw, some in drawings.items():
        figure = draw(paper.FigureData(some, ()))
        texts = [ax.get_title() for ax in figure.axes] + [figure.get_suptitle()]
        assert any(texts), draw.__name__


@pytest.mark.parametrize("figures", [[11], [0], [1, 2, 12], [True], [2.5], ["4"], []])
def test_a_figure_that_does_not_exist_is_refused_before_any_work(tmp_path, figures):
    with pytest.raises(ValueError, match="`figures` must"):
        paper._reproduce.reproduce.__wrapped__(figures, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_figures_of_trained_models_need_their_folders_and_are_left_out_otherwise(tmp_path):
    expected = paper._reproduce._chosen
    with pytest.raises(ValueError, match="figure 7 .* `gpt2` and `gpt_neo` are missing"):
        paper.reproduce([1, 7], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert expected(None, {"gpt2": None, "gpt_neo": None}) == (1, 2, 3, 4, 5, 6, 9, 10)
    assert expected(None, {"gpt2": "a", "gpt_neo": "b"}) == tuple(range(1, 11))


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_a_seed_that_is_no_seed_is_refused(tmp_path, seed):
    with pytest.raises(ValueError, match="`seed` must"):
        paper._reproduce.reproduce.__wrapped__([1], out=tmp_path, seed=seed)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OSError, match="cannot write") as caught:
        paper.reproduce([1], out=blocked / "out")
    assert "\n" not in str(caught.value)


def test_32_bit_numbers_are_refused_with_the_remedy(tmp_path):
    with jax.enable_x64(False), pytest.raises(RuntimeError, match="jax_enable_x64"):
        paper.reproduce([1], out=tmp_path)
