"""Train the stature network on renderings: `python -m pose.training.stature OUT`.

One run renders its samples, learns from them, and measures on further rendered scans how wide the intervals
must be. Samples that OUT has already are not rendered again. The learned weights are written to
OUT/uncalibrated.safetensors before the intervals are set: a run that was stopped there, and is started again
with the same arguments, goes on from them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor

from pose.stature.body import mirrored
from pose.stature.network import StatureNetwork
from pose.stature.weights import EMBEDDED, MAX_BYTES
from pose.training.stature_calibration import calibrate
from pose.training.stature_samples import StatureSamples, stature_sample
from pose.weights.checkpoint import read_safetensors

UNCALIBRATED: Final = "uncalibrated.safetensors"
PART: Final = 1000  # samples of one file
BATCH: Final = 128
PEAK: Final = 4e-3  # learning rate
WARM_EPOCHS: Final = 2  # without scales: these would explain away the first, large errors
HELD_OUT: Final = 20  # one sample of so many is for validation
FEATURE_NOISE: Final = 0.05  # deviations


def rendered(out: Path, count: int, console: Console) -> StatureSamples:
    """Return the first `count` samples, from the files in `out` or rendered into them."""
    cv2.setNumThreads(0)
    parts, started = [], time.perf_counter()
    for first in range(0, count, PART):
        path = out / f"samples-{first:06d}.npz"
        if not path.exists():
            found = [stature_sample(index) for index in range(first, first + PART)]
            part = StatureSamples.joined([each for each in found if each is not None])
            draft = path.with_suffix(".part.npz")
            np.savez(draft, **{each.name: getattr(part, each.name) for each in fields(part)})
            draft.rename(path)
            console.print(f"{first + PART} samples, {time.perf_counter() - started:.0f} s")
        with np.load(path) as file:
            parts.append(StatureSamples(**{each.name: file[each.name] for each in fields(StatureSamples)}))
    return StatureSamples.joined(parts)


def fit(samples: StatureSamples, epochs: int, seed: int, console: Console) -> StatureNetwork:
    """Train a network on samples. Equal arguments give equal weights on one machine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    held_out = samples.facts[:, 0].astype(int) % HELD_OUT == 0
    learned = np.flatnonzero(~held_out)
    network = StatureNetwork()
    features = samples.features[learned]
    network.mean.copy_(torch.from_numpy(features.mean(axis=0)))
    network.deviation.copy_(torch.from_numpy(features.std(axis=0) + 0.01))
    optimiser = torch.optim.AdamW(network.parameters(), PEAK, weight_decay=0.01)
    steps = epochs * (len(learned) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=steps)
    for epoch in range(epochs):
        network.train()
        for rows in _batches(rng.permutation(learned)):
            *inputs, lengths = _tensors(samples, rows, mirror=bool(rng.random() < 0.5))
            inputs[2] = inputs[2] + FEATURE_NOISE * network.deviation * torch.randn_like(inputs[2])
            found, scale = network(*inputs)
            warm = epoch < WARM_EPOCHS
            loss = 20 * (found - lengths).abs().mean() if warm else laplace_loss(found, scale, lengths)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        if epoch % 5 == 4 or epoch == epochs - 1:
            console.print(f"epoch {epoch + 1}: {_validation(network, samples, np.flatnonzero(held_out))}")
    return network.eval()


def laplace_loss(found: Tensor, log_scale: Tensor, true: Tensor) -> Tensor:
    """Return the negative log likelihood of lengths (N, 2) with Laplace errors, without its constant."""
    return (log_scale + (found - true).abs() / log_scale.exp()).mean()


def _batches(order: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for first in range(0, len(order) - BATCH + 1, BATCH):
        yield order[first : first + BATCH]


def _tensors(samples: StatureSamples, rows: NDArray[np.intp], *, mirror: bool = False) -> list[Tensor]:
    inputs = tuple(each[rows].astype(np.float32) for each in (samples.head, samples.body, samples.features))
    if mirror:
        inputs = mirrored(*inputs)
    return [*(torch.from_numpy(each) for each in inputs), torch.from_numpy(samples.lengths[rows])]


@torch.inference_mode()
def _validation(network: StatureNetwork, samples: StatureSamples, rows: NDArray[np.intp]) -> str:
    network.eval()
    *inputs, lengths = _tensors(samples, rows)
    found, scale = network(*inputs)
    error = 100 * (found - lengths).numpy()
    inside = (np.abs(error) < 300 * scale.exp().numpy()).mean(axis=0)
    lines = [f"within three scales {inside.round(3)}"]
    for careful in (True, False):
        for lying in (False, True):
            which = np.abs(error[(samples.facts[rows, 1] == careful) & (samples.facts[rows, 2] == lying)])
            if which.size:
                name = f"{'careful' if careful else 'careless'} {'lying' if lying else 'standing'}"
                median, most = (np.percentile(which, share, axis=0).round(2) for share in (50, 90))
                lines.append(f"{name} {median} cm, p90 {most}")
    return "; ".join(lines)


def main(
    out: Annotated[Path, typer.Argument(help="Folder for samples and weights.")],
    samples: Annotated[int, typer.Option(min=PART, help="Renderings to learn from.")] = 40_000,
    epochs: Annotated[int, typer.Option(min=WARM_EPOCHS + 1, help="Times that each is used.")] = 24,
    scans: Annotated[int, typer.Option(min=20, help="Rendered scans that set the intervals.")] = 160,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Render, train, set the intervals, and write OUT/stature.safetensors."""
    console = Console()
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    training = {"samples": str(samples), "epochs": str(epochs), "seed": str(seed)}
    network = _read_trained(out / UNCALIBRATED, training)
    if network is None:
        network = fit(rendered(out, samples, console), epochs, seed, console)
        save_file(_weights(network), out / UNCALIBRATED, training)
    facts = {
        "name": "stature",
        "version": f"{samples}-{_digest(network)[:8]}",
        "variant": "crops",
        "calibration": calibrate(network, scans, console).to_json(),
    }
    save_file(_weights(network), out / EMBEDDED, facts)
    console.print(f"{out / EMBEDDED}: {facts}")


def _weights(network: StatureNetwork) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def _digest(network: StatureNetwork) -> str:
    weights = _weights(network)
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


def _read_trained(path: Path, training: dict[str, str]) -> StatureNetwork | None:
    """Return the network that an earlier run with the same arguments has trained; None if there is none."""
    if not path.is_file():
        return None
    checkpoint = read_safetensors(path, MAX_BYTES)
    if checkpoint.facts != training:
        return None
    network = StatureNetwork()
    network.load_state_dict(checkpoint.tensors)
    return network.eval()


if __name__ == "__main__":
    typer.run(main)
