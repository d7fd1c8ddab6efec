"""Faults that runs meet: kills at every write and at random, errors of the disk, torn files."""
