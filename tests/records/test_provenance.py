"""What is said of where a number comes from."""

import getpass
import json
import platform

import jax
import pytest

import attnflow as af
from attnflow.records import _provenance


def test_provenance_is_plain_json_with_versions_precision_and_devices():
    record = af.records.provenance()
    assert json.loads(json.dumps(record)) == record
    assert record["versions"]["jax"] == jax.__version__
    assert record["versions"]["attnflow"] == af.__version__
    assert record["x64"] is True
    assert record["dtype"] == "float64"
    assert record["backend"] == jax.default_backend()
    assert len(record["devices"]) == jax.device_count()


def test_provenance_names_neither_the_user_nor_the_machine():
    text = json.dumps(af.records.provenance()).split('"')
    assert platform.node() not in text
    assert getpass.getuser() not in text


@pytest.mark.parametrize("version", ["0.7.0", "0.7.1", "0.10.2", "0.11.0"])
def test_every_excluded_version_of_jax_has_its_reason(version):
    assert af.records.jax_fault(version)


def test_the_installed_jax_has_no_known_fault():
    assert af.records.provenance()["known_bad"] == {}


def test_a_bad_version_is_reported_for_the_package_that_has_it(monkeypatch):
    real = _provenance.version
    monkeypatch.setattr(
        _provenance, "version", lambda name: "0.10.2" if name == "jaxlib" else real(name)
    )
    assert list(af.records.provenance()["known_bad"]) == ["jaxlib"]
    assert "39103" in af.records.provenance()["known_bad"]["jaxlib"]


def test_a_package_that_is_not_installed_is_said_to_be_so(monkeypatch):
    def version(name):
        if name == "matplotlib":
            raise _provenance.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(_provenance, "version", version)
    assert af.records.versions()["matplotlib"] == "not installed"
