"""A training learns, resumes where it stopped, and never uses held-out renderings."""

from __future__ import annotations

import io
import itertools
import json
from functools import cache

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.heatmap import draw_gaussians
from pose.hrnet import VARIANTS, build_hrnet
from pose.synthetic.render import FIRST_TRAINING_SEED, render
from pose.training import samples, train
from pose.training.samples import training_sample
from pose.training.train import DECAY, WARM_UP, TrainingSet, heatmap_loss, learning_rate
from pose.weights.checkpoint import read_checkpoint
from tests.support.tiny import TINY

sample = cache(training_sample)
FOUND = {"pck": 0.5, "person_p05": 0.4, "empty_p95": 0.1}


class Killed(BaseException):
    """Stands for a signal that ends a run."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Use tiny networks and four samples, and skip the evaluation on held-out renderings."""
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(train, "training_sample", lambda index: sample(index % 4))
    monkeypatch.setattr(train, "evaluate_held_out", lambda network, device: FOUND)


def run(out, steps, *, every=100, peak=0.02, variant="tiny", batch=2):
    out.mkdir(exist_ok=True)
    torch.manual_seed(0)
    text = io.StringIO()
    train.train(
        out,
        variant=variant,
        steps=steps,
        batch=batch,
        peak=peak,
        device=torch.device("cpu"),
        workers=0,
        save_every=every,
        console=Console(file=text, width=200),
    )
    return text.getvalue()


def loss_of(out, batch=4):
    """Of the network (not of the mean of its weights) in training mode."""
    state = load_file(out / "state.safetensors")
    network = build_hrnet("tiny", out_channels=19)
    network.load_state_dict(
        {name.removeprefix("network."): v for name, v in state.items() if name.startswith("network.")}
    )
    together = {name: torch.stack([sample(i)[name] for i in range(batch)]) for name in sample(0)}
    with torch.no_grad():
        return float(heatmap_loss(network(together["input"].float()), together))


def kill_at(monkeypatch, index):
    """End the run when it asks for this sample."""

    def until(wanted):
        if wanted >= index:
            raise Killed
        return sample(wanted % 4)

    monkeypatch.setattr(train, "training_sample", until)


def test_the_loss_falls(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "WARM_UP", 3)
    run(tmp_path / "begun", 1, batch=4)
    run(tmp_path / "trained", 14, batch=4)
    assert loss_of(tmp_path / "trained") < 0.6 * loss_of(tmp_path / "begun")


def test_it_prints_its_progress_and_its_accuracy(tmp_path):
    text = run(tmp_path, 2, batch=1, every=1)
    assert "step 1: {'pck': 0.5" in text
    assert "step 2: {'pck': 0.5" in text


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path, monkeypatch):
    run(tmp_path / "whole", 8)
    kill_at(monkeypatch, 10)  # in the sixth step
    with pytest.raises(Killed):
        run(tmp_path / "killed", 8, every=4)
    monkeypatch.setattr(train, "training_sample", lambda index: sample(index % 4))
    assert "resuming from step 4" in run(tmp_path / "killed", 8, every=4)
    whole, killed = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "killed"))
    assert set(whole) == set(killed)
    for name, value in whole.items():
        assert torch.allclose(value.double(), killed[name].double(), rtol=1e-3, atol=1e-5), name
    lines = (tmp_path / "killed/progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8]


def test_a_resumed_run_continues_with_new_samples(tmp_path, monkeypatch):
    wanted = []

    def watched(index):
        wanted.append(index)
        return sample(index % 4)

    monkeypatch.setattr(train, "training_sample", watched)
    run(tmp_path, 3)
    run(tmp_path, 5)
    assert wanted == list(range(10))
    run(tmp_path, 5)
    assert len(wanted) == 10  # all steps are made


def test_a_run_that_is_killed_while_it_saves_leaves_what_was_saved_before(tmp_path, monkeypatch):
    run(tmp_path, 2)
    before = (tmp_path / "state.safetensors").read_bytes()

    def dying(tensors, path, facts):
        save_file(tensors, path, facts)
        path.write_bytes(path.read_bytes()[:1000])
        raise Killed

    monkeypatch.setattr(train, "save_file", dying)
    with pytest.raises(Killed):
        run(tmp_path, 3)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    monkeypatch.setattr(train, "save_file", save_file)
    assert "resuming from step 2" in run(tmp_path, 3)
    assert int(load_file(tmp_path / "state.safetensors")["step"]) == 3


def test_saved_weights_are_an_estimator(tmp_path):
    run(tmp_path, 2)
    facts = read_checkpoint(tmp_path / "weights.safetensors").facts
    assert facts["name"] == "depth-hrnet"
    assert facts["variant"] == "tiny"
    assert facts["version"].startswith("2-")
    assert DepthHRNet(tmp_path / "weights.safetensors").version == facts["version"]
    run(tmp_path, 3)
    assert read_checkpoint(tmp_path / "weights.safetensors").facts["version"] != facts["version"]


def test_every_user_can_read_the_saved_weights(tmp_path):
    run(tmp_path, 1)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == 0o644


def test_the_state_of_another_variant_is_refused(tmp_path):
    run(tmp_path, 1)
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        run(tmp_path, 2, variant="w16-small")


def test_workers_share_the_renderings_among_them(monkeypatch):
    def taken(number, of):
        info = type("Info", (), {"id": number, "num_workers": of})
        monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: info)
        seen = []
        monkeypatch.setattr(train, "training_sample", lambda index: seen.append(index))
        list(itertools.islice(TrainingSet(100), 4))
        return seen

    assert sorted(taken(0, 3) + taken(1, 3) + taken(2, 3)) == list(range(100, 112))
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: None)


def test_held_out_renderings_are_never_trained_on(monkeypatch):
    def seeds_of(module, work):
        seeds = []

        def watched(seed, *arguments, **options):
            seeds.append(seed)
            return render(seed, *arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(module, "render", watched)
            work()
        return seeds

    network = build_hrnet("tiny", out_channels=19)
    monkeypatch.undo()
    held_out = seeds_of(train, lambda: train.evaluate_held_out(network, torch.device("cpu"), 6))
    trained = seeds_of(samples, lambda: [training_sample(index) for index in range(6)])
    assert held_out == list(range(6))
    assert min(trained) == FIRST_TRAINING_SEED > max(held_out)


def test_evaluating_held_out_renderings_does_not_change_the_network(monkeypatch):
    monkeypatch.undo()
    network = build_hrnet(TINY, out_channels=19)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = train.evaluate_held_out(network, torch.device("cpu"), 6)
    assert set(found) == set(FOUND)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training


def test_the_rate_rises_stays_and_falls():
    rates = [learning_rate(step, 5000, 0.002) for step in range(5001)]
    assert rates[0] == pytest.approx(0.002 / WARM_UP)
    assert rates[:WARM_UP] == sorted(rates[:WARM_UP])
    falls = round(5000 * (1 - DECAY))
    assert rates[WARM_UP:falls] == pytest.approx([0.002] * (falls - WARM_UP))
    assert rates[falls:] == sorted(rates[falls:], reverse=True)
    assert rates[5000] == 0


def answer(batch, wrong=0.0):
    """Logits of a network that is right, but for so much."""
    target = draw_gaussians(batch["centres"], batch["present"], train.MAP_SIZE)
    return torch.logit((target + wrong).clamp(1e-4, 1 - 1e-4))


def test_the_loss_is_small_for_the_right_answer_and_grows_with_the_error():
    batch = {name: value[None] for name, value in sample(0).items()}
    losses = [float(heatmap_loss(answer(batch, wrong), batch)) for wrong in (0.0, 0.1, 0.3)]
    assert losses[0] < 1e-3
    assert losses == sorted(losses)


def test_joints_that_count_less_add_less_to_the_loss():
    batch = {name: value[None] for name, value in sample(0).items()}
    whole = heatmap_loss(answer(batch, 0.3), batch)
    half = heatmap_loss(answer(batch, 0.3), {**batch, "weight": batch["weight"] / 2})
    assert float(half) == pytest.approx(float(whole) / 2)


def test_the_result_is_a_moving_average_of_the_weights(tmp_path):
    one, two = (tmp_path / name for name in ("one", "two"))
    run(one, 1)
    run(two, 2)
    before, after = (load_file(folder / "state.safetensors") for folder in (one, two))
    kept = 2 / 12  # of the mean before, at the second step: a young mean forgets fast
    expected = kept * before["mean.conv1.weight"] + (1 - kept) * after["network.conv1.weight"]
    assert torch.allclose(after["mean.conv1.weight"], expected, atol=1e-6)
