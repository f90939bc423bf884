"""The program as a person uses it: what it prints, what it writes, how it ends."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.cli import main
from attnflow.cli._simulate import _with_flags

PROGRAM = [sys.executable, "-c", "import sys; from attnflow.cli import main; sys.exit(main())"]
COMMANDS = [
    *(
        "reproduce",
        "gallery",
        "simulate",
        "ensemble",
        "sweep",
        "search",
        "falsify",
        "certify",
        "loop",
    ),
    *("bench", "info"),
]
QUICK = ["simulate", "--tokens", "8", "--t1", "1", "--no-theory"]


def in_process(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys, *arguments, status: int = 2) -> str:
    """The one line on standard error that bad input meets; the status is 2."""
    ended, out, err = in_process(capsys, *arguments)
    assert (ended, out) == (status, "")
    assert err.startswith("attnflow: ")
    assert err.count("\n") == 1
    return err


# === help and start-up


def test_help_names_every_command_and_imports_nothing_heavy():
    heavy = ("jax", "numpy", "equinox", "msgspec", "matplotlib")
    code = (
        "import sys; from attnflow.cli import main; status = main(['--help']);"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in COMMANDS:
        assert command in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["falsify", "search"])
def test_a_list_imports_no_numerical_library(command):
    heavy = ("jax", "numpy", "equinox", "msgspec", "matplotlib")
    code = (
        f"import sys; from attnflow.cli import main; main([{command!r}, '--list']);"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_help_answers_in_under_seven_tenths_of_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([*PROGRAM, "--help"], capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.7


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys, command):
    status, out, _ = in_process(capsys, command, "--help")
    assert status == 0
    assert f"attnflow {command} " in out
    assert "Example" in out


def test_the_version_is_printed(capsys):
    assert in_process(capsys, "--version")[1].strip() == af.__version__


def test_the_installed_program_calls_main():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"attnflow": "attnflow.cli:main"}


# === info


def test_info_says_versions_precision_and_that_no_fault_is_known(capsys):
    status, out, err = in_process(capsys, "info")
    assert (status, err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows["attnflow"] == af.__version__
    assert rows["numbers"] == "float64 (64 bits on)"
    assert "none" in rows["known"]


def test_info_as_json_is_the_provenance(capsys):
    result = json.loads(in_process(capsys, "info", "--json")[1])
    programs = result.pop("kept_programs")
    assert set(programs) == {"folder", "programs", "bytes"}
    assert result == af.records.provenance()


def test_info_names_a_jax_that_is_known_to_be_bad(capsys, monkeypatch):
    from attnflow.records import _provenance

    real = _provenance.version
    monkeypatch.setattr(_provenance, "version", lambda n: "0.10.2" if n == "jax" else real(n))
    out = in_process(capsys, "info")[1]
    assert "jax 0.10.2: on the CPU it silently miscompiles" in out


@pytest.mark.parametrize(
    ("setting", "expected"), [(None, "float64"), ("1", "float64"), ("0", "float32")]
)
def test_64_bits_are_on_unless_the_environment_says_otherwise(setting, expected):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    if setting is not None:
        environment["JAX_ENABLE_X64"] = setting
    run = subprocess.run(
        [*PROGRAM, "info", "--json"], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout)["dtype"] == expected


# === simulate


def test_simulate_prints_how_it_ended_and_observables_at_both_ends(capsys):
    status, out, err = in_process(capsys, *QUICK)
    assert (status, err) == (0, "")
    assert "8 tokens in R^3, float64" in out
    assert "ended       at t1" in out
    assert "what theorems say" not in out  # --no-theory
    names = ["misalignment E", "order parameter", "clusters", "effective rank", "hemisphere margin"]
    for name in [*names, "largest ||y| - 1|"]:
        (line,) = [line for line in out.splitlines() if line.startswith(name)]
        start, end = map(float, line.removeprefix(name).split())
        assert np.isfinite([start, end]).all()


@pytest.mark.slow
def test_simulate_says_which_theorems_apply_and_whether_the_run_did_as_they_say(capsys):
    status, out, err = in_process(capsys, "simulate", "figure2", "--t1", 4)
    assert (status, err) == (0, "")
    output = out[out.index("what theorems say") :]
    lines = [line for line in output.splitlines() if line[:1].strip()]
    assert [line.split()[0] for line in lines[1:5]] == ["3.2", "4.2", "4.5", "4.7"]
    assert "3.2              applies: consensus" in output
    assert "held: V, eq. (7) never rises" in output
    assert "4.2              does not apply: attention is not causal: 45 pairs" in output
    assert "VIOLATED" not in output
    assert max(map(len, output.splitlines())) <= 100
    assert "3.2: V" not in out  # what is watched is not listed among what the case asked for


@pytest.mark.slow
def test_simulate_names_the_first_violation(capsys, monkeypatch):
    """A monitor of another start: its tokens' V is not that of the run."""
    from attnflow import theory

    sphere = af.Sphere(3)
    axis = jnp.array([0.0, 0.0, 1.0])
    other = sphere.random_hemisphere(jax.random.key(9), (8,), v=axis)
    field = af.AttentionField(sphere, jnp.eye(3))
    watch = theory.monitor(field, other)
    monkeypatch.setattr(theory, "monitor", lambda *args, **kwargs: watch)
    out = in_process(capsys, *QUICK[:-1])[1]
    violated = next(line for line in out.splitlines() if "VIOLATED from t = 0 on" in line)
    assert violated.endswith("least v'y stays above 0")
    assert "first violation:" in out.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        "--tokens 1 --normalisation pre --dtype float32",
        "--dim 2 --tokens 2 --beta 0",
        "--dim 1",
        "--kernel hardmax",
        "--kernel exp --heads 2 --mask causal",
    ],
)
def test_theorems_have_an_answer_for_every_field_that_flags_make(capsys, flags):
    status, out, err = in_process(capsys, "simulate", "--t1", 1, *flags.split())
    assert (status, err) == (0, "")
    assert "3.2              " in out


def test_simulate_writes_the_case_the_numbers_and_pictures(capsys, tmp_path):
    out = tmp_path / "new" / "folder"
    assert in_process(capsys, *QUICK, "--out", out)[0] == 0
    files = {"simulation.toml", "simulation.npz", "simulation-misalignment.png"}
    assert {path.name for path in out.iterdir()} == files | {"simulation-sphere.png"}
    with np.load(out / "simulation.npz", allow_pickle=False) as numbers:
        assert numbers["tokens"].shape == (201, 8, 3)
        assert numbers["ts"][[0, -1]].tolist() == [0.0, 1.0]
        E = np.asarray(af.misalignment(jnp.asarray(numbers["tokens"][-1])))
        np.testing.assert_allclose(numbers["misalignment"][-1], E, rtol=1e-12)
        assert json.loads(str(numbers["provenance"])) == af.records.provenance()
    assert (out / "simulation-sphere.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_written_case_gives_the_same_numbers_again(capsys, tmp_path):
    assert in_process(capsys, *QUICK, "--seed", 3, "--out", tmp_path / "a")[0] == 0
    repeated = in_process(
        capsys, "simulate", tmp_path / "a/simulation.toml", "--out", tmp_path / "b"
    )
    assert repeated[0] == 0
    with (
        np.load(tmp_path / "a/simulation.npz") as one,
        np.load(tmp_path / "b/simulation.npz") as two,
    ):
        np.testing.assert_array_equal(one["tokens"], two["tokens"])


@pytest.fixture
def runs(monkeypatch):
    """What `simulate` was asked to run, by name of argument; each run then ends as a failure."""
    calls = []

    def fail(field, y0, **options):
        calls.append({"field": field, "y0": y0} | options)
        raise RuntimeError("The run did not end:\n `max_steps` = 3 was not enough.")

    monkeypatch.setattr(af.flow, "simulate", fail)
    return calls


def test_flags_change_what_they_say(capsys, runs):
    flags = "--tokens 6 --dim 2 --heads 3 --beta 2 --mask causal --kernel exp --normalisation pre"
    more = "--t1 0.5 --seed 5 --rtol 1e-6 --atol 1e-8 --dtype float32"
    in_process(capsys, "simulate", *flags.split(), *more.split())
    (run,) = runs
    sphere, P = af.Sphere(2), 2 * jnp.broadcast_to(jnp.eye(2), (3, 2, 2))
    field = run["field"]
    assert jnp.array_equal(field.P(jnp.asarray(0.0)), P)
    calls = af.AttentionField(sphere, P, mask="causal", kernel="exp", normalisation="pre")
    assert eqx.tree_equal(eqx.tree_at(lambda f: f.P, field, calls.P), calls)
    y0 = sphere.random(jax.random.key(5), (6,)).astype(jnp.float32)
    assert eqx.tree_equal(run["y0"], y0)
    assert (run["t1"], run["rtol"], run["atol"]) == (0.5, 1e-6, 1e-8)


def test_a_flag_changes_a_ready_case_and_leaves_the_rest(capsys, runs):
    in_process(capsys, "simulate", "figure5", "--t1", 1)
    field, y0, options = af.spec.read("figure5").build()
    (run,) = runs
    assert eqx.tree_equal((run["field"], run["y0"]), (field, y0))
    assert (options["t1"], run["t1"]) == (60.0, 1.0)


def test_a_run_that_fails_ends_with_status_1_and_one_line(capsys, runs):
    status, out, err = in_process(capsys, *QUICK)
    assert len(runs) == 1
    assert (status, out) == (1, "")
    assert err == "attnflow: The run did not end: `max_steps` = 3 was not enough.\n"


def test_a_warning_is_one_line(capsys, monkeypatch):
    def warn(*arguments, **options):
        warnings.warn("`rtol` is below what\nfloat32 resolves", stacklevel=1)
        raise RuntimeError("stop")

    monkeypatch.setattr(af.flow, "simulate", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        err = in_process(capsys, *QUICK)[2]
    assert err.splitlines()[0] == "attnflow: warning: `rtol` is below what float32 resolves"


NOISY = """
manifold.dim = 3
tokens.count = 4
attention.P = 1.0
noise = {independent = 0.3, common = 0.1}
time = {t1 = 0.5, points = 3}
solver.dt0 = 0.125
"""


def test_a_case_with_noise_is_the_run_of_its_seed_and_an_ensemble_has_a_key_for_each(
    capsys, tmp_path
):
    file = tmp_path / "noisy.toml"
    file.write_text(NOISY)
    status, out, _ = in_process(
        capsys, "simulate", str(file), "--noise", "0.4", "--seed", "3", "--out", str(tmp_path)
    )
    assert status == 0
    assert "Theorem" not in out
    case = af.spec.read(tmp_path / "simulation.toml")  # the case as it was changed
    assert case.noise == af.spec.CaseNoise(independent=0.4, common=0.1, seed=3)
    field, y0, options = case.build()
    with np.load(tmp_path / "simulation.npz") as numbers:
        expected = af.simulate(field, y0, **options).ys
        np.testing.assert_allclose(numbers["tokens"], expected, rtol=0, atol=1e-14)
    assert (
        np.abs(expected - af.simulate(field, y0, **(options | {"key": jax.random.key(1)})).ys).max()
        > 0.01
    )
    words = [str(file), "--trajectories", "3", "--seed", "2", "--out", str(tmp_path)]
    assert in_process(capsys, "ensemble", *words)[0] == 0
    field, _, options = af.spec.read(file).build()
    many = af.ensemble.run(
        field, lambda key: af.Sphere(3).random(key, (4,)), number=3, progress=False,
        **(options | {"key": jax.random.key(2), "observe": {"misalignment": af.misalignment}}),
    )  # fmt: skip
    with np.load(tmp_path / "ensemble.npz") as numbers:
        np.testing.assert_allclose(numbers["misalignment"], many.ys["misalignment"], atol=1e-13)


def test_noise_that_does_not_fit_a_command_is_refused_in_one_line(capsys, tmp_path):
    file = tmp_path / "noisy.toml"
    file.write_text(NOISY)
    assert "`rtol` and `atol` are not used with noise" in refused(
        capsys, "ensemble", str(file), "--rtol", "1e-3"
    )
    assert "basins are those of a flow without noise" in refused(
        capsys, "sweep", "basins", str(file), "--points", "2"
    )


@pytest.mark.slow
def test_an_ensemble_prints_how_times_are_spread_and_writes_pictures(capsys, tmp_path):
    words = ("--trajectories", 20, "--until", 0.1, "--t1", 8, "--rtol", 1e-5, "--out", tmp_path)
    status, out, _ = in_process(capsys, "ensemble", "figure5", *words)
    assert status == 0
    assert "20 trajectories" in out
    assert "time of consensus" in out
    with np.load(tmp_path / "ensemble.npz") as numbers:
        reached = numbers["outcome"] == af.ensemble.Outcome.REACHED
        assert numbers["misalignment"].shape == (20, len(numbers["ts"]))
        assert 0 < reached.sum() <= 20
        assert f"{reached.sum()}  reached an event" in out
        np.testing.assert_array_equal(numbers["t1"] < 8.0, reached)
    assert (tmp_path / "ensemble-survival.png").stat().st_size > 5000


@pytest.mark.slow
def test_bench_prints_times_at_equal_error_and_writes_them(capsys, tmp_path):
    out = tmp_path / "bench.json"
    words = ["--only", "W2", "--trajectories", 4, "--no-peers", "--out", out]
    status, shown, err = in_process(capsys, "bench", *words)
    assert (status, err) == (0, "")
    assert "W2: 10 tokens on S^2" in shown
    assert "attnflow" in shown
    assert "(1.00)" in shown
    figures = json.loads(out.read_text())
    points = figures["W2"]["points (rtol, error, seconds)"]["attnflow"]
    assert [rtol for rtol, _, _ in points] == [1e-4, 1e-6, 1e-8]
    assert points[2][1] < points[1][1] < points[0][1] < 1e-2
    assert "jax" in json.dumps(figures["provenance"])


def test_bench_of_something_else_is_refused(capsys, tmp_path):
    assert "W9" in refused(capsys, "bench", "--only", "W9")
    assert "must be a file" in refused(capsys, "bench", "--only", "W3", "--out", tmp_path)


def test_an_ensemble_of_given_tokens_is_refused(capsys):
    assert "needs `count`" in refused(capsys, "ensemble", "antipode")


def test_the_title_of_a_changed_case_says_so():
    case = _with_flags(af.spec.read("triangle"), {"t1": 1.0, "beta": 0.0})
    assert case.title == af.spec.read("triangle").title + " (changed by --t1, --beta)"


# === reproduce


class Report:
    def __init__(self, holds):
        self.holds = holds

    def table(self):
        return "claim | measured"


@pytest.mark.parametrize(("holds", "expected"), [(True, 0), (False, 1)])
def test_reproduce_prints_its_table_and_fails_when_a_claim_does(
    capsys, monkeypatch, tmp_path, holds, expected
):
    calls = {}

    def reproduce(figures, *, out, **options):
        calls.update(figures=figures, out=out, **options)
        return Report(holds)

    monkeypatch.setattr(af.paper, "reproduce", reproduce)
    words = ["reproduce", "--figure", 2, 3, "--figure", 5, "--out", tmp_path / "o", "--seed", 4]
    status, out, _ = in_process(capsys, *words)
    assert status == expected
    assert out.startswith("claim | measured\n")
    none = {"full": False, "passes": None, "gpt2": None, "gpt_neo": None, "models": ()}
    assert calls == {"figures": [2, 3, 5], "out": tmp_path / "o", "seed": 4, **none}


def test_reproduce_hands_on_what_the_looped_models_need(capsys, monkeypatch, tmp_path):
    calls = {}

    def reproduce(figures, **options):
        calls.update(options)
        return Report(True)

    monkeypatch.setattr(af.paper, "reproduce", reproduce)
    words = ["--figure", 7, 8, "--gpt2", "a", "--gpt-neo", "b", "--full", "--passes", 3]
    assert in_process(capsys, "reproduce", *words, "--out", tmp_path)[0] == 0
    assert (calls["gpt2"], calls["gpt_neo"]) == (Path("a"), Path("b"))
    assert (calls["full"], calls["passes"]) == (True, 3)


def test_reproduce_without_the_models_folders_says_which_are_missing(capsys, tmp_path):
    line = refused(capsys, "reproduce", "--figure", 8, "--gpt2", tmp_path, "--out", tmp_path)
    assert "figure 8 is of trained models" in line
    assert "`gpt_neo` is missing" in line


def test_reproduce_refuses_to_run_with_64_bits_off(capsys, monkeypatch, tmp_path, x64_off):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    assert "unset JAX_ENABLE_X64" in refused(capsys, "reproduce", "--out", tmp_path)


def test_reproduce_asks_for_all_figures_unless_told(capsys, monkeypatch, tmp_path):
    calls = []

    def reproduce(figures, *, out, seed, **options):
        calls.append((figures, seed))
        return Report(True)

    monkeypatch.setattr(af.paper, "reproduce", reproduce)
    assert in_process(capsys, "reproduce", "--out", tmp_path)[0] == 0
    assert calls == [(None, 0)]


# === bad input


@pytest.mark.parametrize("number", [0, 11, 99])
def test_a_figure_that_does_not_exist_is_refused(capsys, tmp_path, number):
    assert str(number) in refused(capsys, "reproduce", "--figure", number, "--out", tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", [["reproduce"], QUICK])
def test_an_output_folder_below_a_file_is_refused_before_the_work(capsys, tmp_path, command):
    (tmp_path / "file").write_text("")
    start = time.perf_counter()
    line = refused(capsys, *command, "--out", tmp_path / "file" / "out")
    assert f"cannot write `{tmp_path}/file/out`" in line
    assert time.perf_counter() - start < 2


def test_a_full_disk_is_told_in_one_line(capsys, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refused_after_work(capsys, *QUICK, "--out", tmp_path)


def refused_after_work(capsys, *arguments) -> str:
    status, _, err = in_process(capsys, *arguments)
    assert status == 2
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("simulat", 'Unknown command "simulat". Did you mean "simulate"?'),
        ("simulate nope", "`nope` is neither a .toml or .json file nor one of the ready cases"),
        ("simulate absent.toml", "absent.toml"),
        ("simulate --tokens 0", "Must be > 0"),
        ("simulate --tokens many", 'unable to convert "many" into int'),
        ("simulate --dim -1", "--dim"),
        ("simulate --rtol -1", "--rtol"),
        ("simulate --mask casual", "--mask"),
        ("simulate --kernel softmin", "--kernel"),
        ("simulate --normalisation mix", "--normalisation"),
        ("simulate --t1 0", "`t1` must be"),
        ("simulate --t1", "--t1"),
        ("simulate --nonsense 1", "--nonsense"),
        ("simulate triangle --tokens 5", "--tokens is for random tokens"),
        ("simulate triangle --seed 5", "--seed is for random tokens"),
        ("simulate figure2 --heads 3", "--heads needs --beta"),
        ("simulate figure2 --dim 4", "figure2: $."),
        ("reproduce --figure two", "--figure"),
        ("reproduce --seed -1", "--seed"),
    ],
)
def test_bad_words_are_refused_in_one_line_that_names_them(
    capsys, tmp_path, monkeypatch, as_user, words, reason
):
    monkeypatch.chdir(tmp_path)
    assert reason in refused(capsys, *words.split())
    assert os.listdir(tmp_path) == []


def test_a_bad_case_file_is_refused_with_file_table_and_key(capsys, tmp_path):
    path = tmp_path / "case.toml"
    af.spec.write(path, af.spec.read("triangle"))
    path.write_text(path.read_text().replace("P = -8.0", "P = -8.0\nmaks = 'causal'"))
    assert f"{path}: $.attention: Object contains unknown field `maks`" in refused(
        capsys, "simulate", path
    )


def test_ctrl_c_ends_with_130_and_one_line(capsys, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(af.flow, "simulate", interrupt)
    status, _, err = in_process(capsys, *QUICK)
    assert (status, err) == (130, "attnflow: interrupted\n")


def test_ctrl_c_in_the_middle_of_a_run_ends_the_program_cleanly(tmp_path):
    with subprocess.Popen(
        [*PROGRAM, "reproduce", "--figure", "4", "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2)  # into the compilation
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err) == (130, "", "attnflow: interrupted\n")
    assert os.listdir(tmp_path / "out") == []


def test_ctrl_c_in_a_callback_of_the_garbage_collector_ends_the_program_too():
    code = """
import gc, os, signal, sys, time
from attnflow import cli
from attnflow.cli import _main

def collecting(phase, info):
    if phase == "start":
        gc.callbacks.remove(collecting)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

def app(*arguments, **options):
    gc.callbacks.append(collecting)
    gc.collect()
    time.sleep(600)

_main.app = app
sys.exit(cli.main())
"""
    run = subprocess.run(
        [sys.executable, "-c", code, "info"], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "attnflow: interrupted\n")


def test_a_reader_that_leaves_early_is_no_error_message():
    run = subprocess.run(
        f'"{sys.executable}" -c "import sys; from attnflow.cli import main; '
        f'sys.exit(main())" info --json | head -n 1',
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "{\n"
    assert run.stderr == ""
