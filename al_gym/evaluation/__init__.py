"""Evaluation on held-out datasets: rows, statistics, summary, tables and replay."""
