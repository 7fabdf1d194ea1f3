"""What runs on a GPU gives the same as the steps on a CPU; here all of it runs on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose.estimators.gpu import (
    FixedBatches,
    as_stored,
    batch_sizes,
    upload_picture,
)
from tests.support.views import views

CPU = torch.device("cpu")


def test_a_batch_is_at_least_half_of_the_recorded_one():
    for largest in (1, 2, 5, 16, 100):
        sizes = batch_sizes(largest)
        assert sizes[-1] == largest and sizes[0] == 1
        for count in range(1, largest + 1):
            assert next(size for size in sizes if size >= count) <= max(count, 1.5 * count - 0.5, 2)


def test_batches_of_any_size_are_filled_up_and_keep_their_answers():
    steps = []

    def record(step, static):
        output = step(static)

        def replay():
            steps.append(len(static))
            output.copy_(step(static))

        return replay, output

    batches = FixedBatches(lambda x: x.sum(dim=1) * 2, (3,), torch.float32, CPU, 5, record)
    given = [torch.arange(3.0 * n).reshape(n, 3) + n for n in (5, 1, 4, 2, 5, 3)]
    answers = [batches(each) for each in given]  # the answer of a batch outlives the next one
    for each, answer in zip(given, answers, strict=True):
        assert torch.equal(answer, each.sum(dim=1) * 2)
    assert steps == [5, 1, 4, 2, 5, 3]
    steps.clear()
    batches = FixedBatches(lambda x: x, (3,), torch.float32, CPU, 16, record)
    assert len(batches(torch.zeros(9, 3))) == 9
    assert steps == [12]


@pytest.mark.parametrize("view", views())
def test_a_turned_view_arrives_as_it_is_seen(view):
    assert np.array_equal(upload_picture(view, CPU).numpy(), view)


def test_a_turned_picture_is_copied_in_the_order_of_its_memory():
    for view in views()[:8]:
        stored, *_ = as_stored(view)
        assert stored.flags.c_contiguous
