"""Draws: known answers, and independence of batch, order and process."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.base import Draws, philox4x32

# The generator's own test vectors, from the Random123 distribution (kat_vectors, philox4x32-10).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], expected: str) -> None:
    words = philox4x32(np.array([counter], dtype=np.uint32), key)[0]
    assert " ".join(f"{word:08x}" for word in words) == expected


def test_an_image_gets_its_numbers_in_any_batch_and_order() -> None:
    draws = Draws(seed=5, epoch=2)
    everything = draws.uniform("crop", np.arange(100), 6)
    some = [17, 3, 99, 0]
    assert (draws.uniform("crop", some, 6) == everything[some]).all()
    assert (draws.uniform("crop", some, 2) == everything[some, :2]).all()


def test_two_processes_draw_what_one_draws() -> None:
    draws = Draws(seed=1, epoch=0)
    order = draws.permutation("order", np.arange(50))
    whole = draws.normal("noise", order, 3)
    for rank in (0, 1):
        assert (draws.normal("noise", order[rank::2], 3) == whole[rank::2]).all()


@pytest.mark.parametrize("other", [Draws(1, 0), Draws(0, 1)])
def test_seed_epoch_and_stream_all_matter(other: Draws) -> None:
    ids = np.arange(8)
    one = Draws(0, 0).uniform("a", ids, 2)
    assert not (one == other.uniform("a", ids, 2)).any()
    assert not (one == Draws(0, 0).uniform("b", ids, 2)).any()


def test_a_new_image_does_not_change_how_others_are_ordered() -> None:
    order = Draws(3).permutation("order", np.arange(20))
    more = Draws(3).permutation("order", np.arange(21))
    assert (more[more != 20] == order).all()
    assert sorted(order) == list(range(20))


def test_distributions() -> None:
    draws = Draws(seed=0)
    ids = np.arange(20_000)
    uniform, normal = draws.uniform("u", ids, 4), draws.normal("n", ids, 3)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.005  # 5 sigma: 0.0051
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs(np.corrcoef(normal.T) - np.eye(3)).max() < 0.03


def test_large_ids_do_not_collide() -> None:
    ids = np.array([0, 2**32, 2**33, 2**62])
    assert len(np.unique(Draws(0).words("s", ids, 1))) == 4


def test_torch_seeds_differ_by_step_and_rank_and_fit_torch() -> None:
    seeds = {
        Draws(0, epoch).torch_seed(step, rank) for epoch in (0, 1) for step in range(50) for rank in (0, 1)
    }
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
