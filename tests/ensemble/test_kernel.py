"""The kernel of a whole integration, interpreted on a CPU, beside the lanes; and what it refuses."""

import dataclasses

import diffrax
import equinox as eqx
import jax
import jax.export
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import Outcome, _entries, _launches

CIRCLE = af.Sphere(2)
ELLIPSE = af.Ellipsoid(jnp.diag(jnp.array([1.0, 2.0])))
P = jr.normal(jr.key(1), (2, 2, 2))
OMEGA = 1 + jr.uniform(jr.key(2), (2, 2))
U = jnp.eye(2)[None] + 0.3 * jr.normal(jr.key(3), (2, 2, 2))
MANY = 37  # a tile of 32 and a part of another


def turning(manifold, mask, values=U):
    """Two heads whose scores oscillate."""
    scores = af.Modulated(af.Sinusoid(0.8, OMEGA), P)
    return af.AttentionField(manifold, P=scores, U=values, mask=mask)


@pytest.mark.parametrize(
    ("manifold", "mask", "dtype", "options"),
    [
        (CIRCLE, "causal", jnp.float64, {}),
        (ELLIPSE, None, jnp.float64, {}),
        # Errors of a first step of 0.01 are below rounding in float32: it decides how long the next is.
        (CIRCLE, "causal", jnp.float32, {"rtol": 1e-3, "dt0": 0.3}),
    ],
    ids=["circle, causal", "ellipse, full", "float32"],
)
def test_the_kernel_gives_what_lanes_give(manifold, mask, dtype, options):
    starts = manifold.random(jr.key(0), (MANY, 3)).astype(dtype).at[5].set(jnp.nan)
    field = turning(manifold, mask)
    observe = {"E": af.misalignment, "y": lambda y: y}
    run = {"observe": observe, "progress": False, **options}
    plain = af.ensemble.run(field, starts, t1=3.0, **run)
    kernel = af.ensemble.run(field, starts, t1=3.0, kernel=True, **run)
    assert (kernel.work["kernel"], plain.work["kernel"]) == (True, False)
    assert kernel.outcome[5] == Outcome.BAD_START
    np.testing.assert_array_equal(kernel.outcome, plain.outcome)
    np.testing.assert_array_equal(kernel.t1, plain.t1)
    for name in ("num_steps", "num_accepted_steps"):
        np.testing.assert_array_equal(kernel.stats[name], plain.stats[name])
    rounding = 100 * jnp.finfo(dtype).eps
    for name in observe:
        assert kernel.ys[name].dtype == dtype
        np.testing.assert_allclose(kernel.ys[name], plain.ys[name], atol=rounding, rtol=0)
    assert kernel.work["field_evaluations"] >= kernel.work["alone"] > 0
    programs = _launches.launch_program().cache_size()
    again = af.ensemble.run(field, starts, t1=2.0, kernel=True, **run)
    assert np.all(np.delete(again.t1, 5) == 2.0)
    assert _launches.launch_program().cache_size() == programs


def test_lanes_of_a_tile_have_fields_of_their_own_and_fail_alone():
    """Tokens that are together already, a field that is not finite, more steps than there may be."""

    def make(beta):
        return af.AttentionField(CIRCLE, P=beta * jnp.eye(2), mask="causal")

    fields = eqx.filter_vmap(make)(jnp.array([1.0, 1.0, 1.0, 2.0]))
    fields = eqx.tree_at(lambda f: f.P.value, fields, fields.P.value.at[1].set(jnp.nan))
    starts = CIRCLE.random(jr.key(5), (4, 3)).at[jnp.array([0, 3])].set(jnp.array([0.6, 0.8]))
    run = {"t1": 20.0, "field_axes": eqx.if_array(0), "max_steps": 60, "rtol": 1e-12}
    plain = af.ensemble.run(fields, starts, progress=False, **run)
    kernel = af.ensemble.run(fields, starts, kernel=True, progress=False, **run)
    expected = [Outcome.TIME_UP, Outcome.NOT_FINITE, Outcome.STEP_LIMIT, Outcome.TIME_UP]
    np.testing.assert_array_equal(kernel.outcome, expected)
    np.testing.assert_array_equal(kernel.outcome, plain.outcome)
    np.testing.assert_array_equal(kernel.stats["num_steps"], plain.stats["num_steps"])
    ended = [0, 3]
    np.testing.assert_allclose(kernel.ys[ended], plain.ys[ended], atol=1e-12, rtol=0)
    # How long a step is follows an error estimated at rounding: where the third stopped is not known as well.
    np.testing.assert_allclose(kernel.t1, plain.t1, rtol=1e-3)


JUMPS = af.Piecewise(jnp.array([0.5]), jnp.stack([jnp.eye(2)] * 2))
SEARCHED = af.Interpolated(jnp.linspace(0.0, 4.0, 9), jnp.ones((9, 2, 2)))


@pytest.mark.parametrize(
    ("P", "options", "why"),
    [
        (jnp.eye(2), {"ts": jnp.array([1.0])}, "`ts` is given"),
        (jnp.eye(2), {"until": af.consensus(1e-3)}, "`until` is given"),
        (jnp.eye(2), {"solver": diffrax.Kvaerno3()}, "solver Kvaerno3 is not an explicit pair"),
        (JUMPS, {}, "schedules jump"),
        (SEARCHED, {}, "which it does not know|schedules jump"),
    ],
    ids=["times", "event", "implicit", "jumps", "table"],
)
def test_what_the_kernel_is_not_for_is_refused_or_worked_without(P, options, why):
    field = af.AttentionField(CIRCLE, P=P)
    starts = CIRCLE.random(jr.key(0), (2, 3))
    with pytest.raises(ValueError, match=f"^`kernel` is not for these trajectories: .*({why})"):
        af.ensemble.run(field, starts, t1=2.0, kernel=True, progress=False, **options)
    if "ts" in options:
        result = af.ensemble.run(field, starts, t1=2.0, kernel=None, progress=False, **options)
        assert not result.work["kernel"]


def test_a_system_with_too_many_operations_is_refused():
    wide = af.Sphere(16)
    field = af.AttentionField(wide, P=jr.normal(jr.key(0), (4, 16, 16)))
    with pytest.raises(ValueError, match="operations a stage, and it is for 20000 at most"):
        af.ensemble.run(field, wide.random(jr.key(0), (2, 30)), t1=1.0, kernel=True, progress=False)


class Stop(Exception):
    pass


@pytest.fixture
def launched(monkeypatch):
    """What would be launched, for some starts: the program's arguments."""

    def launched(starts, **options):
        seen = []

        def record(*arguments):
            seen.append(arguments)
            raise Stop

        monkeypatch.setattr(_launches, "launch_program", lambda: record)
        field = turning(CIRCLE, "causal")
        with pytest.raises(Stop):
            af.ensemble.run(field, starts, t1=2.0, kernel=True, progress=False, **options)
        return seen[0]

    return launched


def test_float64_is_refused_for_a_tpu(launched):
    for dtype, said in ((jnp.float64, "TPUs have no float64"), (jnp.float32, None)):
        launch, inbox = launched(CIRCLE.random(jr.key(0), (2, 3)).astype(dtype))
        why = dataclasses.replace(launch, platform="tpu", interpret=False).unfit(inbox)
        assert (why is None) if said is None else (said in why)


def test_float32_is_lowered_for_a_tpu_beside_float64_numbers_of_python(launched):
    """A TPU has none of 64 bits, whatever JAX is set to."""
    starts = jnp.tile(CIRCLE.random(jr.key(0), (2, 3)).astype(jnp.float32), (512, 1, 1))
    launch, inbox = launched(starts, slots=1024)
    launch = dataclasses.replace(launch, platform="tpu", interpret=False)
    arrays, rest = eqx.partition((launch, inbox), eqx.is_array)
    program = jax.jit(lambda arrays: _launches.Launch.ends(*eqx.combine(arrays, rest)))
    exported = jax.export.export(program, platforms=["tpu"])(arrays)
    assert "tpu_custom_call" in exported.mlir_module()


def test_a_switch_that_is_none_is_refused(as_user):
    field = af.AttentionField(CIRCLE, P=jnp.eye(2))
    with pytest.raises(ValueError, match="`kernel`"):
        af.ensemble.run(field, np.ones((2, 3, 2)), t1=1.0, kernel=3)


def test_entries_are_worked_as_the_program_is():
    """Masks, products, slices and reductions, with a part of the numbers known while tracing."""

    def program(x, y):
        known = jnp.arange(6.0).reshape(2, 3)
        z = jnp.einsum("ia,ja->ij", x, y) + jnp.where(known > 1, known, 0)[:, :2] @ jnp.eye(2)
        z = jnp.where(jnp.tril(jnp.ones((2, 2), bool)), z, -jnp.inf)
        z = jax.nn.softmax(z, axis=1)
        rows = jnp.concatenate([z, jnp.flip(x, 1)[:, 1:]], axis=1)
        more = jnp.stack([rows.max(0), jnp.clip(rows, 0.1, 0.5).sum(0)])
        return more.T.reshape(2, 4), jnp.all(x > 0, axis=1) | jnp.any(y[:, 0] > 0)

    x, y = np.asarray(jr.normal(jr.key(0), (2, 2, 3, 5)))
    closed = jax.make_jaxpr(program)(x[..., 0], y[..., 0])
    assert _entries.refused(closed.jaxpr) is None

    def lanes(a):
        return _entries.entries(list(a.reshape(-1, 5)), a.shape[:2])

    @jax.jit
    def by_entries(x, y):
        got = _entries.evaluate(closed, [lanes(x), lanes(y)], (5,))
        return [[jnp.broadcast_to(e, (5,)) for e in part.flat] for part in got]

    wanted = jax.jit(jax.vmap(program, in_axes=-1, out_axes=-1))(x, y)
    for ours, theirs in zip(by_entries(x, y), wanted, strict=True):
        np.testing.assert_allclose(np.reshape(ours, theirs.shape), theirs, rtol=1e-14)
