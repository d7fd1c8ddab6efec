"""Results of runs on disk, read by everything downstream."""

from diffclf_lightning.results.folder import RunFolder
from diffclf_lightning.results.found import FoundRuns, family, find_runs, run_folders
from diffclf_lightning.results.lock import FolderLock
from diffclf_lightning.results.machine import machine
from diffclf_lightning.results.rows import (
    COMMON,
    StoredRows,
    error_table,
    lists_of,
    rows_of,
    timesteps_of,
)
from diffclf_lightning.results.shared import check_shared
from diffclf_lightning.results.stored_errors import (
    candidates_of,
    stored_errors,
    stored_errors_of_examples,
)

__all__ = [
    "COMMON",
    "FolderLock",
    "FoundRuns",
    "RunFolder",
    "StoredRows",
    "candidates_of",
    "check_shared",
    "error_table",
    "family",
    "find_runs",
    "lists_of",
    "machine",
    "rows_of",
    "run_folders",
    "stored_errors",
    "stored_errors_of_examples",
    "timesteps_of",
]
