"""Checks of this machine: settings, versions, the run folder, the device, the weights. None imports torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import platformdirs
from packaging.requirements import Requirement
from pydantic.fields import FieldInfo

from worker.cli.doctor.finding import Finding, ok, warning, without_secrets, wrong
from worker.config.settings import Settings
from worker.config.urls import FileUrl, parse_storage_url

PROJECT: Final = "pose-worker"
SHOWN: Final = ("celery", "kombu", "redis", "torch", "torchvision", "opencv-python-headless", "boto3")
GIB: Final = 1024**3
LOW_DISK_BYTES: Final = GIB
NVIDIA_SMI_S: Final = 10.0


def settings_as_read(settings: Settings) -> dict[str, str]:
    """Return all settings by the names of their variables, with secrets masked."""
    return {
        str(field.validation_alias): _shown(name, field, getattr(settings, name))
        for name, field in Settings.model_fields.items()
    }


def check_settings(settings: Settings) -> list[Finding]:
    """Return the settings that are set."""
    shown = settings_as_read(settings)
    given = {str(Settings.model_fields[name].validation_alias) for name in settings.model_fields_set}
    found = [ok("settings", f"{name}={shown[name]}") for name in shown if name in given]
    rest = len(shown) - len(given)
    return [*found, ok("settings", f"{rest} others have their defaults (docs/settings.md)")]


def _shown(name: str, field: FieldInfo, value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    if "://" in text:
        return without_secrets(text)
    return "***" if field.repr is False else text


def check_versions() -> list[Finding]:
    """Return the versions, and each installed package that the project does not work with."""
    try:
        needed = [Requirement(line) for line in metadata.requires(PROJECT) or ()]
        own = metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        cure = "install it: `make venv`, or pip install the wheel"
        return [warning("versions", f"{PROJECT} is not installed as a package", cure)]
    found = []
    for each in needed:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        installed = _version(each.name)
        if installed is None or not each.specifier.contains(installed, prereleases=True):
            text = f"{each.name} {installed or 'is missing'}, expected {each.specifier or 'any version'}"
            found.append(wrong("versions", text, "install what requirements.lock names: `make venv`"))
    shown = ", ".join(f"{name} {_version(name)}" for name in SHOWN)
    return [ok("versions", f"{PROJECT} {own}, Python {platform.python_version()}, {shown}"), *found]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_run_folder(settings: Settings) -> list[Finding]:
    """Write a file into the run folder, and remove it."""
    folder = settings.run_dir.absolute()
    probe = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        cure = "set RUN_DIR to a folder that this user can write to"
        return [wrong("run folder", f"{folder}: cannot be written: {reason}", cure)]
    text = f"{folder}: can be written, {free / GIB:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return [warning("run folder", text, "make room on its disk, or set RUN_DIR to another one")]
    return [ok("run folder", text)]


def check_device(settings: Settings) -> list[Finding]:
    """Compare DEVICE with the GPUs that the driver shows and the build of torch."""
    torch = _version("torch") or "is missing"
    gpus = _gpus()
    cores = len(os.sched_getaffinity(0))
    text = f"DEVICE={settings.device}, {cores} CPU cores, {', '.join(gpus) or 'no GPU'}, torch {torch}"
    without_cuda = torch.endswith("+cpu")
    if settings.device.startswith("cuda"):
        if not gpus:
            cure = "install the NVIDIA driver, give the container its GPU, or set DEVICE=cpu"
            return [wrong("device", text, cure)]
        if without_cuda:
            return [wrong("device", text, "install PyTorch's CUDA build, or set DEVICE=cpu")]
    if settings.device == "auto" and gpus and without_cuda:
        return [warning("device", text, "the GPU is not used: install PyTorch's CUDA build")]
    return [ok("device", text)]


def _gpus() -> list[str]:
    """Return the names of the GPUs that NVIDIA's driver shows."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_S)
        except (OSError, subprocess.TimeoutExpired):
            return []
        return (
            [line.strip() for line in done.stdout.splitlines() if line.strip()] if not done.returncode else []
        )
    return [f"GPU {path.name}" for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def check_weights(settings: Settings) -> list[Finding]:
    """Compute the hash of each file of weights that the settings name."""
    from pose.weights.registry import DEFAULT_POSE, FACE_DETECTOR, POSE_MODELS

    own = _folder_of(settings.weights_url)
    folder = own or platformdirs.user_cache_path(PROJECT) / "weights"
    # A worker fetches what is missing at its start.
    has_source = settings.weights_url is not None and own is None

    def check(name: str, *, required: bool) -> list[Finding]:
        if (folder / f"{name}.safetensors").is_file():
            return [_check_file(folder, name)]
        if has_source:
            return [ok("weights", f"{name}: not here yet; a worker fetches it from WEIGHTS_URL at its start")]
        cure = f"run `pose weights pull {name}`"
        return [wrong("weights", f"{name}: not in {folder}", cure)] if required else []

    found: list[Finding] = []
    if settings.face_detector != "haar":
        found = check(FACE_DETECTOR, required=settings.face_detector == FACE_DETECTOR)
        if not found:
            text = f"{FACE_DETECTOR}: not in {folder}: OpenCV's cascades look for faces, which miss more"
            found = [warning("weights", text, f"run `pose weights pull {FACE_DETECTOR}`")]
    named = {"auto": (DEFAULT_POSE,), "both": POSE_MODELS}.get(settings.model, (settings.model,))
    required = settings.model in POSE_MODELS
    models = [each for name in named if name in POSE_MODELS for each in check(name, required=required)]
    if models:
        models += check(settings.detector, required=True)
    elif settings.model == "both":
        cure = f"run `pose weights pull {DEFAULT_POSE}`, or set MODEL=auto"
        models = [wrong("weights", f"MODEL=both needs an RGB model, and none is in {folder}", cure)]
    else:
        models = [ok("weights", "depth-hrnet: in the package")]
    return [*found, *models]


def _check_file(folder: Path, name: str) -> Finding:
    from pose.errors import PoseError
    from pose.weights.stored_file import check_digest

    try:
        facts = check_digest(folder / f"{name}.safetensors")
    except (PoseError, OSError) as error:
        reason = str(error) if isinstance(error, PoseError) else f"{name}: {type(error).__name__}"
        return wrong("weights", reason, f"run `pose weights pull {name}`, which replaces the file")
    return ok("weights", f"{name} {facts.get('version')}: SHA-256 {facts['digest'][:12]}… is right")


def _folder_of(url: str | None) -> Path | None:
    if url is None or not url.startswith("file://"):
        return None
    location = parse_storage_url(url)
    return location.path if isinstance(location, FileUrl) else None
