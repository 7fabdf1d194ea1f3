"""Read what belongs together of a scan's results: `python examples/read_result.py results SCAN_ID`."""

import hashlib
import json
import sys
import time
from pathlib import Path


def read_scan(read, scan_id):
    """`result.json` and the artefacts that it tells of, by name; None where the scan has no result.

    `read` gives the bytes of a key, or raises FileNotFoundError. A scan may be analysed anew at any time.
    What then has another digest than the result says belongs to another analysis, and all is read again.
    """
    while True:
        try:
            result = json.loads(read(f"{scan_id}/result.json"))
        except FileNotFoundError:
            return None
        try:
            files = {name: read(f"{scan_id}/{name}") for name in result["artefacts"]}
        except FileNotFoundError:
            files = {}
        if {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == result["artefacts"]:
            return result, files
        time.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = read_scan(lambda key: (Path(sys.argv[1]) / key).read_bytes(), sys.argv[2])
    if found is None:
        sys.exit("it has no result")
    print(found[0]["posture"], found[0]["body_length_m"], *found[1], sep="\n")
