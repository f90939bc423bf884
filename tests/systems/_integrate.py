"""Reference integrations: SciPy's DOP853 at 1e-12, and textbook fixed steps."""

import itertools

import numpy as np
from scipy.integrate import solve_ivp


def dop853(velocity, y0, ts, *, rtol=1e-12, atol=1e-13, t0=0.0, breaks=()) -> np.ndarray:
    """Solution of `y' = velocity(t, y)` at `ts`, shape (len(ts), *y0.shape).

    `breaks` are times where `velocity` jumps: the integration is restarted there.
    """
    y0 = np.asarray(y0, dtype=float)
    ts = np.asarray(ts, dtype=float)
    shape = y0.shape
    stops = [t0, *sorted(b for b in breaks if t0 < b < ts[-1]), ts[-1]]
    state, out = y0.ravel(), []

    for left, right in itertools.pairwise(stops):
        within = ts[(ts > left) & (ts <= right)]
        # From the left of a jump the field is the earlier one, so ask a hair before it.
        last = np.nextafter(right, left)

        def flat(t, z, last=last):
            return np.asarray(velocity(min(t, last), z.reshape(shape))).ravel()

        calls = np.unique(np.append(within, right))
        run = solve_ivp(
            flat, (left, right), state, method="DOP853", t_eval=calls, rtol=rtol, atol=atol
        )
        if not run.success:
            raise RuntimeError(run.message)
        state = run.y[:, -1]
        out += [run.y[:, k] for k, t in enumerate(calls) if t in within]
    start = [y0.ravel()] * int(np.sum(ts <= t0))
    return np.stack(start + out).reshape(len(ts), *shape)


def fixed_step(velocity, y0, t1, steps) -> np.ndarray:
    """Classical Runge-Kutta of order 4 with `steps` equal steps, from 0 to `t1`."""
    y, h = np.asarray(y0, dtype=float), t1 / steps
    for k in range(steps):
        t = k * h
        a = velocity(t, y)
        b = velocity(t + h / 2, y + h / 2 * a)
        c = velocity(t + h / 2, y + h / 2 * b)
        d = velocity(t + h, y + h * c)
        y = y + h / 6 * (a + 2 * b + 2 * c + d)
    return y
