"""Where loops end, how sharp heads are, the page that tells it, and torch's files made safetensors."""

import dataclasses
import fractions
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.cli import main
from attnflow.language._modules import without_feed_forward
from attnflow.language._rest import _map
from tests.systems import FamilyOracle, family_checkpoint, gpt_prompts, write_folder

IDS = gpt_prompts(2, 6)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    config, tensors = family_checkpoint("bert", "rest")
    folder = write_folder(tmp_path_factory.mktemp("bert"), config, tensors, dtype="F64")
    return config, tensors, folder, af.language.load(folder, dtype="float64")


def test_an_equilibrium_is_one_and_its_multipliers_are_the_jacobian_s(bert):
    _, _, _, model = bert
    run = af.language.looped(model, IDS, passes=40, feed_forward=False, keep="last", progress=False)
    found = af.language.rest(model, run.last[0], feed_forward=False, passes=200, tolerance=1e-9)
    assert found.period == 1
    h = jnp.asarray(found.tokens)
    model = eqx.tree_at(lambda m: m.blocks, model, without_feed_forward(model.blocks))
    assert np.abs(jax.jit(lambda x: _map(model, x, 1))(h) - h).max() < 1e-8
    jacobian = jax.jit(jax.jacfwd(lambda x: _map(model, x, 1)))(h).reshape(h.size, h.size)
    values = np.linalg.eigvals(np.asarray(jacobian))
    largest = values[np.argmax(np.abs(values))]
    assert abs(found.multipliers[0]) == pytest.approx(abs(largest), abs=1e-6 + found.error)
    assert found.stable == (abs(largest) < 1)
    assert sum(found.clusters) == 6
    assert "an equilibrium" in str(found)


def test_newton_goes_where_passes_have_not_come_yet(bert):
    _, _, _, model = bert
    start = model.embed(IDS[0])
    passed = af.language.rest(model, start, feed_forward=False, passes=400, tolerance=1e-10)
    assert passed.period == 1
    near = jnp.asarray(passed.tokens) + 1e-3 * jr.normal(jr.key(0), passed.tokens.shape)
    found = af.language.rest(model, near, feed_forward=False, passes=1, tolerance=1e-10)
    assert found.period == 1
    assert found.passes == 1
    np.testing.assert_allclose(found.tokens, passed.tokens, atol=1e-6)


def test_temperatures_are_those_of_the_oracle_s_scores(bert):
    config, tensors, _, model = bert
    found = af.language.temperatures(model, IDS[:1], feed_forward=False)
    oracle = FamilyOracle(config, tensors)
    h = oracle.hidden(IDS[0], False)
    for layer in (0, 3):
        q, k, _ = oracle.queries_keys_values(layer, h[layer])
        for head in range(4):
            scores = 8**-0.5 * q[:, head] @ k[:, head].T
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            unit = h[layer] / np.linalg.norm(h[layer], axis=1, keepdims=True)
            cosines = unit @ unit.T
            c = cosines - cosines.mean(axis=1, keepdims=True)
            expected = {
                "spread": scores.std(axis=1).mean(),
                "beta": np.sum(c * scores) / np.sum(c**2),
                "self_share": np.diag(weights).mean(),
                "first_share": weights[:, 0].mean(),
                "entropy": np.mean(-np.sum(weights * np.log(weights), axis=1)) / np.log(6),
            }
            for name, value in expected.items():
                assert getattr(found, name)[layer, head] == pytest.approx(value, rel=1e-9), name
    first = h[1] / np.linalg.norm(h[1], axis=1, keepdims=True)
    before = h[0] / np.linalg.norm(h[0], axis=1, keepdims=True)
    assert found.time[0] == pytest.approx(np.arccos(np.sum(first * before, axis=1)).mean())
    rows = found.rows(sort="first_share")
    assert rows[0]["first_share"] == found.first_share.max()
    assert found.place[1] == 32


@pytest.mark.parametrize("sizes", [[6], [3, 3], [4, 1, 1]])
def test_clusters_are_counted_by_prompt(sizes, bert):
    _, _, _, model = bert
    run = af.language.looped(model, IDS, passes=1, progress=False)
    with pytest.raises(ValueError, match="must have kept its last state"):
        af.language.clusters(run)
    points = np.eye(32)[: len(sizes)]
    last = np.stack([np.repeat(points, sizes, axis=0), np.repeat(points[:1], 6, axis=0)])
    run = dataclasses.replace(run, last=last)
    assert af.language.clusters(run, threshold=0.99) == [sizes, [6]]


def test_what_is_kept_goes_on_from_a_store_with_the_same_bits(bert, tmp_path):
    _, _, _, model = bert
    options = {"feed_forward": False, "keep": "last", "progress": False}
    whole = af.language.looped(model, IDS, passes=3, **options)
    for passes in (2, 3, 3):
        part = af.language.looped(model, IDS, passes=passes, store=tmp_path, **options)
    np.testing.assert_array_equal(part.last, whole.last)
    fewer = af.language.looped(model, IDS, passes=1, store=tmp_path, **options)
    alone = af.language.looped(model, IDS, passes=1, **options)
    np.testing.assert_array_equal(fewer.last, alone.last)


def test_the_page_has_the_runs_the_rests_and_the_hypotheses(bert, capsys, tmp_path):
    _, _, folder, _ = bert
    words = ["diagnose", str(folder), "--prompts", "2", "--length", "6", "--passes", "4"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for part in ("Does it collapse?", "norms alone", "prompt 2:", "full attention (3.2)"):
        assert part in out
    account = json.loads((tmp_path / "diagnosis.json").read_text())
    assert len(account["runs"]["whole"]["E_mean"]) == 5
    assert (tmp_path / "diagnosis.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "place.png").read_bytes().startswith(b"\x89PNG")
    assert "random, same law" in (tmp_path / "place.txt").read_text()
    assert main(["diagnose", "nothing"]) == 2
    assert "must be a folder, a GGUF file or one of gpt2" in capsys.readouterr().err


def test_a_file_of_torch_s_becomes_a_folder_and_nothing_but_tensors_does(tmp_path, as_user, capsys):
    torch = pytest.importorskip("torch", reason="it reads the file")
    config, tensors = family_checkpoint("llama", "convert")
    folder = tmp_path / "model"
    folder.mkdir()
    file = folder / "pytorch_model.bin"
    torch.save({f"model.{n}": torch.from_numpy(x).float() for n, x in tensors.items()}, file)
    with pytest.raises(ValueError, match=r"has no config\.json beside pytorch_model\.bin"):
        af.language.convert(file, tmp_path / "out")
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["convert", str(file), "--out", str(tmp_path / "out")]) == 0
    found = af.language.load(tmp_path / "out")
    expected = tensors["layers.1.mlp.up_proj.weight"].astype(np.float32).T
    np.testing.assert_array_equal(found.blocks.feed_forward.up[1], expected)
    torch.save(
        {"w": fractions.Fraction(1, 2)}, file
    )  # an object of some class, which unpickling makes
    with pytest.raises(ValueError, match="cannot be read as tensors of torch's alone"):
        af.language.convert(file, tmp_path / "other")
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="must hold tensors by name; got a list"):
        af.language.convert(file, tmp_path / "other")
