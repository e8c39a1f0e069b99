"""Downstream tasks through lm-evaluation-harness: accuracy, and answers that change.

``task_files`` finds tasks and refuses those that cannot be asked; ``harness`` alone imports
``lm_eval``; ``session`` scores in the child process. ``report``, ``results`` and ``formats`` are
read by the command line and import neither MLX nor ``lm_eval``.
"""
