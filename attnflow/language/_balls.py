"""Attention of two weighted tokens in ball arithmetic: a layer after whose sum norms stand, and its Jacobian."""

from typing import Any, NamedTuple

import numpy as np

from ._architecture import Architecture
from ._model import Transformer
from ._modules import wide

Ball = Any  # flint.arb
Balls = Any  # flint.arb_mat


def flint() -> Any:
    """python-flint; an `ImportError` that names the extra."""
    try:
        import flint as result
    except ImportError:
        raise ImportError(
            "proofs need python-flint, not installed here: pip install 'attnflow[certify]'."
        ) from None
    return result


class BallLayer(NamedTuple):
    """One layer's weights, exactly, matrices `(in, out)`; biases, gain and bias of its norm as rows."""

    queries: Balls
    keys: Balls
    values: Balls
    out: Balls
    out_rows: list[list[Ball]]
    query_bias: Balls
    key_bias: Balls
    value_bias: Balls
    out_bias: Balls
    gain: list[Ball]
    bias: list[Ball]
    scale: Ball


def exact(array: Any) -> Balls:
    """A matrix, or a vector as a row, of floats as they are."""
    rows = np.atleast_2d(np.asarray(wide(array), np.float64))
    return flint().arb_mat(rows.tolist())


def ball_layers(model: Transformer) -> list[BallLayer]:
    """The layers of an encoder; what [`prove_clusters`][] refuses is not looked for here."""
    arch, blocks = model.architecture, model.blocks
    attention, norm = blocks.attention, blocks.attention_norm
    d, result = arch.heads * arch.width, []
    for layer in range(arch.layers):
        k = arch.group(layer)
        parts = [attention.qkv[k][:, i * d : (i + 1) * d] for i in range(3)]
        shift = np.zeros(3 * d) if attention.qkv_bias is None else attention.qkv_bias[k]
        last = np.zeros(arch.dim) if attention.out_bias is None else attention.out_bias[k]
        out = exact(attention.out[k])
        rows = {
            name: exact(shift[i * d : (i + 1) * d])
            for i, name in enumerate(("query_bias", "key_bias", "value_bias"))
        }
        queries, keys, values = (exact(part) for part in parts)
        bias = np.zeros(arch.dim) if norm.bias is None else norm.bias[k]
        result.append(
            BallLayer(
                queries=queries,
                keys=keys,
                values=values,
                out=out,
                out_rows=out.tolist(),
                **rows,
                out_bias=exact(last),
                gain=exact(norm.gain[k]).entries(),
                bias=exact(bias).entries(),
                scale=_scale(arch, layer),
            )
        )
    return result


def _scale(arch: Architecture, layer: int) -> Ball:
    """The root itself, and not its float, where it is one of a head's width."""
    arb = flint().arb
    if arch.scaled and arch.score_scale is None and not arch.scaled_by_layer:
        return 1 / arb(arch.width).sqrt()
    return arb(float(arch.scales[layer]))


class _Seen(NamedTuple):
    """What a layer makes of two tokens, head by head where it is a list of lists."""

    shares: list[list[Ball]]  # by token: of its attention on the first, by head
    apart: list[Ball]  # v_a - v_b
    keys_apart: list[Ball]
    queries: list[list[Ball]]
    normal: list[list[Ball]]  # (z - mean) / sigma by token
    steep: list[Ball]  # 1 / sigma by token
    after: Balls


def through_balls(
    arch: Architecture, layer: BallLayer, x: Balls, sizes: tuple[int, int]
) -> tuple[Balls, _Seen]:
    """Two tokens, rows of `x`, that stand for `sizes` tokens each, after a layer."""
    fl, w = flint(), arch.width
    both = fl.arb_mat([[1], [1]])
    q = (x * layer.queries + both * layer.query_bias).tolist()
    k = (x * layer.keys + both * layer.key_bias).tolist()
    v = (x * layer.values + both * layer.value_bias).tolist()
    k_apart = [a - b for a, b in zip(*k, strict=True)]
    v_apart = [a - b for a, b in zip(*v, strict=True)]
    ratio = fl.arb(sizes[1]) / sizes[0]
    shares, mixed = [], []
    for token in range(2):
        own = []
        for head in range(arch.heads):
            at = range(head * w, (head + 1) * w)
            score = layer.scale * sum((q[token][i] * k_apart[i] for i in at), fl.arb(0))
            own.append(1 / (1 + ratio * (-score).exp()))
        shares.append(own)
        mixed.append([v[1][i] + own[i // w] * v_apart[i] for i in range(arch.heads * w)])
    z = x + fl.arb_mat(mixed) * layer.out + both * layer.out_bias
    rows, normal, steep = [], [], []
    for row in z.tolist():
        mean = sum(row, fl.arb(0)) / arch.dim
        off = [e - mean for e in row]
        variance = sum((e * e for e in off), fl.arb(0)) / arch.dim
        inverse = 1 / (variance + fl.arb(float(arch.epsilon))).sqrt()
        normal.append([e * inverse for e in off])
        steep.append(inverse)
        rows.append([g * e + b for g, e, b in zip(layer.gain, normal[-1], layer.bias, strict=True)])
    after = fl.arb_mat(rows)
    return after, _Seen(shares, v_apart, k_apart, q, normal, steep, after)


def layer_jacobian(arch: Architecture, layer: BallLayer, seen: _Seen) -> list[list[Balls]]:
    """Blocks `[i][j]` of the derivative of token `j` after the layer by token `i` before it, rows by `i`."""
    fl, d = flint(), arch.dim
    by_query = _by_head(arch, layer.queries, seen.keys_apart, layer.scale)
    one = fl.arb_mat(d, d, [1 if i == j else 0 for i in range(d) for j in range(d)])
    blocks = []
    for i in range(2):
        row = []
        for j in range(2):
            shares = [s if i == 0 else 1 - s for s in seen.shares[j]]
            block = layer.values * _scaled_rows(layer.out_rows, shares, arch.width)
            sign = layer.scale if i == 0 else -layer.scale
            by_score = _by_head(arch, layer.keys, seen.queries[j], sign)
            if i == j:
                block, by_score = block + one, by_score + by_query
            row.append(
                _normed(arch, layer, seen, j, block + by_score * _pull(arch, layer, seen, j))
            )
        blocks.append(row)
    return blocks


def within_jacobian(arch: Architecture, layer: BallLayer, seen: _Seen, token: int) -> Balls:
    """The derivative where tokens of one cluster part and their sum stays: by their own queries alone."""
    d = arch.dim
    one = flint().arb_mat(d, d, [1 if i == j else 0 for i in range(d) for j in range(d)])
    by_query = _by_head(arch, layer.queries, seen.keys_apart, layer.scale)
    return _normed(arch, layer, seen, token, one + by_query * _pull(arch, layer, seen, token))


def _by_head(arch: Architecture, matrix: Balls, vector: list[Ball], scale: Ball) -> Balls:
    """`(dim, heads)`: of each head its columns of the matrix times its part of the vector."""
    w, h = arch.width, arch.heads
    entries = [scale * e if i // w == k else 0 for i, e in enumerate(vector) for k in range(h)]
    return matrix * flint().arb_mat(h * w, h, entries)


def _pull(arch: Architecture, layer: BallLayer, seen: _Seen, token: int) -> Balls:
    """`(heads, dim)`: what a head adds to a token for each unit of s_a - s_b."""
    w, h = arch.width, arch.heads
    slope = [s * (1 - s) for s in seen.shares[token]]
    entries = [
        slope[k] * e if i // w == k else 0 for k in range(h) for i, e in enumerate(seen.apart)
    ]
    return flint().arb_mat(h, h * w, entries) * layer.out


def _scaled_rows(rows: list[list[Ball]], by: list[Ball], width: int) -> Balls:
    return flint().arb_mat([[by[i // width] * e for e in row] for i, row in enumerate(rows)])


def _normed(arch: Architecture, layer: BallLayer, seen: _Seen, token: int, block: Balls) -> Balls:
    """A derivative after the norm, whose own is gain/sigma (1 - 1/d - zz'/d)."""
    fl, d = flint(), arch.dim
    normal, inverse = seen.normal[token], seen.steep[token]
    right = fl.arb_mat([[1] * d, normal])
    left = fl.arb_mat([[fl.arb(1) / d, e / d] for e in normal])
    off = (block - (block * left) * right).tolist()
    factor = [g * inverse for g in layer.gain]
    return fl.arb_mat([[f * e for f, e in zip(factor, row, strict=True)] for row in off])
