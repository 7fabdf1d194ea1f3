"""Compare a GPU with the CPU, and measure it: `python -m benchmarks.gpu [--json FILE]`, about two minutes.

It needs a GPU, torch, torchvision, OpenCV and what `pose` imports; nothing is downloaded. HRNet-w48 and the
detector have random weights of the true shapes: times do not depend on weights. A part that fails prints its
error, and the others go on. `--cpu` runs all parts with small networks on the CPU, to test this file.
"""

from __future__ import annotations

import argparse
import copy
import gc
import itertools
import json
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pose.detectors import build_detector
from pose.estimators import gpu
from pose.estimators.crop import crop
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.detector import Detector
from pose.estimators.gpu import FixedBatches, Precision, exact_float32
from pose.estimators.gpu_crop import GPUCropper, _pack
from pose.estimators.gpu_network import fold_batch_norms, to_gpu
from pose.estimators.heatmap import draw_gaussians, maxima, peaks
from pose.estimators.topdown import TopDown
from pose.estimators.upright import TurnedFrame
from pose.geometry.orientation import turn_picture, turn_points, turns_for_step
from pose.hrnet import HRNet, Variant, build_hrnet
from pose.scan.frame import Frame
from pose.synthetic.picture import render_picture
from pose.synthetic.render import Rendering, render

FIRST_SEED: Final = 960_000  # held out from training
PICTURE: Final = (1440, 1080)
SCAN: Final = 9  # frames
KERNELS: Final = "kernels of w48"
WANTED: Final = {
    "w48, full path, crops/s": 2500.0,
    "w48, full path, times eager fp32 in batches of 32": 8.0,
    "depth-hrnet, network stage, scans/s": 60.0,
}


@dataclass
class Bench:
    """What is measured on, and what was measured."""

    device: torch.device
    width: str | Variant
    size: tuple[int, int]
    detector: str
    batches: tuple[int, ...]
    crops: int
    seconds: float  # of each measurement
    tuned: bool = False  # cuDNN tries its kernels
    rows: dict[str, Any] = field(default_factory=dict)
    profiled: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, name: str, value: Any, unit: str = "") -> None:
        """Keep a number and print it at once: a later part may crash."""
        value = round(value, 5 - len(str(int(abs(value))))) if isinstance(value, float) else value
        self.rows[name] = value
        wanted = f"   (wanted: {WANTED[name]:g})" if name in WANTED else ""
        print(f"  {name:66} {value} {unit}{wanted}", flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run a part; print the error if it fails, and go on."""
        print(f"{name}  [{time.perf_counter() - self.started:.0f} s]", flush=True)
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.rows[f"failed: {name}"] = f"{type(error).__name__}: {error}"[:300]

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def ms(self, step: Callable[[], object], seconds: float | None = None) -> float:
        """Return the mean milliseconds of a step, after two runs."""
        step()
        step()
        self.wait()
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < (seconds or self.seconds) or count < 3:
            for _ in range(3):
                step()
            self.wait()
            count += 3
        return (time.perf_counter() - start) * 1000 / count


def random_network(network: HRNet, inputs: Tensor) -> HRNet:
    """Give a network random weights, and batch norms that fit them and the inputs, as in trained networks.

    Residual blocks add little: errors grow from layer to layer in a random network, unlike in a trained one.
    """
    random = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if value.ndim == 1 and value.is_floating_point() and ".running" not in name:
            value.normal_(0, 0.1, generator=random)
            if name.endswith("weight"):
                value.add_(0.3 if ("branches" in name and ".bn2." in name) or ".bn3." in name else 1)
        elif value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=random)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(inputs)
        high = float(network.eval()(inputs).abs().max())
        network.final_layer.weight /= high
    return network


class Scenes:
    """Rendered frames, and three rendered pictures with their people, upright."""

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        postures = itertools.cycle(("standing", "lying"))
        self.renderings: list[Rendering] = [
            render(FIRST_SEED + i, posture) for i, posture in zip(range(count), postures, strict=False)
        ]
        blank = np.zeros((PICTURE[1], PICTURE[0], 3), np.uint8)
        self.frames = [Frame(i, r.scene.step, blank, r.depthmap) for i, r in enumerate(self.renderings)]
        self.pictures: list[NDArray[np.uint8]] = []
        self.boxes: list[NDArray[np.float64]] = []
        for i, rendering in enumerate(self.renderings[:3]):
            picture = render_picture(rendering.scene, size, FIRST_SEED + i, 0).rgb
            points, _ = rendering.keypoints(rendering.scene.people[0])
            scale = size[0] / rendering.depthmap.width
            turns = turns_for_step(rendering.scene.step) or 0
            upright = turn_points((points + 0.5) * scale - 0.5, int(turns), *size)
            low, high = upright.min(axis=0), upright.max(axis=0)
            margin = 0.06 * (high - low).max()
            self.pictures.append(turn_picture(picture, int(turns)))
            self.boxes.append(np.concatenate([low - margin, high + margin])[None])

    def batch(self, count: int) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float64]]]:
        """Return pictures and a box of each."""
        numbers = [i % len(self.pictures) for i in range(count)]
        return [self.pictures[i] for i in numbers], [self.boxes[i] for i in numbers]


def distances(a: NDArray[np.float64], b: NDArray[np.float64], seen: NDArray[np.bool_]) -> dict[str, float]:
    """Return the distribution of the distance of keypoints (…, 2), in pixels."""
    away = np.linalg.norm(a - b, axis=-1)[seen]
    return {
        "median": round(float(np.median(away)), 5),
        "p99": round(float(np.percentile(away, 99)), 4),
        "max": round(float(away.max()), 4),
        "share within 0.1 px": round(float((away <= 0.1).mean()), 5),
        "keypoints": int(seen.sum()),
    }


def environment(bench: Bench) -> None:
    """Say what it runs on."""
    import cv2
    import torchvision

    bench.add(
        "torch", f"{torch.__version__}, torchvision {torchvision.__version__}, OpenCV {cv2.__version__}"
    )
    bench.add("CPU threads", torch.get_num_threads())
    if bench.device.type == "cuda":
        about = torch.cuda.get_device_properties(bench.device)
        bench.add("card", f"{about.name}, {about.total_memory / 2**30:.0f} GiB")
        bench.add("cuDNN", torch.backends.cudnn.version())


def equality_of_steps(bench: Bench, scenes: Scenes) -> None:
    """Crops and decoded heatmaps of the device against those of the CPU."""
    pictures, boxes = scenes.batch(6)
    pictures += [picture[:, ::-1] for picture in pictures[:3]]
    boxes += boxes[:3]
    random = np.random.default_rng(0)
    flat = [box[0] + random.uniform(-200, 200, 4) * (1, 1, 0.2, 0.2) for box in boxes]
    flat = [np.array([x0, y0, max(x1, x0 + 20), max(y1, y0 + 20)]) for x0, y0, x1, y1 in flat]
    ours = GPUCropper(bench.size, bench.device)(pictures, flat).cpu().numpy().astype(int)
    theirs = np.stack([crop(p, b, bench.size) for p, b in zip(pictures, flat, strict=True)]).astype(int)
    bench.add("crops: share of bytes that differ from OpenCV's", float((ours != theirs).mean()))
    bench.add("crops: largest difference", int(np.abs(ours - theirs).max()), "grey levels")
    heat = torch.rand(8, 17, 96, 72, generator=torch.Generator().manual_seed(1))
    for name, step in (("maxima", maxima), ("peaks", lambda each: peaks(each, 5))):
        away = (step(heat.to(bench.device)).cpu() - step(heat)).abs().max()
        bench.add(f"{name}: largest difference from the CPU's", float(away))


def depth_equality(bench: Bench, scenes: Scenes) -> None:
    """depth-hrnet with its shipped weights: fp16 and fp32 on the device against fp32 on the CPU."""
    on_cpu = DepthHRNet().estimate(scenes.frames)
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    for precision in precisions:
        start = time.perf_counter()
        estimator = DepthHRNet(device=bench.device, precision=precision)
        bench.wait()
        bench.add(f"depth-hrnet {precision}: seconds to load and record", time.perf_counter() - start)
        found = estimator.estimate(scenes.frames)
        pairs = [
            (a, b)
            for ours, theirs in zip(found, on_cpu, strict=True)
            if len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True)
        ]
        other = sum(len(a) != len(b) for a, b in zip(found, on_cpu, strict=True))
        bench.add(f"depth-hrnet {precision}: frames with another number of people", other)
        a, b = (np.array([pair[i].keypoints for pair in pairs]) for i in (0, 1))
        seen = np.array([pair[1].scores for pair in pairs]) > 0.3
        told = distances(a, b, seen)
        bench.add(f"depth-hrnet {precision}: pixels of 1440x1080 from the CPU's fp32", told)


def depth_heatmaps(bench: Bench, scenes: Scenes) -> None:
    """What float16 does to heatmaps of trained weights, read as HRNet's authors do it."""
    inputs = _depth_inputs(scenes.frames)
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    models = [DepthHRNet(device=bench.device, precision=each, batch_size=1) for each in precisions]
    exact, half = (model.heatmaps(inputs)[:, :17] for model in models)
    high = exact.flatten(2).amax(dim=2)
    error = (half - exact).square().mean(dim=(2, 3)).sqrt() / high
    bench.add("trained heatmaps in fp16: error by maximum, root mean square", float(error[high > 0.3].mean()))
    cells = [maxima(each).cpu() for each in (exact, half)]
    away = (cells[0] - cells[1]).abs()[..., :2].amax(dim=2)[(high > 0.3).cpu()]
    bench.add("the same, read by maxima: share of keypoints that stay", float((away == 0).double().mean()))
    bench.add("the same: share that moves by half a cell at most", float((away <= 0.5).double().mean()))


def model_of(bench: Bench, network: HRNet, precision: Precision, batch: int) -> TopDown:
    """Return HRNet-w48 on the device; the network itself stays as it is."""
    own = copy.deepcopy(network)
    return TopDown(own, None, bench.size, bench.device, batch_size=batch, precision=precision)


def w48_equality(bench: Bench, scenes: Scenes, network: HRNet) -> None:
    """HRNet-w48 of random weights in fp16 against fp32; and what that error does to ideal heatmaps."""
    pictures, boxes = scenes.batch(24)
    flat = [box[0] + 3 * i for i, box in enumerate(boxes)]
    crops = GPUCropper(bench.size, bench.device)(pictures, flat)
    models: dict[Precision, TopDown] = {
        "fp32": model_of(bench, network, "fp32", 1),
        "fp16": model_of(bench, network, "fp16", 1),
    }
    heat = {name: model.heatmaps(model.network_input(crops)) for name, model in models.items()}
    on_cpu = TopDown(copy.deepcopy(network), None, bench.size, batch_size=1)
    first = on_cpu.heatmaps(on_cpu.network_input(crops[:1].cpu()))
    away = (heat["fp32"][:1].cpu() - first).abs().max() / first.abs().max()
    bench.add("w48 fp32: largest difference from the CPU's by maximum", float(away))
    exact, error = heat["fp32"], heat["fp16"] - heat["fp32"]
    high = exact.flatten(2).amax(dim=2)[..., None, None]
    away = (error / high).square().mean().sqrt()
    bench.add("w48 fp16: heatmap error, root mean square by maximum", float(away))
    scale = 4 * max(box[2] - box[0] for box in flat) * 1.25 / bench.size[0]  # cells -> pixels, about
    a, b = (maxima(each).cpu().numpy()[..., :2] * scale for each in (heat["fp16"], exact))
    everywhere = np.ones(a.shape[:2], np.bool_)
    bench.add("w48 fp16, random weights: pixels from fp32", distances(a, b, everywhere))
    # Trained heatmaps are Gaussians of 3 cells. Random ones have maxima of nearly equal height.
    n, _, rows, columns = exact.shape
    centres = torch.rand(n, 1, 17, 2, generator=torch.Generator().manual_seed(2)).to(exact)
    centres = centres * torch.tensor([columns - 20, rows - 20]).to(exact) + 10
    present = torch.ones(n, 1, 17, dtype=torch.bool, device=exact.device)
    ideal = draw_gaussians(centres, present, (rows, columns), 3.0)
    a, b = (maxima(each).cpu().numpy()[..., :2] * scale for each in (ideal + error / high, ideal))
    bench.add("w48 fp16, ideal heatmaps plus its error: pixels from fp32", distances(a, b, everywhere))


def network_alone(bench: Bench, network: HRNet) -> None:
    """HRNet-w48 on normalised inputs, by batch size and by way."""
    shape = (3, bench.size[1], bench.size[0])

    def inputs(count: int) -> Tensor:
        return torch.randn(count, *shape, device=bench.device)

    @torch.inference_mode()
    def rate(step: Callable[[Tensor], object], count: int) -> float:
        x = inputs(count).contiguous(memory_format=torch.channels_last)
        return 1000 * count / bench.ms(lambda: step(x))

    most = max(bench.batches)
    with torch.inference_mode(), exact_float32():
        eager = network.to(bench.device)
        for count in (1, 32 if most >= 32 else most):
            bench.add(f"w48 alone, eager fp32, batch {count}", rate(eager, count), "crops/s")
    network.cpu()
    at = 32 if most >= 32 else most
    half = to_gpu(network, bench.device, "fp16")
    ways: dict[str, Callable[[], nn.Module]] = {
        "fp16, batch norms folded": lambda: Folded(network, bench.device),
        "fp16": lambda: half,
        "fp16, input of 8 channels": lambda: EightChannels(to_gpu(network, bench.device, "fp16")),
    }
    for name, make in ways.items():
        with bench.part(f"  {name}"):
            module = make()
            for count in sorted({min(SCAN, most), at}):
                recorded = recorded_for(bench, module, shape, count)
                bench.add(f"w48 alone, {name}, graph, batch {count}", rate(recorded, count), "crops/s")
            with torch.inference_mode():
                x = inputs(2)
                away = (module(x) - half(x)).square().mean().sqrt() / half(x).std()
            bench.add(f"w48 alone, {name}: difference from fp16, root mean square by deviation", float(away))
    if bench.tuned:
        return
    for count in bench.batches:
        recorded = recorded_for(bench, half, shape, count)
        bench.add(f"w48 alone, fp16, graph, batch {count}", rate(recorded, count), "crops/s")
    bench.profiled.append((KERNELS, partial(recorded, inputs(count))))


class Folded(nn.Module):
    """HRNet in float16 with folded batch norms only."""

    def __init__(self, network: HRNet, device: torch.device) -> None:
        super().__init__()
        self.network = fold_batch_norms(network).half().to(device).to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.network(inputs)
        return found.float()


class EightChannels(nn.Module):
    """HRNet whose first layer takes three channels and five that are 0: GPUs compute with eight."""

    def __init__(self, network: HRNet) -> None:
        super().__init__()
        conv = copy.deepcopy(network.conv1)
        conv.weight = nn.Parameter(nn.functional.pad(conv.weight, (0, 0, 0, 0, 0, 5)))
        conv.in_channels = 8
        network.conv1 = conv.to(memory_format=torch.channels_last)
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        wide = nn.functional.pad(inputs.half(), (0, 0, 0, 0, 0, 5))
        found: Tensor = self.network(wide.contiguous(memory_format=torch.channels_last))
        return found


def recorded_for(
    bench: Bench, module: nn.Module, shape: tuple[int, ...], count: int
) -> Callable[[Tensor], Tensor]:
    """Return a network recorded for one batch size (the network itself on a CPU)."""
    if bench.device.type != "cuda":
        return module

    def step(inputs: Tensor) -> Tensor:
        with exact_float32():
            found: Tensor = module(inputs.contiguous(memory_format=torch.channels_last))
            return found

    every, gpu.batch_sizes = gpu.batch_sizes, lambda largest: [largest]
    try:
        return FixedBatches(step, shape, torch.float32, bench.device, count)
    finally:
        gpu.batch_sizes = every


def full_path(bench: Bench, scenes: Scenes, network: HRNet) -> None:
    """Pictures and boxes to keypoints: the eager way with the steps of the CPU, and the present one."""
    eager_network = copy.deepcopy(network).to(bench.device)

    def run_eager(inputs: Tensor) -> Tensor:
        found: Tensor = eager_network(inputs)
        return found

    few = scenes.batch(min(32, bench.crops))
    for batch in (32, 1):
        # Another network than an HRNet is run as it is.
        eager = TopDown(run_eager, None, bench.size, bench.device, batch_size=batch)
        rate = 1000 * len(few[0]) / bench.ms(partial(eager.predict, *few))
        bench.add(f"w48, full path, eager fp32, crops of the CPU, batch {batch}, crops/s", rate)
    full_path_in_batches(bench, scenes, network, min(32, max(bench.batches)))
    pictures, boxes = scenes.batch(32)
    flat = [box[0] for box in boxes]
    cropper = GPUCropper(bench.size, bench.device)
    bench.add("crops on the device alone, a crop", bench.ms(partial(cropper, pictures, flat)) / 32, "ms")
    pack = partial(_pack, pictures, flat, bench.size, bench.device.type == "cuda")
    bench.add("of it packing on the CPU, a crop", bench.ms(pack) / 32, "ms")
    by_opencv = bench.ms(partial(crop, pictures[0], flat[0], bench.size))
    bench.add("crops by OpenCV on the CPU, a crop", by_opencv, "ms")


def full_path_in_batches(bench: Bench, scenes: Scenes, network: HRNet, batch: int) -> None:
    start = time.perf_counter()
    model = model_of(bench, network, "fp16", batch)
    bench.wait()
    bench.add(f"w48 fp16, batch {batch}: seconds to load and record", time.perf_counter() - start)
    many, scan = scenes.batch(bench.crops), scenes.batch(SCAN)
    fast = 1000 * bench.crops / bench.ms(partial(model.predict, *many))
    bench.add(f"w48, full path, batch {batch}, crops/s", fast)
    if fast > bench.rows.get("w48, full path, crops/s", 0):
        bench.add("w48, full path, crops/s", fast)
        for of in (32, 1):
            slow = bench.rows[f"w48, full path, eager fp32, crops of the CPU, batch {of}, crops/s"]
            bench.add(f"w48, full path, times eager fp32 in batches of {of}", fast / slow)
    rate = 1000 * SCAN / bench.ms(partial(model.predict, *scan))
    bench.add(f"w48, full path, batch {batch}, a scan of {SCAN} crops at a time, crops/s", rate)
    busy(bench, f"w48, batch {batch}, {bench.crops} crops at once", partial(model.predict, *many))
    busy(bench, f"w48, batch {batch}, a scan at a time", partial(model.predict, *scan))


def depth_speed(bench: Bench, scenes: Scenes) -> None:
    """depth-hrnet: scans of nine frames a second."""
    frames = scenes.frames[:SCAN]
    precisions: tuple[Precision, ...] = ("fp16", "fp32")  # fp32 is what auto means
    for precision in precisions:
        estimator = DepthHRNet(device=bench.device, precision=precision)
        make = partial(_depth_inputs, frames)
        inputs = make().to(bench.device)
        stage, detect = partial(estimator._peaks, inputs), partial(estimator.detect, frames)
        name = "depth-hrnet, network stage" + ("" if precision == "fp32" else ", fp16")
        bench.add(f"{name}, scans/s", 1000 / bench.ms(stage))
        if precision == "fp32":
            eager = 1000 / bench.ms(partial(estimator._find_peaks, inputs))
            bench.add("depth-hrnet, network stage, without graphs, scans/s", eager)
        bench.add(f"depth-hrnet {precision}, detect(), scans/s", 1000 / bench.ms(detect))
    busy(bench, "depth-hrnet, network stage", stage)
    busy(bench, "depth-hrnet, detect()", detect)
    bench.add("depth input on the CPU, a scan", bench.ms(make), "ms")


def _depth_inputs(frames: Sequence[Frame]) -> Tensor:
    return torch.from_numpy(np.stack([DepthHRNet.network_input(TurnedFrame(each, 1.0)) for each in frames]))


def detector(bench: Bench, scenes: Scenes) -> None:
    """The detector in fp16 batches against fp32 one by one."""
    pictures, _ = scenes.batch(18)
    torch.manual_seed(0)
    state = build_detector(bench.detector).state_dict()
    exact = Detector(state, bench.detector, bench.device, 1)
    slow = bench.ms(partial(exact.detect, pictures[:2])) / 2
    bench.add("detector fp32 one by one, a picture", slow, "ms")
    if bench.device.type != "cuda":
        return
    for size in (1, 4, 9):
        half = Detector(state, bench.detector, bench.device, size, precision="fp16")
        fast = bench.ms(partial(half.detect, pictures)) / len(pictures)
        bench.add(f"detector fp16, batch {size}, a picture", fast, "ms")
        bench.add(f"detector fp16, batch {size}, times fp32 one by one", slow / fast)
    busy(bench, "detector fp16, batch 9", partial(half.detect, pictures))
    x = torch.rand(1, 3, 800, 1088, device=bench.device)
    backbones: list[Any] = [each._network.backbone for each in (exact, half)]
    with torch.inference_mode(), exact_float32():
        a = backbones[0](x)
        with torch.autocast("cuda", torch.float16):
            b = backbones[1](x)
    for key in a:
        away = (a[key] - b[key].float()).square().mean().sqrt() / a[key].square().mean().sqrt()
        bench.add(f"detector fp16: features {key}, error by magnitude, root mean squares", float(away))


def busy(bench: Bench, name: str, step: Callable[[], object]) -> None:
    """Add the share of the time in which the GPU runs kernels, by nvidia-smi; note it for the profiler."""
    step()
    bench.profiled.append((name, step))
    if bench.device.type != "cuda":
        return
    torch.cuda.synchronize()
    samples: list[float] = []
    stop = threading.Event()
    watch = threading.Thread(target=_sample, args=(samples, stop))
    watch.start()
    start = time.perf_counter()
    while time.perf_counter() - start < 1.6:
        step()
    torch.cuda.synchronize()
    stop.set()
    watch.join()
    if samples[1:]:
        bench.add(f"busy: {name}, by nvidia-smi", float(np.mean(samples[1:])) / 100)


def profile_all(bench: Bench) -> None:
    """Add the shares of `busy` by torch's profiler: last, since a profiler may disturb CUDA graphs."""
    if bench.device.type != "cuda":
        return
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    for name, step in bench.profiled:
        runs = max(1, round(150 / bench.ms(step, 0.1)))
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            step()  # the profiler starts slowly
            torch.cuda.synchronize()
            begun = time.perf_counter()
            for _ in range(runs):
                step()
            torch.cuda.synchronize()
            wall = (time.perf_counter() - begun) * 1e6
        if name == KERNELS:
            print(profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=25))
            continue
        spans = sorted(
            (event.time_range.start, event.time_range.end)
            for event in profiler.events()
            if event.device_type == DeviceType.CUDA
        )
        total, reached = 0.0, max(end for _, end in spans) - wall
        for first, end in spans:
            total += max(0.0, end - max(first, reached))
            reached = max(reached, end)
        bench.add(f"busy: {name}, by the profiler", total / wall)


def check_graphs(bench: Bench, network: HRNet) -> None:
    """Record the steps as CUDA graphs. If that fails, the other parts run them without."""
    if bench.device.type != "cuda":
        return
    try:
        DepthHRNet(device=bench.device, batch_size=1, precision="fp16")
        model_of(bench, network, "fp16", 1)
        bench.add("CUDA graphs", "recorded")
    except Exception:
        bench.add("CUDA graphs", "failed: all that follows runs without")

        def record(step: gpu.Step, inputs: Tensor, pool: Any = None) -> tuple[gpu.Replay, Tensor]:
            output = step(inputs)
            return lambda: output.copy_(step(inputs)), output

        gpu.record_cuda_graph = record
        raise


def _sample(samples: list[float], stop: threading.Event) -> None:
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    while not stop.is_set():
        try:
            samples.append(float(subprocess.run(command, capture_output=True, timeout=5).stdout.split()[0]))
        except (OSError, ValueError, IndexError, subprocess.SubprocessError):
            return
        stop.wait(0.2)


def two_processes(bench: Bench) -> None:
    """Two processes share the GPU, each with a scan of nine crops at a time, as two of a worker do."""
    if bench.device.type != "cuda":
        return
    command = [sys.executable, "-m", "benchmarks.gpu", "--loop"]
    pipe = subprocess.PIPE
    loops = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    samples: list[float] = []
    stop = threading.Event()
    watch = threading.Thread(target=_sample, args=(samples, stop))
    try:
        for each in loops:
            assert each.stdout and each.stdout.readline() == "ready\n"
        watch.start()
        for each in loops:
            assert each.stdin
            each.stdin.write("go\n")
            each.stdin.flush()
        rates = [float(each.stdout.readline()) for each in loops if each.stdout]
    finally:
        stop.set()
        for each in loops:
            each.kill()
            each.wait()
    watch.join()
    bench.add("w48, full path, a scan at a time in each of two processes, crops/s", sum(rates))
    if samples[2:-1]:
        bench.add("busy: two processes, a scan at a time, by nvidia-smi", float(np.mean(samples[2:-1])) / 100)


def loop(bench: Bench, seconds: float = 4.0) -> None:
    """What each of two processes runs: print the crops a second."""
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))  # as a worker shares them
    scenes = Scenes(3, PICTURE)
    model = model_of(bench, build_hrnet(bench.width).eval(), "fp16", SCAN)
    scan = scenes.batch(SCAN)
    model.predict(*scan)
    print("ready", flush=True)
    sys.stdin.readline()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        model.predict(*scan)
        count += SCAN
    print(count / (time.perf_counter() - start), flush=True)


def memory(bench: Bench) -> None:
    """GPU memory of the whole process so far."""
    if bench.device.type == "cuda":
        bench.add("GPU memory of tensors, highest", torch.cuda.max_memory_allocated() / 2**20, "MiB")
        bench.add("GPU memory reserved, highest", torch.cuda.max_memory_reserved() / 2**20, "MiB")


def memory_of(bench: Bench, name: str, make: Callable[[], object]) -> None:
    """GPU memory that a model holds when it is loaded."""
    if bench.device.type != "cuda":
        return
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    made = make()
    bench.wait()
    torch.cuda.empty_cache()
    bench.add(f"GPU memory of {name}", (torch.cuda.memory_reserved() - before) / 2**20, "MiB")
    del made


def jpeg(bench: Bench, scenes: Scenes) -> None:
    """Decoding a JPEG file on the GPU: how equal, how fast."""
    if bench.device.type != "cuda":
        return
    import cv2
    from torchvision.io import ImageReadMode, decode_jpeg

    picture = np.ascontiguousarray(scenes.pictures[0])
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    theirs = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1].astype(int)
    file = torch.from_numpy(data.ravel())
    ours: Any = decode_jpeg(file, ImageReadMode.RGB, bench.device)
    away = np.abs(ours.permute(1, 2, 0).cpu().numpy().astype(int) - theirs)
    bench.add("JPEG on the GPU: share of bytes that differ from libjpeg-turbo's", float((away > 0).mean()))
    bench.add("JPEG on the GPU: largest difference", int(away.max()), "grey levels")
    on_gpu = bench.ms(partial(decode_jpeg, [file] * SCAN, ImageReadMode.RGB, bench.device)) / SCAN
    bench.add("JPEG on the GPU, nine at once, a picture", on_gpu, "ms")
    on_cpu = bench.ms(partial(cv2.imdecode, data, cv2.IMREAD_COLOR))
    bench.add("JPEG on the CPU, a picture", on_cpu, "ms")


def main() -> None:
    """Run all parts, print a table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--seconds", type=float, default=0.6, help="of each measurement")
    parser.add_argument("--cpu", action="store_true", help="test this file on the CPU, with small networks")
    parser.add_argument("--tune", action="store_true", help="only w48 alone, while cuDNN tries its kernels")
    parser.add_argument("--loop", action="store_true", help="what the part with two processes starts")
    options = parser.parse_args()
    if options.cpu:
        torch.set_num_threads(1)
        tiny = Variant(8, modules=(1, 1, 1), blocks=1, stem=8, layer1=(8, 1))
        bench = Bench(torch.device("cpu"), tiny, (96, 128), "ssdlite320-mobilenet-v3-large", (1, 2), 4, 0.01)
    else:
        bench = Bench(
            torch.device("cuda"), "w48", (288, 384), "fasterrcnn-resnet50-fpn",
            (1, 4, 9, 16, 32, 64), 512, options.seconds,
        )  # fmt: skip
    if options.loop:
        loop(bench)
        return
    bench.tuned = torch.backends.cudnn.benchmark = options.tune
    with bench.part("environment"):
        environment(bench)
    scenes = Scenes(3 if options.cpu else 24, (144, 108) if options.cpu else PICTURE)
    bench.add("seconds to render", time.perf_counter() - bench.started)
    crops = [crop(p, b[0], bench.size) for p, b in zip(scenes.pictures[:2], scenes.boxes, strict=False)]
    fresh = TopDown(build_hrnet(bench.width), None, bench.size)
    network = random_network(build_hrnet(bench.width), fresh.network_input(torch.from_numpy(np.stack(crops))))
    parts: list[tuple[str, Callable[[], None]]] = [
        ("CUDA graphs", lambda: check_graphs(bench, network)),
        ("steps of the device against those of the CPU", lambda: equality_of_steps(bench, scenes)),
        ("depth-hrnet against the CPU", lambda: depth_equality(bench, scenes)),
        ("trained heatmaps in fp16", lambda: depth_heatmaps(bench, scenes)),
        ("w48, fp16 against fp32", lambda: w48_equality(bench, scenes, network)),
        ("w48, the full path", lambda: full_path(bench, scenes, network)),
        ("w48, the network alone", lambda: network_alone(bench, network)),
        ("depth-hrnet", lambda: depth_speed(bench, scenes)),
        ("the detector", lambda: detector(bench, scenes)),
        ("memory of all parts", lambda: memory(bench)),
        ("memory of depth-hrnet", lambda: memory_of(
            bench, "depth-hrnet fp16", lambda: DepthHRNet(device=bench.device, precision="fp16"))),
        ("memory of w48", lambda: memory_of(
            bench, "HRNet-w48 fp16, batches up to 32",
            lambda: model_of(bench, network, "fp16", 32))),
        ("two processes", lambda: two_processes(bench)),
        ("JPEG files", lambda: jpeg(bench, scenes)),
        ("busy, by the profiler", lambda: profile_all(bench)),
    ]  # fmt: skip
    for name, run in parts:
        if options.tune and name != "w48, the network alone":
            continue
        with bench.part(name):
            run()
        network.cpu()
        if options.json:
            options.json.write_text(json.dumps(bench.rows, indent=1, default=str))
    bench.add("seconds of all", time.perf_counter() - bench.started)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=1, default=str))
    print(f"\n{'measured':70} value")
    for name, value in bench.rows.items():
        print(f"{name:70} {value}")


if __name__ == "__main__":
    main()
