"""Text: its normal form, tokenizers fitted on meta-train, and datasets of labelled lines."""
