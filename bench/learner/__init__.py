"""Trained meta-states as few-shot learners in scikit-learn's manner, and their exports."""
