"""Several devices and several hosts: the same bits as one. Virtual CPU devices, processes on loopback."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from attnflow.ensemble._hosts import share_of

RUN = """
import json, sys
import jax
jax.config.update("jax_enable_x64", True)
{start}
import numpy as np
import attnflow as af

sphere = af.Sphere(3)
field = af.AttentionField(sphere, P=np.eye(3), mask="causal")

def sample(key):
    return sphere.random(key, (6,))

def tokens(y):
    return y

def go(**options):
    return af.ensemble.run(
        field, sample, number=150, key=jax.random.key(0), t1=8.0, until=af.consensus(1e-2),
        observe={{"y": tokens}}, progress=False, **options,
    )

def show(records):
    return [records.number.tolist(), records.t1.tolist(), records.ys["y"].ravel().tolist()]

{body}
"""


def script(start, body, **environment):
    code = RUN.format(start=start, body=body)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
    )


def answer(process):
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_virtual_devices_give_the_bits_of_one():
    body = """
devices = jax.local_devices()
assert len(devices) == 3
one, two, all_ = go(devices=devices[:1]), go(devices=devices[1:], slots=7), go()
assert all_.work["crews"] >= 3
print(json.dumps([show(r.records) for r in (one, two, all_)]))
"""
    one, two, three = answer(script("", body, XLA_FLAGS="--xla_force_host_platform_device_count=3"))
    assert one == two == three
    assert one[0] == list(range(150))


@pytest.mark.slow
def test_hosts_share_trajectories_and_gather_them():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = (
        f'jax.distributed.initialize("127.0.0.1:{port}", num_processes=2, '
        "process_id=int({index}), initialization_timeout=120)"
    )
    body = """
result = go()
everything = af.ensemble.gather(result.records)
print(json.dumps([len(result.records), show(everything)]))
"""
    processes = [script(start.format(index=k), body) for k in range(2)]
    try:
        (first, ours), (second, theirs) = (answer(p) for p in processes)
    finally:
        for process in processes:
            process.kill()
    assert (first, second) == (75, 75)
    assert ours == theirs
    alone = answer(script("", "print(json.dumps(show(go().records)))"))
    assert ours == alone


@pytest.mark.parametrize(("number", "count"), [(7, 1), (7, 3), (8, 8)])
def test_shares_cover_every_trajectory_once(number, count):
    shares = [share_of(number, k, count) for k in range(count)]
    covered = np.concatenate([np.arange(first, first + size) for first, size in shares])
    np.testing.assert_array_equal(covered, np.arange(number))


def test_fewer_trajectories_than_processes_are_refused():
    with pytest.raises(ValueError, match="`starts`"):
        share_of(2, 0, 3)
