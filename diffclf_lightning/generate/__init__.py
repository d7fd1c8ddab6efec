"""``diffclf generate``: images of classes, drawn by a diffusion model, in class folders."""
