"""JSON Schemas of what deploy/kubernetes takes of KEDA, written from its documentation (keda.sh, version 2).

They are stricter than KEDA, which ignores fields that it does not know.
"""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 0}
_METADATA: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": _TEXT, "namespace": _TEXT, "labels": {"type": "object"}},
    "additionalProperties": False,
}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


# All values of a trigger's metadata are texts, also numbers.
_METADATA_OF_TRIGGERS: Final = {
    "prometheus": _object(
        ["serverAddress", "query", "threshold"],
        serverAddress={"type": "string", "pattern": "^https?://"},
        query=_TEXT,
        threshold={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
        activationThreshold={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
        namespace=_TEXT,
        ignoreNullValues={"enum": ["true", "false"]},
    ),
    "redis": _object(
        ["address", "listName"],
        address={"type": "string", "pattern": "^[^:]+:[0-9]+$"},
        listName=_TEXT,
        listLength={"type": "string", "pattern": "^[0-9]+$"},
        activationListLength={"type": "string", "pattern": "^[0-9]+$"},
        databaseIndex={"type": "string", "pattern": "^[0-9]+$"},
        enableTLS={"enum": ["true", "false"]},
    ),
}

SCALED_OBJECT: Final = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "ScaledObject"},
    metadata=_METADATA,
    spec=_object(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=_object(["name"], apiVersion=_TEXT, kind=_TEXT, name=_TEXT),
        pollingInterval=_COUNT,
        cooldownPeriod=_COUNT,
        minReplicaCount=_COUNT,
        maxReplicaCount=_COUNT,
        fallback=_object(["failureThreshold", "replicas"], failureThreshold=_COUNT, replicas=_COUNT),
        triggers={
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    _object(
                        ["type", "metadata"],
                        type={"const": kind},
                        name=_TEXT,
                        metadata=metadata,
                        authenticationRef=_object(["name"], name=_TEXT),
                    )
                    for kind, metadata in _METADATA_OF_TRIGGERS.items()
                ]
            },
        },
    ),
)

TRIGGER_AUTHENTICATION: Final = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "TriggerAuthentication"},
    metadata=_METADATA,
    spec=_object(
        ["secretTargetRef"],
        secretTargetRef={
            "type": "array",
            "minItems": 1,
            "items": _object(["parameter", "name", "key"], parameter=_TEXT, name=_TEXT, key=_TEXT),
        },
    ),
)
