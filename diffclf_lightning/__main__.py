"""``python -m diffclf_lightning`` is ``diffclf``."""

from diffclf_lightning.cli import main

if __name__ == "__main__":
    main()
