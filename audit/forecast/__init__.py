"""What a run will take: a sample is timed, and terms of time, memory, disk and cost follow."""
