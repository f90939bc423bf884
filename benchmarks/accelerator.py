"""An accelerator measured: W2 by a million, W1 by ten thousand, with the kernel and without, and its matrix rate.

    python benchmarks/accelerator.py [--quick] [--only rate|W2|W1]

Writes benchmarks/results/accelerator-<backend>.json, with the device's name and versions. Everything runs on the first
device that JAX finds. On a CPU the kernel is interpreted, and so only `--quick` (a few short trajectories, nothing
written) is of use there: it shows that the script works.

Read it so. `seconds` is of a call after the first, which compiles. Errors are those of E(T) on the first 256 systems
against the plain path in float64 at rtol 1e-12 (float32 at 1e-6 where a device has no more). The switch `kernel=` of
`ensemble.run` earns its place where `kernel` beats `plain` at the same errors, in the precision that people use there.
"""

import argparse
import dataclasses
import functools
import json
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow import bench, ensemble

RESULTS = Path(__file__).parent / "results"
RTOL = {"float32": 1e-5, "float64": 1e-6}


def dtypes() -> tuple[str, ...]:
    """Those of the device."""
    return ("float32",) if jax.default_backend() == "tpu" else ("float32", "float64")


def rate(quick: bool) -> dict:
    """Large matrix products: 10^12 operations a second."""
    n, out = 256 if quick else 8192, {}
    kinds = [("bfloat16", "default"), ("float32", "default"), ("float32", "highest")]
    kinds += [(dtype, "highest") for dtype in dtypes() if dtype == "float64"]
    for dtype, precision in kinds:
        a = jr.normal(jr.key(0), (n, n)).astype(dtype)
        product = jax.jit(functools.partial(jnp.matmul, precision=precision))
        timing = bench.clock(lambda product=product, a=a: product(a, a).block_until_ready(), 3)
        out[f"{dtype}, {precision}"] = {"n": n, "TFLOP/s": 2e-12 * n**3 / timing.later}
    return out


def w2(quick: bool) -> dict:
    """10 tokens on S^2, the field of Figs. 1-3: so many at once, by kernel and by the plain path."""
    case = bench.figure2_workload(1.0 if quick else 20.0)
    case = (
        dataclasses.replace(case, tokens=3) if quick else case
    )  # interpreted, ten take minutes to compile
    count, few = (64, 8) if quick else (10**6, 256)
    reference = _ends(case, few, dtypes()[-1], 1e-12 if "float64" in dtypes() else 1e-6, False)
    out = {"what": case.title, "trajectories": count}
    for dtype in dtypes()[:1] if quick else dtypes():
        for kernel in (False, True):
            last: list = []
            go = functools.partial(_run, case, count, dtype, RTOL[dtype], kernel)
            timing = bench.clock(lambda go=go, last=last: last.append(go()), 1)
            work = last[-1].work
            assert work["kernel"] == kernel
            ends = _ends(case, few, dtype, RTOL[dtype], kernel)
            out[f"{dtype}, {'kernel' if kernel else 'plain'}"] = {
                "rtol": RTOL[dtype],
                "error": float(np.sqrt(np.mean((ends - reference) ** 2))),
                "first call, seconds": timing.first,
                "seconds": timing.later,
                "trajectories a second": count / timing.later,
                "mean steps": float(last[-1].stats["num_steps"].mean()),
                "evaluations a second": work["field_evaluations"] / timing.later,
                "evaluations made / alone": work["field_evaluations"] / work["alone"],
                **_of_rate(case, dtype, work["field_evaluations"] / timing.later),
            }
    return out


def w1(quick: bool) -> dict:
    """50 causal tokens on S^499, Fig. 4: the plain path alone, and why the kernel is not for it."""
    case = bench.figure4_workload(60, t1=2.0) if quick else bench.figure4_workload()
    count, few = (4, 4) if quick else (10**4, 16)
    reference = _ends(case, few, dtypes()[-1], 1e-8 if "float64" in dtypes() else 1e-6, False)
    out = {"what": case.title, "trajectories": count}
    try:
        _run(case, few, "float32", 1e-4, True)
    except ValueError as refusal:
        out["kernel"] = str(refusal)
    for dtype in dtypes():
        last: list = []
        go = functools.partial(_run, case, count, dtype, 1e-4, False)
        timing = bench.clock(lambda go=go, last=last: last.append(go()), 1)
        ends = _ends(case, few, dtype, 1e-4, False)
        out[f"{dtype}, plain"] = {
            "rtol": 1e-4,
            "error": float(np.sqrt(np.mean((ends - reference) ** 2))),
            "first call, seconds": timing.first,
            "seconds": timing.later,
            "trajectories a second": count / timing.later,
        }
    return out


def _run(case, count: int, dtype: str, rtol: float, kernel: bool) -> ensemble.Ensemble:
    return ensemble.run(
        case.field,
        case.starts(count).astype(dtype),
        t1=case.t1,
        rtol=rtol,
        observe={"E": af.misalignment},
        kernel=kernel,
        devices=jax.local_devices()[:1],
    )


def _ends(case, few: int, dtype: str, rtol: float, kernel: bool) -> np.ndarray:
    """E at the end of the first few."""
    return np.asarray(_run(case, few, dtype, rtol, kernel).ys["E"], float)


def _of_rate(case, dtype: str, a_second: float) -> dict:
    """What the field's operations come to, as XLA counts those of one evaluation."""
    y = jnp.asarray(case.starts(1)[0], dtype)
    cost = jax.jit(lambda t, y: case.field(t, y)).lower(jnp.zeros((), dtype), y).compile()
    cost = cost.cost_analysis() or {}
    return {
        "TFLOP/s": 1e-12 * cost.get("flops", np.nan) * a_second,
        "10^12 transcendentals a second": 1e-12 * cost.get("transcendentals", np.nan) * a_second,
    }


def main() -> None:
    """Run the sections asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few; writes nothing")
    parser.add_argument("--only", choices=["rate", "W2", "W1"], help="one section")
    options = parser.parse_args()
    if jax.default_backend() == "cpu" and not options.quick:
        parser.error("no accelerator is at hand: on a CPU only --quick runs.")
    parts = {"rate": rate, "W2": w2, "W1": w1}
    device = {"device": jax.devices()[0].device_kind}

    def section(name: str) -> dict:
        found = device | parts[name](options.quick)
        print(name, json.dumps(found, indent=1), flush=True)
        return found

    sections = {name: functools.partial(section, name) for name in parts}
    bench.report(
        "accelerator", sections, folder=RESULTS, only=options.only, write=not options.quick
    )


if __name__ == "__main__":
    main()
