"""``diffclf convert``: pipeline folders of weights that were published in another layout."""
