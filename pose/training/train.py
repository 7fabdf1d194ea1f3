"""Train the depth network on renderings: `python -m pose.training.train OUT`.

All samples are rendered during training: none is used twice, and nothing is downloaded. The learning rate
rises, stays constant, and falls over the last two fifths of the steps (Hu et al., MiniCPM, arXiv 2404.06395).
The result is an exponential moving average (EMA) of the weights. A run that was stopped resumes from
OUT/state.safetensors, also with another number of steps.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from pose.estimators.depth_hrnet import MAPS
from pose.estimators.depth_input import CHANNELS, INPUT_SIZE, STRIDE
from pose.estimators.heatmap import draw_gaussians, find_peaks
from pose.estimators.loading import choose_device
from pose.hrnet import HRNet, build_hrnet
from pose.synthetic.render import render
from pose.training.samples import Sample, to_sample, training_sample
from pose.weights.checkpoint import read_checkpoint

MAP_SIZE = (INPUT_SIZE[0] // STRIDE, INPUT_SIZE[1] // STRIDE)
EMA_DECAY = 0.999
WARM_UP, DECAY = 300, 0.4  # steps; share of all steps


class TrainingSet(IterableDataset[Sample]):
    """An endless stream of samples from index `first` on, shared out among the loader's workers."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[Sample]:
        info = torch.utils.data.get_worker_info()
        number, of = (info.id, info.num_workers) if info else (0, 1)
        cv2.setNumThreads(0)  # one core for each process
        index = self.first + number
        while True:
            yield training_sample(index)
            index += of


def heatmap_loss(logits: Tensor, batch: Sample) -> Tensor:
    """Return the binary cross-entropy with soft targets, each cell weighted by the square of its error.

    Most cells are background and easy; the weights focus the loss on the others (quality focal loss with
    beta 2; Li et al., "Generalized Focal Loss", NeurIPS 2020).

    Args:
        logits: (N, 19, 56, 48), before the sigmoid.
        batch: N samples, see `to_sample`.

    Returns:
        a scalar: the sum over cells, the mean over heatmaps and samples.
    """
    target = draw_gaussians(batch["centres"], batch["present"], MAP_SIZE)
    error = (target - logits.sigmoid()).abs()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * error.square()
    return (loss.sum(dim=(2, 3)) * batch["weight"]).sum() / (len(logits) * MAPS)


@dataclass
class TrainingRun:
    """The state of a training run.

    Attributes:
        average: exponential moving average of the network's weights, the result of the training.
        step: number of steps done.
    """

    network: HRNet
    average: HRNet
    optimiser: torch.optim.Optimizer
    variant: str
    step: int = 0

    def save(self, folder: Path) -> None:
        """Write state.safetensors and weights.safetensors, each by an atomic rename."""
        tensors: dict[str, Tensor] = {"step": torch.tensor(self.step)}
        for prefix, network in (("network.", self.network), ("mean.", self.average)):
            tensors |= {prefix + name: value for name, value in network.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        _write(folder / "state.safetensors", tensors, {})
        weights = dict(self.average.state_dict())
        digest = hashlib.sha256(b"".join(weights[name].cpu().numpy().tobytes() for name in sorted(weights)))
        version = f"{self.step}-{digest.hexdigest()[:8]}"
        facts = {"name": "depth-hrnet", "version": version, "variant": self.variant}
        _write(folder / "weights.safetensors", weights, facts)

    def load(self, folder: Path) -> None:
        """Load state.safetensors of a folder.

        Raises:
            RuntimeError: the state is that of another variant.
        """
        tensors = load_file(folder / "state.safetensors")
        self.step = int(tensors["step"])
        for prefix, network in (("network.", self.network), ("mean.", self.average)):
            network.load_state_dict(_with_prefix(tensors, prefix))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _with_prefix(tensors, "optimiser.").items():
            number, key = name.split(".")
            state.setdefault(int(number), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _write(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, part, facts)
    part.chmod(0o644)
    os.replace(part, path)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate at a step: linear warm-up, constant `peak`, linear decay to 0.

    >>> learning_rate(299, 8000, 0.002), learning_rate(6400, 8000, 0.002), learning_rate(8000, 8000, 0.002)
    (0.002, 0.001, 0.0)
    """
    left = (steps - step) / max(DECAY * steps, 1)
    return peak * min((step + 1) / WARM_UP, 1.0, max(left, 0.0))


def train(
    out: Path,
    *,
    variant: str,
    steps: int,
    batch: int,
    peak: float,
    device: torch.device,
    workers: int,
    save_every: int,
    console: Console,
    start: Path | None = None,
    first: int = 0,
) -> None:
    """Train until `steps` steps are done, including those of a run in `out`, which is resumed.

    Args:
        out: an existing folder.
        variant: a name in `hrnet.VARIANTS`.
        batch: samples per step.
        peak: highest learning rate.
        workers: processes that render; 0 renders in this one.
        save_every: steps between two saves; the last step is saved as well.
        start: weights that the run begins with; None begins with random ones.
        first: index of the first sample. Runs that begin with the same weights and see other samples can be
            averaged (Wortsman et al., "Model soups", ICML 2022).

    Raises:
        RuntimeError: the run in `out` is one of another variant.
    """
    network = build_hrnet(variant, in_channels=CHANNELS, out_channels=MAPS).to(device)
    nn.init.constant_(network.final_layer.bias, -4.0)  # type: ignore[arg-type]  # heatmaps are mostly empty
    network = network.to(memory_format=torch.channels_last)
    average = build_hrnet(variant, in_channels=CHANNELS, out_channels=MAPS).to(device)
    if start is not None:
        network.load_state_dict(read_checkpoint(start).tensors)
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=0.01)
    run = TrainingRun(network, average, optimiser, variant)
    if (out / "state.safetensors").exists():
        run.load(out)
        console.print(f"resuming from step {run.step}")
    loader: Any = DataLoader(
        TrainingSet(first + run.step * batch),
        batch_size=batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    started, resumed, total = time.perf_counter(), run.step, 0.0
    network.train()
    for sample in islice(loader, max(steps - run.step, 0)):
        total += _step(run, sample, learning_rate(run.step, steps, peak), device)
        if run.step % 50 == 0:
            rate = batch * (run.step - resumed) / (time.perf_counter() - started)
            console.print(f"step {run.step}/{steps}  loss {total / 50:.3f}  {rate:.0f} renderings/s")
            total = 0.0
        if run.step % save_every == 0 or run.step == steps:
            run.save(out)
            found = evaluate_held_out(run.average, device)
            console.print(f"step {run.step}: {found}")
            with (out / "progress.jsonl").open("a") as log:
                log.write(
                    json.dumps({"step": run.step, "seconds": time.perf_counter() - started, **found}) + "\n"
                )


def _step(run: TrainingRun, sample: Sample, rate: float, device: torch.device) -> float:
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    sample = {name: value.to(device) for name, value in sample.items()}
    images = sample["input"].float().contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        logits = run.network(images)
    loss = heatmap_loss(logits.float(), sample)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimiser.step()
    run.step += 1
    _update_average(run.average, run.network, min(EMA_DECAY, run.step / (run.step + 10)))
    return float(loss.detach())


@torch.no_grad()
def _update_average(average: HRNet, network: HRNet, decay: float) -> None:
    for ours, theirs in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)


@torch.no_grad()
def evaluate_held_out(network: HRNet, device: torch.device, count: int = 100) -> dict[str, float]:
    """Return PCK at 0.2 torso lengths, and scores of people and empty rooms, on held-out renderings.

    It is a quick measure of the network's progress; `pose.evaluation.estimator` measures the whole estimator.

    Args:
        count: number of renderings, a third of them empty rooms; at least 3.
    """
    network.eval()
    right, total = 0, 0
    scores: dict[str, list[float]] = {"person": [], "empty": []}
    for seed in range(count):
        posture = ("standing", "lying", "empty")[seed % 3]
        sample = to_sample(render(seed, posture), 0.0)
        heat = network(sample["input"].float()[None].to(device)).sigmoid()
        peaks, values = find_peaks(heat, 1)
        scores["empty" if posture == "empty" else "person"].append(float(values[0, 17:, 0].max()))
        if posture == "empty":
            continue
        truth = sample["centres"][0].numpy()
        torso = np.linalg.norm(truth[[5, 6]].mean(0) - truth[[11, 12]].mean(0))
        seen = sample["present"][0, :17].numpy() & (sample["weight"][:17].numpy() == 1.0)
        error = np.linalg.norm(peaks[0, :17, 0] - truth[:17], axis=1)
        right += int((error[seen] < 0.2 * torso).sum())
        total += int(seen.sum())
    network.train()
    return {
        "pck": round(right / total, 4),
        "person_p05": round(float(np.percentile(scores["person"], 5)), 3),
        "empty_p95": round(float(np.percentile(scores["empty"], 95)), 3),
    }


def main(
    out: Annotated[Path, typer.Argument(help="Folder for weights and state of the run.")],
    steps: Annotated[int, typer.Option(help="Steps in all, including those of a resumed run.")] = 8000,
    batch: Annotated[int, typer.Option(help="Samples per step.")] = 32,
    variant: Annotated[str, typer.Option(help="HRNet variant.")] = "w16-small",
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of the network.")] = 1,
    every: Annotated[int, typer.Option(help="Steps between two saves.")] = 500,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with; default: random.")] = None,
    first: Annotated[int, typer.Option(help="Index of the first rendering.", min=0)] = 0,
) -> None:
    """Train the embedded depth network on rendered people, or resume a run that was stopped."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    train(
        out,
        variant=variant,
        steps=steps,
        batch=batch,
        peak=rate,
        device=torch.device(choose_device(device)),
        workers=workers,
        save_every=every,
        console=Console(),
        start=start,
        first=first,
    )


if __name__ == "__main__":
    typer.run(main)
