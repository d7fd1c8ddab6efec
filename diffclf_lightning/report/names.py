"""Names of labels: those of the run, those of its rows, or else their numbers."""

from collections.abc import Sequence

import pyarrow as pa


class Names:
    """Names of the labels of a run.

    Args:
        classnames: Names in the order of labels. Defaults to None: those of rows, where they have
            some.
    """

    def __init__(self, classnames: Sequence[str] | None = None) -> None:
        self._names = dict(enumerate(map(str, classnames or ())))

    def learn(self, rows: pa.Table) -> None:
        """Take up the names that rows carry beside ``label`` and ``prediction``."""
        for column in ("label", "prediction"):
            if f"{column}_name" in rows.schema.names:
                labels, names = (rows[n].to_pylist() for n in (column, f"{column}_name"))
                for label, name in zip(labels, names, strict=True):
                    if label is not None and name is not None:
                        self._names.setdefault(label, name)

    def __getitem__(self, label: float) -> str:
        """The name of a label, or its number."""
        return self._names.get(int(label), str(int(label)))
