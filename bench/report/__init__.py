"""Reports: the page, tables and figures from stored results."""
