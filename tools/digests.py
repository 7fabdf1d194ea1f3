"""Digests of all that an analysis publishes, to show that a change of the code changes no result.

Run it on both revisions, on one machine (another processor may round otherwise), and compare the files:

    python -m tools.digests before.json SCAN_FOLDER...
    python -m tools.digests after.json SCAN_FOLDER... --compare before.json

It analyses 20 rendered scans (both postures, careful and careless) and the folders that are named.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

import pose
from pose.evaluation.face_tally import sample_scan
from pose.synthetic.scan_writer import scan_files

RENDERED = 10  # scans of each kind
FIRST_SEED = 700_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def without_timings(value: Any) -> Any:
    """Return a JSON value without the fields that differ from run to run."""
    if isinstance(value, dict):
        return {key: without_timings(each) for key, each in value.items() if key != "timings_ms"}
    return [without_timings(each) for each in value] if isinstance(value, list) else value


def canonical(data: bytes) -> str:
    return sha256(json.dumps(without_timings(json.loads(data)), sort_keys=True).encode())


def digests_of(scan: pose.Scan, estimator: pose.Estimator, scan_id: str) -> dict[str, Any]:
    """Return the digest of a scan's result and of each artefact."""
    analysis = pose.analyse_scan(scan, estimator, scan_id=scan_id)
    result = json.loads(analysis.result.model_dump_json())
    result["artefacts"] = sorted(result["artefacts"])
    artefacts = sorted(analysis.artefacts.items())
    return {
        "result": canonical(json.dumps(result).encode()),
        "artefacts": {
            name: canonical(data) if name.endswith(".json") else sha256(data) for name, data in artefacts
        },
    }


def rendered(estimator: pose.Estimator) -> dict[str, Any]:
    """Return the digests of rendered scans, and of the files of rendered scans."""
    found: dict[str, Any] = {}
    for careful, kind in ((True, "careful"), (False, "careless")):
        for number in range(RENDERED):
            scan = sample_scan(number, careful=careful, first_seed=FIRST_SEED).scan
            found[f"rendered-{kind}-{number}"] = digests_of(scan, estimator, f"r{number}")
    for number, posture in enumerate(("standing", "lying")):
        truth: dict[str, Any] = {"frames": []}
        files = dict(scan_files(FIRST_SEED + 10_000 + number, posture, 2, truth=truth))
        digests = {name: sha256(data) for name, data in files.items()}
        found[f"files-{posture}"] = digests | {"truth": canonical(json.dumps(truth).encode())}
        scan = pose.read_scan_files(
            {name: data for name, data in files.items() if not name.startswith("truth")}
        )
        found[f"written-{posture}"] = digests_of(scan, estimator, posture)
    return found


def main(
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of one scan each.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="An earlier such file; exit code 1 if it differs.")
    ] = None,
) -> None:
    """Write the digests of results, and compare them with those of another revision."""
    estimator = pose.load_estimator("depth-hrnet", device="cpu")
    found = rendered(estimator)
    for folder in folders or []:
        try:
            scan = pose.read_scan(folder)
        except pose.PoseError as error:
            found[folder.name] = {"error": str(error)}
            continue
        digests = digests_of(scan, estimator, folder.name)
        found[folder.name] = digests | {"scan": scan.digest, "broken": [each.reason for each in scan.broken]}
    out.write_text(json.dumps(found, indent=1, sort_keys=True))
    print(f"{len(found)} scans, {sha256(json.dumps(found, sort_keys=True).encode())}")
    if compare is not None:
        earlier = json.loads(compare.read_text())
        differ = sorted(
            name for name in found.keys() | earlier.keys() if found.get(name) != earlier.get(name)
        )
        print("equal" if not differ else f"these differ: {', '.join(differ)}")
        raise typer.Exit(bool(differ))


if __name__ == "__main__":
    typer.run(main)
