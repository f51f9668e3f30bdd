"""The probe phase: its budget, sample, tasks and evidence."""
