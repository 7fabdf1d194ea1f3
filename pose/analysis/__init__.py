"""The whole chain, from a scan to its result and artefacts."""
