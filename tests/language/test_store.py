"""A run on disk: killed, gone on with, damaged, asked for more, or of something else."""

import signal
import subprocess
import sys
import time

import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language import Architecture, looped, read_run

SMALL = Architecture("gpt2", 97, 24, 32, 3, 4, 64, deviation=0.2)
IDS = np.random.default_rng(0).integers(0, 97, (3, 12))

# Every write takes a while and is announced, so that a kill finds the store in any of its states.
RUN = """
import sys, time, numpy as np, attnflow as af
from attnflow.records import WorkStore

def slowly(self, name, content, write=WorkStore.write):
    print(name, flush=True)
    time.sleep(0.1)
    write(self, name, content)
    time.sleep(0.1)

WorkStore.write = slowly
arch = af.language.Architecture("gpt2", 97, 24, 32, 3, 4, 64, deviation=0.2)
ids = np.random.default_rng(0).integers(0, 97, (3, 12))
af.language.looped(arch, ids, passes=5, weights="redrawn", store=sys.argv[1], progress=False)
"""


def same(one, other):
    for name in ("E", "pairs", "rest", "length"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.after_norm[name], other.after_norm[name])


@pytest.mark.parametrize("weights", ["fixed", "redrawn"])
def test_a_run_that_is_asked_for_more_passes_ends_with_the_same_bits(tmp_path, weights):
    options = {"weights": weights, "progress": False}
    whole = looped(SMALL, IDS, passes=5, **options)
    for passes in (1, 3, 5):
        parts = looped(SMALL, IDS, passes=passes, store=tmp_path, **options)
    same(parts, whole)
    same(read_run(tmp_path), whole)
    # Fewer are read from the store.
    fewer = looped(SMALL, IDS, passes=2, store=tmp_path, **options)
    np.testing.assert_array_equal(fewer.E, whole.E[:, : 1 + 2 * SMALL.layers])


def test_a_trained_model_s_run_goes_on_and_another_model_is_refused(tmp_path):
    model = af.language.random(SMALL, key=jr.key(1))
    whole = looped(model, IDS, passes=3, progress=False)
    looped(model, IDS, passes=2, store=tmp_path, progress=False)
    same(looped(model, IDS, passes=3, store=tmp_path, progress=False), whole)
    other = af.language.random(SMALL, key=jr.key(2))
    with pytest.raises(ValueError, match="another 'source'"):
        looped(other, IDS, passes=3, store=tmp_path, progress=False)


@pytest.mark.parametrize("name", ["pass-00003.npz", "tokens-00003.npz", "pass-00001.npz"])
def test_a_file_that_is_cut_short_is_done_again(tmp_path, name):
    options = {"weights": "redrawn", "progress": False}
    whole = looped(SMALL, IDS, passes=4, **options)
    looped(SMALL, IDS, passes=3, store=tmp_path, **options)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-60])
    same(looped(SMALL, IDS, passes=4, store=tmp_path, **options), whole)


def test_a_flipped_bit_is_noticed(tmp_path):
    looped(SMALL, IDS, passes=2, store=tmp_path, progress=False)
    whole = read_run(tmp_path)
    path = tmp_path / "pass-00002.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert read_run(tmp_path).passes == 1
    same(looped(SMALL, IDS, passes=2, store=tmp_path, progress=False), whole)


def test_only_the_tokens_of_the_last_passes_are_kept(tmp_path):
    looped(SMALL, IDS, passes=5, store=tmp_path, progress=False)
    assert sorted(p.name for p in tmp_path.glob("tokens-*")) == [
        "tokens-00004.npz",
        "tokens-00005.npz",
    ]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"weights": "redrawn"}, "weights"),
        ({"feed_forward": False}, "feed_forward"),
        ({"control": "no-values"}, "control"),
        ({"key": jr.key(1)}, "source"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"chunk": 1}, "chunk"),
    ],
)
def test_a_folder_of_another_run_is_refused(tmp_path, changed, name):
    looped(SMALL, IDS, passes=1, store=tmp_path, progress=False)
    with pytest.raises(ValueError, match=f"of a looped run with another '{name}'"):
        looped(SMALL, IDS, passes=1, store=tmp_path, progress=False, **changed)


def test_other_prompts_are_refused(tmp_path):
    looped(SMALL, IDS, passes=1, store=tmp_path, progress=False)
    with pytest.raises(ValueError, match="another 'ids'"):
        looped(SMALL, IDS[::-1], passes=1, store=tmp_path, progress=False)
    with pytest.raises(ValueError, match="another 'prompts'"):
        looped(SMALL, IDS[:2], passes=1, chunk=3, store=tmp_path, progress=False)


def test_another_architecture_is_refused(tmp_path):
    looped(SMALL, IDS, passes=1, store=tmp_path, progress=False)
    other = Architecture("gpt2", 97, 24, 32, 4, 4, 64, deviation=0.2)
    with pytest.raises(ValueError, match="of a looped run with another 'layers'"):
        looped(other, IDS, passes=1, store=tmp_path, progress=False)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no looped run"):
        read_run(tmp_path)
    (tmp_path / "loop.json").write_text("{}")
    with pytest.raises(ValueError, match="not the account of a looped run"):
        read_run(tmp_path)
    (tmp_path / "loop.json").write_text("[")
    with pytest.raises(ValueError, match=r"loop\.json is not the account"):
        looped(SMALL, IDS, passes=1, store=tmp_path)


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_with_the_bits_of_one_left_alone(tmp_path):
    killed = tmp_path / "killed"
    draw = np.random.default_rng(5)
    left = []
    for _ in range(10):
        run = subprocess.Popen([sys.executable, "-c", RUN, killed], stdout=subprocess.PIPE)
        assert run.stdout is not None
        with run.stdout:
            run.stdout.readline()  # the first write of this run
            time.sleep(draw.uniform(0.0, 0.9))
            run.send_signal(signal.SIGKILL)
        run.wait(60)
        left.append(len(list(killed.glob("pass-*.npz"))))
    assert left[0] < 5  # that kills came in time
    assert len(set(left)) > 2
    whole = looped(SMALL, IDS, passes=5, weights="redrawn", progress=False)
    same(looped(SMALL, IDS, passes=5, weights="redrawn", store=killed, progress=False), whole)
