"""The report: finished runs as one HTML file that needs nothing else, made of stored rows alone."""
