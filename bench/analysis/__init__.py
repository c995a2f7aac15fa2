"""Stored results to tables: scores, leaderboard, ranks, pairs."""
