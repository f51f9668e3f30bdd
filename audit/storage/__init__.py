"""The parts of a run: files written in one step, packs of small ones, and where they lie."""
