"""What the notebooks run: cells of the tables, ablation, comparison, audit, estimators."""
