"""Lineage: what was audited, with what, and whether the evidence is still what it was."""
