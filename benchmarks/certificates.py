"""Certificates measured: what is proved, how long that takes, and that nothing wrong is.

    python benchmarks/certificates.py [--only SECTION]

Writes benchmarks/results/certificates-<backend>.json, a section a name, and the certificates of the kept
counterexamples to benchmarks/results/certificates/. Times are of one run, on one core, compilation of
the few JAX programs included.
"""

import argparse
import dataclasses
import json
import random
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import flint
import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow import certify, records, search
from attnflow.checker import equilibria, file as checked_file

RESULTS = Path(__file__).parent / "results"
KEPT = sorted((RESULTS / "counterexamples").glob("*.json"))


def kept() -> dict:
    """Every kept counterexample: the proof, its file, and its check from the file."""
    folder, out = RESULTS / "certificates", {}
    folder.mkdir(exist_ok=True)
    for path in KEPT:
        example = search.read_counterexample(path)
        begun = time.perf_counter()
        made = certify.counterexample(example)
        proving = time.perf_counter() - begun
        row = {"claim": example.claim.name, "verdict": made.verdict, "why": made.why}
        row["seconds"] = round(proving, 3)
        if made.contents is not None:
            made.write(folder / path.name)
            begun = time.perf_counter()
            equilibria.check((folder / path.name).read_text())
            row["seconds to check"] = round(time.perf_counter() - begun, 3)
            proof = made.contents["proof"]
            row |= {
                "bits": made.contents["bits"],
                "kind": proof["kind"],
                "family": proof.get("family"),
                "start followed until": (proof.get("basin") or {}).get("time")
                or proof.get("times"),
                "bytes": (folder / path.name).stat().st_size,
            }
        out[path.stem] = row
        print(path.stem, json.dumps(row), flush=True)
    return out


def _polygon(n: int) -> np.ndarray:
    a = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(a), np.sin(a)], axis=1)


def known() -> dict:
    """Equilibria with known spectra: polyhedra (K11), consensus (K8, K9, K10)."""
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    shapes = {f"polygon of {n}": _polygon(n) for n in (3, 4, 5, 6, 8)}
    shapes |= {"tetrahedron": tetrahedron, "octahedron": np.vstack([np.eye(3), -np.eye(3)])}
    shapes |= {"antipodal 2 + 2": np.array([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])}
    out = {}

    def add(name: str, field: af.AttentionField, y: np.ndarray, stable: bool, within: float = 1e-6):
        begun = time.perf_counter()
        made = certify.equilibrium(field, jnp.asarray(y), within=within)
        row = {"stable": made.stable, "as known": made.stable is stable}
        row["seconds"] = round(time.perf_counter() - begun, 3)
        out[name] = row
        print(name, json.dumps(row), flush=True)

    for kernel in ("softmax", "exp"):
        for beta in (0.5, 1.0, 4.0):
            for name, y in shapes.items():
                P = beta * jnp.eye(y.shape[1])
                field = af.AttentionField(af.Sphere(y.shape[1]), P=P, kernel=kernel)
                add(f"K11 {name}, {kernel}, beta = {beta:g}", field, y, False)
    for beta in (-2.0, -1.0, -0.67, -0.66):
        field = af.AttentionField(af.Sphere(2), P=beta * jnp.eye(2), kernel="exp")
        add(f"K11 triangle, exp, beta = {beta:g}", field, _polygon(3), beta < -2 / 3)
    rng = np.random.default_rng(0)
    for dim, tokens in ((2, 3), (3, 5), (4, 8)):
        P = jnp.asarray(np.round(rng.normal(size=(2, dim, dim)), 3))
        x = rng.normal(size=dim)
        y = np.tile(x / np.linalg.norm(x), (tokens, 1))
        S = np.round(rng.normal(size=(dim, dim)), 2)
        values, vectors = np.linalg.eigh(S + S.T)
        U = jnp.asarray(S + S.T + round(0.5 - values[-1], 2) * np.eye(dim))
        top = np.tile(vectors[:, -1], (tokens, 1))
        for mask, k in ((None, "K8"), ("causal", "K9")):
            place, words = af.Sphere(dim), f"{tokens} tokens in R^{dim}, {mask or 'full'}"
            add(f"{k} consensus, {words}", af.AttentionField(place, P=P, mask=mask), y, True)
            field = af.AttentionField(place, P=P[0], U=U, mask=mask)
            add(f"K10 consensus at the top of U, {words}", field, top, True)
    return out


def wrong() -> dict:
    """A hundred wrong candidates of each kind."""
    rng = np.random.default_rng(1)
    # Those whose equilibria are isolated or a known family; where nothing moves nothing is wrong.
    paths = [p for p in KEPT if p.stem not in ("heads-that-cancel", "4.2-as-printed")]
    verdicts: dict[str, dict[str, int]] = {}

    def count(kind: str, made: certify.Certificate) -> None:
        row = verdicts.setdefault(kind, {"proved": 0, "refuted": 0, "not decided": 0})
        row[made.verdict] += 1

    for k in range(100):
        example = search.read_counterexample(paths[k % len(paths)])
        y = np.asarray(example.evidence.equilibrium) + 1e-3 * rng.normal(
            size=example.evidence.equilibrium.shape
        )
        y = jnp.asarray(y / np.linalg.norm(y, axis=1, keepdims=True))
        moved = dataclasses.replace(example.evidence, equilibrium=y)
        count(
            "perturbed by 1e-3",
            certify.counterexample(dataclasses.replace(example, evidence=moved)),
        )
        beta, n = float(rng.uniform(0.2, 8)), 3 + k % 6
        field = af.AttentionField(af.Sphere(2), P=beta * jnp.eye(2), scale=1.0)
        rest = jnp.asarray(_polygon(n))
        unstable = search.Counterexample(
            search.CLAIMS["no hemisphere"],
            search.case_of(field, rest),
            search.Evidence("open", "by hand", equilibrium=rest),
        )
        count("unstable", certify.counterexample(unstable))
        full = example.case.attention.mask == "full"
        other = "4.5" if full else "3.2"
        elsewhere = dataclasses.replace(example, claim=search.CLAIMS[other])
        count("outside the domain", certify.counterexample(elsewhere))
    for kind, row in verdicts.items():
        print(kind, json.dumps(row), flush=True)
    return verdicts


def altered() -> dict:
    """Every kept certificate with one digit of its numbers changed, and the digest made to fit.

    What is still accepted has to be accepted rightly: a digit of the start, of the basin's axes or of a
    slice may change and leave another proof of the same statement but for those numbers.
    """
    random.seed(0)
    out = {}
    for path in sorted((RESULTS / "certificates").glob("*.json")):
        contents = json.loads(path.read_text())
        if contents["proof"]["kind"] == "exceptional" or contents["proof"]["basin"]:
            continue  # seconds each
        refused, unchanged, total = 0, 0, 0
        for _ in range(200):
            other = json.loads(json.dumps(contents))
            part = random.choice(["P", "U", "W", "tokens"])
            rows = (
                other["proof"]["tokens"] if part == "tokens" else random.choice(other["case"][part])
            )
            row = random.choice(rows)
            k = random.randrange(len(row))
            places = [i for i, c in enumerate(row[k]) if c.isdigit() and i < 24]
            i = random.choice(places)
            row[k] = (
                row[k][:i] + str((int(row[k][i]) + random.randrange(1, 10)) % 10) + row[k][i + 1 :]
            )
            as_was = json.dumps(other)
            try:
                equilibria.check(as_was)
            except ValueError:
                refused += 1
            total += 1
            try:
                other["statement"] = equilibria.prove(other)
                other["digest"] = checked_file.digest(other)
                equilibria.check(json.dumps(other))
                unchanged += 1
            except (ValueError, KeyError, ZeroDivisionError):
                pass
        out[path.stem] = {
            "altered": total,
            "refused": refused,
            "with words and a digest that fit, proofs of what they then say": unchanged,
        }
        print(path.stem, json.dumps(out[path.stem]), flush=True)
    return out


SECTIONS = {f.__name__: f for f in (kept, known, wrong, altered)}


def main() -> None:
    """All sections, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS)
    only = parser.parse_args().only
    path = RESULTS / f"certificates-{jax.default_backend()}.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name, section in SECTIONS.items():
        if only in (None, name):
            results[name] = section()
            results["provenance"] = {**records.provenance(), "python-flint": flint.__version__}
            path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
