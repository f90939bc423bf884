"""Compiled programs are kept: where, for whom, how many, and what happens where they cannot be."""

import os
import subprocess
import sys
import time

import jax
import pytest

import attnflow as af
from attnflow.programs import _cache, cached

SCRIPT = """
import sys, warnings
import jax, jax.numpy as jnp
import attnflow as af
print(af.cache(sys.argv[1]))
found = []
jax.monitoring.register_event_listener(lambda name, **_: found.append(name))
def turned(c):
    return jnp.linalg.qr(jnp.sin(c[0]) @ jnp.cos(c[0]))[0], c[1] + jnp.sort(jnp.abs(c[0]))
@jax.jit
def program(x):
    return jax.lax.while_loop(lambda c: jnp.sum(c[1]) < 50, turned, (x, x))[0].sum()
print(program(jnp.ones((7, 7))))
print(sum(name.endswith("compilation_cache/cache_hits") for name in found))
"""


@pytest.fixture
def untouched():
    """JAX's configuration as it was."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def run(folder, **env):
    names = ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_second_process_finds_what_the_first_compiled_even_beside_a_damaged_program(
    tmp_path, monkeypatch
):
    monkeypatch.delenv(
        "XLA_FLAGS", raising=False
    )  # with what tests have there it is too fast to be kept
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    mine = cached(tmp_path)
    assert mine.programs >= 1
    assert mine.size > 0
    assert str(mine.folder) in first.stdout
    second = run(tmp_path)
    assert int(second.stdout.split()[-1]) >= 1
    assert second.stdout.split()[-2] == first.stdout.split()[-2]
    for path in mine.folder.glob("*-cache"):
        path.write_bytes(b"not a program")
    third = run(tmp_path)
    assert third.returncode == 0
    assert third.stdout.split()[-2] == first.stdout.split()[-2]


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path, untouched):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.warns(UserWarning, match="Compiled programs are not kept: Not a directory"):
        assert af.cache(in_the_way / "below") is None
    assert jax.config.jax_compilation_cache_dir is None


def test_another_processor_jax_or_flags_have_a_folder_of_their_own(tmp_path, monkeypatch):
    here = cached(tmp_path).folder
    monkeypatch.setattr(_cache, "_processor", lambda: "another")
    other = cached(tmp_path).folder
    monkeypatch.undo()
    monkeypatch.setattr(_cache, "version", lambda name: "99")
    newer = cached(tmp_path).folder
    monkeypatch.undo()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert len({here, other, newer, cached(tmp_path).folder}) == 4


def test_what_is_kept_is_bounded_and_what_is_old_is_let_go(tmp_path, untouched):
    mine = cached(tmp_path).folder
    mine.mkdir(parents=True)
    for k in range(4):
        path = mine / f"jit_f-{k}-cache"
        path.write_bytes(bytes(1000))
        os.utime(path, (k + 1, k + 1))
    (mine / "notes.txt").write_text("not ours")
    old, new, other = (tmp_path / name for name in ("programs-old", "programs-new", "pictures"))
    for folder in (old, new, other):
        folder.mkdir()
    for folder in (old, other):
        os.utime(folder, (time.time() - 4e6,) * 2)
    assert af.cache(tmp_path, most_bytes=2000) == mine
    assert sorted(p.name for p in mine.iterdir()) == ["jit_f-2-cache", "jit_f-3-cache", "notes.txt"]
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_a_cache_of_the_user_s_own_stays(tmp_path, untouched):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert af.cache() == tmp_path / "own"


def test_where_a_user_s_programs_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached().folder.parent == tmp_path / "attnflow"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cached().folder.parts[-4:-1] == ("Library", "Caches", "attnflow")


@pytest.mark.parametrize(
    ("folder", "most"), [(3, 1), (None, 0), (None, 1.5), (None, True)], ids=str
)
def test_arguments_that_are_none_are_refused(folder, most, as_user):
    with pytest.raises(ValueError, match="`folder`|`most_bytes`"):
        af.cache(folder, most_bytes=most)


def test_a_command_that_loads_its_programs_says_nothing_of_it(tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    words = [sys.executable, "-m", "attnflow", "simulate", "--tokens", "3", "--no-theory"]
    for _ in range(2):
        run = subprocess.run(
            words, env={**env, "XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True
        )
        assert (run.returncode, run.stderr) == (0, "")
    assert any(tmp_path.rglob("*"))
