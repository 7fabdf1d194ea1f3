"""Trains the depth network on renderings: `python -m pose.training.train OUT`.

The renderer makes every picture anew, so nothing is seen twice and nothing need be downloaded. The learning
rate rises, stays, and falls over the last two fifths of the steps (Hu et al., MiniCPM, arXiv 2404.06395); a
running mean of the weights is what is kept. A run that was stopped goes on from OUT/state.safetensors, also
with another number of steps.
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

MAP_SIZE = (INPUT_SIZE[0] // STRIDE, INPUT_SIZE[1] // STRIDE)
EMA = 0.999
WARM_UP, DECAY = 300, 0.4  # steps; share of all steps


class TrainingSet(IterableDataset[Sample]):
    """Renderings without end, from the one numbered `first` on; workers take turns."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[Sample]:
        info = torch.utils.data.get_worker_info()
        number, of = (info.id, info.num_workers) if info else (0, 1)
        cv2.setNumThreads(0)  # one process, one core
        index = self.first + number
        while True:
            yield training_sample(index)
            index += of


def heatmap_loss(logits: Tensor, batch: Sample) -> Tensor:
    """Binary cross-entropy against soft targets, each cell weighted by the square of its error.

    Most cells are background and soon right; weighting by the error leaves the work to the others (the
    quality focal loss of Li et al., "Generalized Focal Loss", NeurIPS 2020, with beta 2).

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
class Run:
    """A training run and all that its continuation needs.

    Attributes:
        mean: running mean of the network's weights, which is what is kept.
        step: number of steps made.
    """

    network: HRNet
    mean: HRNet
    optimiser: torch.optim.Optimizer
    variant: str
    step: int = 0

    def save(self, folder: Path) -> None:
        """Writes state.safetensors and weights.safetensors; a run that is killed meanwhile loses nothing."""
        tensors: dict[str, Tensor] = {"step": torch.tensor(self.step)}
        for prefix, network in (("network.", self.network), ("mean.", self.mean)):
            tensors |= {prefix + name: value for name, value in network.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        _write(folder / "state.safetensors", tensors, {})
        kept = dict(self.mean.state_dict())
        digest = hashlib.sha256(b"".join(kept[name].cpu().numpy().tobytes() for name in sorted(kept)))
        version = f"{self.step}-{digest.hexdigest()[:8]}"
        facts = {"name": "depth-hrnet", "version": version, "variant": self.variant}
        _write(folder / "weights.safetensors", kept, facts)

    def load(self, folder: Path) -> None:
        """Goes on from a folder's state.safetensors.

        Raises:
            RuntimeError: that is the state of another variant.
        """
        tensors = load_file(folder / "state.safetensors")
        self.step = int(tensors["step"])
        for prefix, network in (("network.", self.network), ("mean.", self.mean)):
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
    """Up for `WARM_UP` steps, then `peak`, then straight down to nothing over the last `DECAY` of all."""
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
    every: int,
    console: Console,
) -> None:
    """Trains until `steps` steps are made in all, those of the run that lies in `out` included.

    Args:
        out: a folder, which is there.
        variant: a name in `hrnet.VARIANTS`.
        batch: renderings per step.
        peak: highest learning rate.
        workers: processes that render; 0 renders in this one.
        every: steps between two saves; the last step is saved as well.
    """
    network = build_hrnet(variant, in_channels=CHANNELS, out_channels=MAPS).to(device)
    nn.init.constant_(network.final_layer.bias, -4.0)  # type: ignore[arg-type]  # heatmaps are mostly empty
    network = network.to(memory_format=torch.channels_last)
    mean = build_hrnet(variant, in_channels=CHANNELS, out_channels=MAPS).to(device)
    mean.load_state_dict(network.state_dict())
    run = Run(network, mean, torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=0.01), variant)
    if (out / "state.safetensors").exists():
        run.load(out)
        console.print(f"going on from step {run.step}")
    lessons: Any = DataLoader(
        TrainingSet(run.step * batch),
        batch_size=batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    began, first, total = time.perf_counter(), run.step, 0.0
    network.train()
    for sample in islice(lessons, max(steps - run.step, 0)):
        total += _step(run, sample, learning_rate(run.step, steps, peak), device)
        if run.step % 50 == 0:
            rate = batch * (run.step - first) / (time.perf_counter() - began)
            console.print(f"step {run.step}/{steps}  loss {total / 50:.3f}  {rate:.0f} renderings/s")
            total = 0.0
        if run.step % every == 0 or run.step == steps:
            run.save(out)
            found = held_out(run.mean, device)
            console.print(f"step {run.step}: {found}")
            with (out / "progress.jsonl").open("a") as log:
                log.write(
                    json.dumps({"step": run.step, "seconds": time.perf_counter() - began, **found}) + "\n"
                )


def _step(run: Run, sample: Sample, rate: float, device: torch.device) -> float:
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
    _follow(run.mean, run.network, min(EMA, run.step / (run.step + 10)))
    return float(loss.detach())


@torch.no_grad()
def _follow(mean: HRNet, network: HRNet, keep: float) -> None:
    for ours, theirs in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


@torch.no_grad()
def held_out(network: HRNet, device: torch.device, count: int = 100) -> dict[str, float]:
    """A quick look on held-out renderings, in cells: PCK at 0.2 torso lengths, and scores of rooms.

    `pose.evaluation.estimator` measures the whole estimator; this steers a training.

    Args:
        count: renderings, a third of them empty rooms; at least 3.
    """
    network.eval()
    right, all_ = 0, 0
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
        all_ += int(seen.sum())
    network.train()
    return {
        "pck": round(right / all_, 4),
        "person_p05": round(float(np.percentile(scores["person"], 5)), 3),
        "empty_p95": round(float(np.percentile(scores["empty"], 95)), 3),
    }


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the weights and the state of the run.")],
    steps: Annotated[int, typer.Option(help="Steps in all, those of a run that goes on included.")] = 8000,
    batch: Annotated[int, typer.Option(help="Renderings per step.")] = 32,
    variant: Annotated[str, typer.Option(help="HRNet variant.")] = "w16-small",
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of the network.")] = 1,
    every: Annotated[int, typer.Option(help="Steps between two saves.")] = 500,
) -> None:
    """Train the embedded depth network on rendered bodies, or go on with a run that was stopped."""
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
        every=every,
        console=Console(),
    )


if __name__ == "__main__":
    typer.run(main)
