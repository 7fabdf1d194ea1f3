"""The first analysis imports torch, which runs ldconfig: it is imported here, before a test."""

import torch  # noqa: F401 — imported for its effect, see above
