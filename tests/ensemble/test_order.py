"""Which trajectories are begun first: the long ones, once it is known which are."""

import numpy as np

from attnflow.ensemble._order import Order, columns


def test_long_ones_come_first_once_lengths_are_known():
    size = np.random.default_rng(0).permutation(np.linspace(1.0, 3.0, 200))
    order = Order(size, (0, 200), 40)
    first = order.take(40)
    np.testing.assert_array_equal(first, np.arange(40))
    order.learn(first, np.exp(size[first]))
    rest = order.take(160)
    np.testing.assert_array_equal(np.sort(rest), np.arange(40, 200))
    ranks = np.argsort(np.argsort(-size[rest]))
    assert np.corrcoef(ranks, np.arange(160))[0, 1] > 0.99


def test_each_is_handed_out_once_however_many_at_a_time():
    order = Order(np.arange(50.0), (10, 37), 8)
    taken = []
    while order.left():
        taken.append(order.take(5))
        order.learn(taken[-1], np.arange(1, 1 + len(taken[-1])))
    np.testing.assert_array_equal(np.sort(np.concatenate(taken)), np.arange(10, 47))
    assert len(order.take(5)) == 0


def test_samplers_and_large_runs_keep_their_order():
    assert not Order(None, (0, 100), 8).learns
    assert not Order(np.zeros(5000), (0, 5000), 8).learns


def test_starts_that_are_not_numbers_do_not_spoil_the_order():
    tokens = np.full((6, 3, 2), np.nan)
    tokens[:3] = 1.0
    assert np.isfinite(columns((tokens, np.array([np.inf, 1, 2, 3, 4, 5])), 0, 6)).all()
