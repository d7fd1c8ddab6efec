"""Parquet files of rows: every page is checked as it is read, and a damaged file is named."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from diffclf_lightning.errors import InputError

AT_ONCE = 512
"""Rows that are held at once, with the errors of all their trials."""
AGAIN = "If it is moved away, the same command evaluates its images again."
NAMES = ("set", "key")
"""Columns that name a sample."""
NEEDED = (*NAMES, "digest", "evaluations", "seconds")
"""Columns that rows of every version have."""


def batches_of(file: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Rows of a file, a bounded number at once.

    Args:
        file: The file.
        columns: Columns to read, where the file has them. Defaults to None: all.

    Raises:
        InputError: If the file is damaged, or holds no rows of a run.
    """
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            _check_schema(opened)
            present = opened.schema_arrow.names
            if missing := [name for name in NEEDED if name not in present]:
                raise InputError(
                    f"Expected {str(file)!r} to hold rows of a run, with the columns "
                    f"{', '.join(NEEDED)}, but it has no {', '.join(missing)}. Move it away."
                )
            wanted = None if columns is None else [name for name in columns if name in present]
            count = 0
            for batch in opened.iter_batches(AT_ONCE, columns=wanted):
                count += len(batch)
                yield pa.table(batch)
            if count != opened.metadata.num_rows:
                raise pa.ArrowInvalid(f"{count} of {opened.metadata.num_rows} rows")
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        told = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"Expected {str(file)!r} to be a whole Parquet file, but got: {told[0].rstrip('.')}. "
            f"{AGAIN}"
        ) from error


def _check_schema(opened: pq.ParquetFile) -> None:
    """Compare the columns, which no checksum covers, with those that the file was written with."""
    kept = (opened.metadata.metadata or {}).get(b"ARROW:schema")
    if kept is not None:
        written = pa.ipc.read_schema(pa.py_buffer(b64decode(kept)))
        if written != opened.schema_arrow:
            raise pa.ArrowInvalid("columns that it was not written with")


def writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Writes rows into a file, numbers of lists as they are: they do not repeat.

    Args:
        file: The file.
        schema: Columns of the rows.
    """
    repeat = [field.name for field in schema if not _nested(field.type)]
    options: dict[str, Any] = {"use_dictionary": repeat, "write_statistics": repeat}
    return pq.ParquetWriter(file, schema, write_page_checksum=True, **options)


def _nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind)) or bool(pa.types.is_binary(kind))
