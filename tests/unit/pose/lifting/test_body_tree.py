"""The best of a few candidates is chosen for each joint."""

import itertools

import numpy as np

from pose import keypoints as kp
from pose.lifting import body_tree


def test_every_joint_but_the_root_has_a_parent_that_comes_later():
    joints = [joint for joint, _ in body_tree.PARENTS]
    assert sorted([*joints, body_tree.ROOT]) == list(range(kp.COUNT))
    for index, (_, parent) in enumerate(body_tree.PARENTS):
        assert parent == body_tree.ROOT or parent in joints[index + 1 :]


def test_the_choice_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = np.ones(kp.COUNT, int)
        sizes[rng.choice(kp.COUNT, 8, replace=False)] = 2
        costs = [rng.random(size) for size in sizes]
        pairs = {pair: rng.random((sizes[pair[0]], sizes[pair[1]])) for pair in body_tree.PARENTS}

        def total(choice, costs=costs, pairs=pairs):
            own = sum(cost[i] for cost, i in zip(costs, choice, strict=True))
            return own + sum(cost[choice[a], choice[b]] for (a, b), cost in pairs.items())

        def pairwise(joint, parent, pairs=pairs):
            return pairs[joint, parent]

        found = body_tree.choose(costs, pairwise)
        best = min(total(choice) for choice in itertools.product(*(range(size) for size in sizes)))
        assert np.isclose(total(found), best)


def test_a_joint_without_choices_splits_the_tree_and_the_rest_is_still_chosen():
    costs = [np.array([1.0, 0.0]) for _ in range(kp.COUNT)]
    costs[kp.LEFT_HIP] = np.empty(0)
    chosen = body_tree.choose(costs, lambda joint, parent: np.zeros((costs[joint].size, costs[parent].size)))
    assert chosen[kp.LEFT_HIP] is None
    assert all(choice == 1 for joint, choice in enumerate(chosen) if joint != kp.LEFT_HIP)


def test_missing_values_come_from_the_nearest_joints():
    values = np.full(kp.COUNT, np.nan)
    values[kp.LEFT_KNEE], values[kp.LEFT_SHOULDER] = 2.0, 1.0
    filled = body_tree.fill_missing(values)
    assert filled[kp.LEFT_ANKLE] == 2.0
    assert filled[kp.LEFT_HIP] == 1.5
    assert filled[kp.NOSE] == 1.0
    assert np.isnan(body_tree.fill_missing(np.full(kp.COUNT, np.nan))).all()
