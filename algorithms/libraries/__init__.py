"""The same methods through other libraries."""
