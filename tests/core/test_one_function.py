"""Parts of programs that a CPU works as one native function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow.core.compiled import options
from attnflow.core.one_function import in_one_function


def _loop(inside):
    """Five rounds of `inside`, and how many there were."""

    def program(x):
        def body(carry):
            return inside(carry[0]), carry[1] + 1

        return jax.lax.while_loop(lambda c: c[1] < 5, body, (x, jnp.zeros((), jnp.int32)))

    return program


def _short(x):
    x = x - 0.1 * x * jnp.sum(x * x, axis=0, keepdims=True)
    x = jax.lax.cond(jnp.any(x > 2), lambda x: 0.5 * x, lambda x: x, x)
    return x.at[jnp.arange(3), 0].set(jnp.sin(x[:, 1]), mode="drop")


def _product(x):
    return x @ jnp.ones((x.shape[1], x.shape[1])) / x.shape[1]


def _lowered(function, x):
    program = jax.jit(lambda x: in_one_function(_loop(function), x), compiler_options=options())
    return program.lower(x)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of CPUs")
def test_a_loop_of_entries_is_one_call_and_gives_the_same_bits():
    # Of more bytes than XLA makes one function of by itself.
    x = jnp.linspace(0.1, 3, 3 * 400).reshape(3, 400)
    plain = jax.jit(_loop(_short), compiler_options=options()).lower(x).compile()
    program = _lowered(_short, x).compile()
    marked = [
        line
        for line in str(program.as_text()).splitlines()
        if " call(" in line and 'inlineable="false",xla_cpu_small_call="true"' in line
    ]
    # None where XLA's newer emitter cannot be left out: it knows no scatter inside one function.
    assert len(marked) == ("xla_cpu_use_fusion_emitters" in options())
    assert "inlineable" not in str(plain.as_text())
    out, count = program(x)
    np.testing.assert_array_equal(out, plain(x)[0])
    assert count == 5


@pytest.mark.parametrize("inside", [_product, jnp.sort, lambda x: jnp.cumsum(x, axis=1)])
def test_what_calls_libraries_stays_as_it_is(inside):
    assert "xla_cpu_small_call" not in _lowered(inside, jnp.ones((3, 4))).as_text()
