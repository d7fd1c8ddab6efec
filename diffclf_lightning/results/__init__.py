"""Results of runs on disk, read by everything downstream."""

from diffclf_lightning.results.folder import RunFolder
from diffclf_lightning.results.rows import COMMON, StoredRows, error_table, rows_of
from diffclf_lightning.results.whole import write_whole

__all__ = ["COMMON", "RunFolder", "StoredRows", "error_table", "rows_of", "write_whole"]
