"""Files of datasets: download, archives, cache, checks."""
