"""Hostile `.af` files, with digests made to fit: one line that names the file, and nothing is run."""

import hashlib
import json

import numpy as np
import pytest

import attnflow as af
from attnflow.records import load, save


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The first line of an honest file, and the array after it."""
    path = tmp_path_factory.mktemp("af") / "a.af"
    save(path, {"a": np.arange(3.0)})
    line, rest = path.read_bytes().split(b"\n", 1)
    return json.loads(line), rest


def sealed(head, rest):
    body = {"leaves": head["leaves"], "tree": head["tree"]}
    digest = hashlib.sha256(json.dumps(body).encode() + b"\n" + rest)
    return json.dumps({**head, "sha256": digest.hexdigest()}).encode() + b"\n" + rest


def _but(**parts):
    return lambda head, rest: sealed({**head, **parts}, rest)


def _line(**parts):
    return lambda head, rest: json.dumps({**head, **parts}).encode() + b"\n" + rest


def _array(old, new):
    return lambda head, rest: sealed(head, rest.replace(old, new))


_LEAF = {"kind": "jax", "dtype": "float64", "shape": [3]}
_FILES = {
    "nothing": (lambda head, rest: b"", "is not a file"),
    "a list": (lambda head, rest: b"[]\n", "is not a file"),
    "no end of line": (lambda head, rest: b"{" + b" " * 10**6, "is not a file"),
    "nesting": (lambda head, rest: b'{"format": ' + b"[" * 10**5, "is not a file"),
    "a key twice": (
        lambda head, rest: json.dumps(head).replace("{", '{"tree": 1, ', 1).encode() + b"\n" + rest,
        "is not a file",
    ),
    "another format": (_line(format="pickle"), "is not a file"),
    "a version that is a list": (_line(version=[]), "format version"),
    "a version of controls": (_line(version="\x1b[2J"), "format version"),
    "versions that are a list": (_line(version=9, versions=[]), "another version"),
    "versions of a list": (_line(version=9, versions={"attnflow": []}), "another version"),
    "a digest that is a list": (_line(sha256=[]), "truncated or altered"),
    "no tree": (
        lambda head, rest: json.dumps({k: v for k, v in head.items() if k != "tree"}).encode()
        + b"\n",
        "not whole",
    ),
    "NaN in the tree": (_line(tree=float("nan")), "JSON"),
    "leaves that are a number": (_but(leaves=3), "malformed"),
    "leaves of numbers": (_but(leaves=[1]), "malformed"),
    "a leaf of a kind": (_but(leaves=[{"kind": "jax"}]), "malformed"),
    "a leaf without a kind": (_but(leaves=[{"dtype": "<f8"}]), "malformed"),
    "a leaf of another dtype": (_but(leaves=[{**_LEAF, "dtype": "float128"}]), ""),
    "a leaf of a dtype that is none": (_but(leaves=[{**_LEAF, "dtype": "zz"}]), "malformed"),
    "more leaves than arrays": (_but(leaves=[_LEAF, _LEAF]), ""),
    "a place that is none": (
        _but(tree={"is": "dict", "items": [["a", {"is": "array", "leaf": 9}]]}), "malformed",
    ),
    "a kind of node": (_but(tree={"is": "code", "run": "1 / 0"}), ""),
    "a class of another package": (
        _but(tree={"is": "module", "class": "os:system", "fields": []}), "",
    ),
    "an array of 22 TiB": (_array(b"(3,)", b"(3000000000000,)"), "the file has"),
    "an array of negative size": (_array(b"(3,)", b"(-3,)"), "the file has"),
    "an array of objects": (_array(b"'<f8'", b"'|O' "), ""),
    "an array that is code": (_array(b"(3,)", b"exit(3)"), ""),
    "an array of another format": (_array(b"\x93NUMPY", b"\x93NUMPZ"), ""),
    "an array of another version": (_array(b"NUMPY\x01", b"NUMPY\x09"), "version"),
    "an array cut short": (lambda head, rest: sealed(head, rest[:-8]), "the file has"),
}  # fmt: skip


@pytest.mark.parametrize(("forged", "words"), _FILES.values(), ids=_FILES)
def test_a_forged_file_is_refused(refused, written, tmp_path, forged, words):
    path = tmp_path / "a.af"
    path.write_bytes(forged(*written))
    refused(lambda: load(path), words)
    with pytest.raises(ValueError, match="af"):
        load(path)


def test_the_honest_one_is_read(written, tmp_path):
    path = tmp_path / "a.af"
    path.write_bytes(sealed(*written))
    assert af.load(path)["a"].tolist() == [0.0, 1.0, 2.0]
